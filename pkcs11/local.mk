# SPDX-License-Identifier: Apache-2.0
# The token layer: only agent code links it, and only it includes the PKCS#11 header.
I_PKCS11 = $(I_FORMAT) -I$(srcdir)/pkcs11
noinst_LIBRARIES += pkcs11/libpkcs11.a
pkcs11_libpkcs11_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_PKCS11) $(P11KIT_CFLAGS)
pkcs11_libpkcs11_a_SOURCES = \
	pkcs11/p11_attribute.c pkcs11/p11_attribute.h \
	pkcs11/p11_call.h \
	pkcs11/p11_cbc.c pkcs11/p11_cbc.h \
	pkcs11/p11_ckr.c pkcs11/p11_ckr.h \
	pkcs11/p11_facts.c pkcs11/p11_facts.h \
	pkcs11/p11_gcm.c pkcs11/p11_gcm.h \
	pkcs11/p11_hmac.c pkcs11/p11_hmac.h \
	pkcs11/p11_key.c pkcs11/p11_key.h \
	pkcs11/p11_login.c pkcs11/p11_login.h \
	pkcs11/p11_module.c pkcs11/p11_module.h \
	pkcs11/p11_oaep.c pkcs11/p11_oaep.h \
	pkcs11/p11_pair.c pkcs11/p11_pair.h \
	pkcs11/p11_session.c pkcs11/p11_session.h \
	pkcs11/p11_sign.c pkcs11/p11_sign.h \
	pkcs11/p11_text.h \
	pkcs11/p11_token.c pkcs11/p11_token.h
LIBPKCS11 = pkcs11/libpkcs11.a $(LIBFORMAT) $(P11KIT_LIBS)
