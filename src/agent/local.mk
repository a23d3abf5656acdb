# SPDX-License-Identifier: Apache-2.0
# The agent. All but main is a library, so that tests can link it.
I_AGENT = $(I_LANE) -I$(srcdir)/pkcs11 -I$(srcdir)/src/agent
noinst_LIBRARIES += src/agent/libagent.a
src_agent_libagent_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(CRYPTO_CFLAGS)
src_agent_libagent_a_SOURCES = \
	src/agent/agent.h \
	src/agent/agent_destroy.c \
	src/agent/agent_start.c \
	src/agent/ecdsa_recover.c src/agent/ecdsa_recover.h \
	src/agent/key_cache.c src/agent/key_cache.h \
	src/agent/key_set.c src/agent/key_set.h \
	src/agent/hold.c src/agent/hold.h \
	src/agent/keys.c src/agent/keys.h \
	src/agent/lane_serve.c \
	src/agent/local_gcm.c src/agent/local_gcm.h \
	src/agent/local_pk.c src/agent/local_pk.h \
	src/agent/login.c src/agent/login.h \
	src/agent/open_proof.c src/agent/open_proof.h \
	src/agent/ops.h \
	src/agent/ops_crypt.c \
	src/agent/ops_facts.c \
	src/agent/ops_list.c \
	src/agent/ops_make.c \
	src/agent/padding.c src/agent/padding.h \
	src/agent/ops_trial.c \
	src/agent/pin_record.c src/agent/pin_record.h \
	src/agent/pin_source.c src/agent/pin_source.h \
	src/agent/ring_keys.c src/agent/ring_keys.h \
	src/agent/scheme.h \
	src/agent/scheme_aes_cbc_hmac.c \
	src/agent/scheme_aes_gcm.c \
	src/agent/scheme_hmac_derive.c \
	src/agent/scheme_rsa_oaep_sign.c \
	src/agent/scheme_table.c \
	src/agent/selftest.c \
	src/agent/status.c src/agent/status.h
LIBAGENT = src/agent/libagent.a pkcs11/libpkcs11.a $(LIBLANE) $(P11KIT_LIBS)

pkglibexec_PROGRAMS += build/p11-kms-agent
build_p11_kms_agent_CPPFLAGS = $(src_agent_libagent_a_CPPFLAGS)
build_p11_kms_agent_SOURCES = src/agent/main.c
build_p11_kms_agent_LDADD = $(LIBAGENT)
