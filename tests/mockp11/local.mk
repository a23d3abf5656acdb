# SPDX-License-Identifier: Apache-2.0
# mockp11: SoftHSM with the manners of tokens that cannot be had here. No sanitizer: pkcs11-tool loads
# it too, and has none.
check_PROGRAMS += tests/mockp11/mockp11.so
tests_mockp11_mockp11_so_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/token -I$(srcdir)/faultp11
tests_mockp11_mockp11_so_CFLAGS = $(tests_token_nss_module_so_CFLAGS)
tests_mockp11_mockp11_so_LDFLAGS = -shared
tests_mockp11_mockp11_so_SOURCES = tests/mockp11/mock.h tests/mockp11/module.c tests/mockp11/gcm.c \
	tests/mockp11/mac.c tests/mockp11/session.c tests/mockp11/user.c tests/mockp11/fault.c $(WRAPPER)

check_PROGRAMS += tests/mockp11/test_mockp11
TESTS += tests/mockp11/test_mockp11
tests_mockp11_test_mockp11_CPPFLAGS = $(TOKEN_CPPFLAGS) -I$(srcdir)/pkcs11
tests_mockp11_test_mockp11_CFLAGS = $(TOKEN_CFLAGS) $(P11KIT_CFLAGS)
tests_mockp11_test_mockp11_SOURCES = tests/mockp11/test_mockp11.c
tests_mockp11_test_mockp11_LDADD = tests/token/libfixture.a pkcs11/libpkcs11.a $(LIBLANE) $(CMOCKA_LIBS) \
	$(P11KIT_LIBS)

check_PROGRAMS += tests/mockp11/daemon
tests_mockp11_daemon_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_mockp11_daemon_CFLAGS = $(HARNESS_CFLAGS)
tests_mockp11_daemon_SOURCES = tests/mockp11/daemon.c
tests_mockp11_daemon_LDADD = $(HARNESS_LDADD)
