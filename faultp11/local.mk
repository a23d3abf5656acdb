# SPDX-License-Identifier: Apache-2.0
# faultp11: a PKCS#11 module that wraps another and fails as a script says, for drills and tests.
# Nothing of p11-kms links it. `make install-drills` installs it, `make install` does not.
noinst_PROGRAMS += build/faultp11.so
build_faultp11_so_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE) -I$(srcdir)/pkcs11 -I$(srcdir)/faultp11
build_faultp11_so_CFLAGS = $(AM_CFLAGS) -fPIC $(P11KIT_CFLAGS)
build_faultp11_so_LDFLAGS = $(AM_LDFLAGS) -shared
build_faultp11_so_SOURCES = \
	faultp11/act.c faultp11/act.h \
	faultp11/call.c faultp11/call.h \
	faultp11/functions.h \
	faultp11/module.c \
	faultp11/record.c faultp11/record.h \
	faultp11/script.c faultp11/script.h \
	pkcs11/p11_ckr.c
build_faultp11_so_LDADD = -ldl -lpthread

install-drills: build/faultp11.so
	$(MKDIR_P) "$(DESTDIR)$(pkglibdir)"
	$(INSTALL_DATA) build/faultp11.so "$(DESTDIR)$(pkglibdir)/faultp11.so"
.PHONY: install-drills
