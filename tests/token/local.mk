# SPDX-License-Identifier: Apache-2.0
# One conformance suite against the real agent, on every token of fixture.c's table.
dist_check_SCRIPTS += softhsm-fixtures/softhsm-token
check_LIBRARIES += tests/token/libfixture.a
TOKEN_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) -I$(srcdir)/tests/token
TOKEN_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
TOKEN_LDADD = tests/token/libfixture.a $(LIBLANE) $(CMOCKA_LIBS) $(P11KIT_LIBS)
tests_token_libfixture_a_CPPFLAGS = $(TOKEN_CPPFLAGS) $(P11KIT_CFLAGS)
tests_token_libfixture_a_CFLAGS = $(TOKEN_CFLAGS)
tests_token_libfixture_a_SOURCES = tests/token/fixture.c tests/token/fixture.h tests/token/odd_key.c \
	tests/token/pin_spy.c tests/token/pin_spy.h

WRAPPER = tests/token/wrapper.c tests/token/wrapper.h

# Notes every C_Login, and breaks them on demand.
check_PROGRAMS += tests/token/pin-module.so
tests_token_pin_module_so_CPPFLAGS = $(AM_CPPFLAGS)
tests_token_pin_module_so_CFLAGS = $(AM_CFLAGS) -fPIC $(P11KIT_CFLAGS)
tests_token_pin_module_so_LDFLAGS = $(AM_LDFLAGS) -shared
tests_token_pin_module_so_SOURCES = tests/token/pin_module.c $(WRAPPER)

check_PROGRAMS += tests/token/test_start
TESTS += tests/token/test_start
tests_token_test_start_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_start_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_start_SOURCES = tests/token/test_start.c
tests_token_test_start_LDADD = $(TOKEN_LDADD)

check_PROGRAMS += tests/token/test_pin
TESTS += tests/token/test_pin
tests_token_test_pin_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_pin_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_pin_SOURCES = tests/token/test_pin.c
tests_token_test_pin_LDADD = $(TOKEN_LDADD)

check_PROGRAMS += tests/token/test_pin_doubt
tests_token_test_pin_doubt_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_pin_doubt_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_pin_doubt_SOURCES = tests/token/test_pin_doubt.c
tests_token_test_pin_doubt_LDADD = $(TOKEN_LDADD)

# Each runs a program beside a token of its own.
dist_check_SCRIPTS += tests/token/in-softhsm tests/token/in-nss tests/token/in-opencryptoki \
	tests/token/in-tpm tests/token/in-p11-kit
EXTRA_DIST += tests/token/token.sh
# No sanitizer: pkcs11-tool loads it too, and has none.
check_PROGRAMS += tests/token/nss-module.so
tests_token_nss_module_so_CPPFLAGS = $(AM_CPPFLAGS)
tests_token_nss_module_so_CFLAGS = -std=gnu11 -Wall -Wextra $(WERROR) -fvisibility=hidden -fPIC $(P11KIT_CFLAGS)
tests_token_nss_module_so_LDFLAGS = -shared
tests_token_nss_module_so_SOURCES = tests/token/nss_module.c $(WRAPPER)

# The same on openCryptoki, whose token locks.
dist_check_SCRIPTS += tests/token/test_pin_lock.sh
check_PROGRAMS += tests/token/pin-lock
tests_token_pin_lock_CPPFLAGS = $(HARNESS_CPPFLAGS) $(TOKEN_CPPFLAGS)
tests_token_pin_lock_CFLAGS = $(HARNESS_CFLAGS)
tests_token_pin_lock_SOURCES = tests/token/pin_lock.c
tests_token_pin_lock_LDADD = tests/token/libfixture.a $(LIBLANE) $(HARNESS_LDADD) $(P11KIT_LIBS)

check_PROGRAMS += tests/token/test_crypt
TESTS += tests/token/test_crypt
tests_token_test_crypt_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_crypt_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_crypt_SOURCES = tests/token/test_crypt.c
tests_token_test_crypt_LDADD = $(TOKEN_LDADD)

check_PROGRAMS += tests/token/test_keys
tests_token_test_keys_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_keys_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_keys_SOURCES = tests/token/test_keys.c
tests_token_test_keys_LDADD = $(TOKEN_LDADD)

check_PROGRAMS += tests/token/test_trial
TESTS += tests/token/test_trial
tests_token_test_trial_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_trial_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_trial_SOURCES = tests/token/test_trial.c
tests_token_test_trial_LDADD = $(TOKEN_LDADD)

check_PROGRAMS += tests/token/test_destroy
TESTS += tests/token/test_destroy
tests_token_test_destroy_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_destroy_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_destroy_SOURCES = tests/token/test_destroy.c
tests_token_test_destroy_LDADD = $(TOKEN_LDADD)

check_PROGRAMS += tests/token/test_public_objects
TESTS += tests/token/test_public_objects
tests_token_test_public_objects_CPPFLAGS = $(TOKEN_CPPFLAGS) $(I_KEYRING) $(P11KIT_CFLAGS)
tests_token_test_public_objects_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_public_objects_SOURCES = tests/token/test_public_objects.c tests/token/stranger_point.h
tests_token_test_public_objects_LDADD = tests/token/libfixture.a $(LIBKEYRING) $(CMOCKA_LIBS) $(P11KIT_LIBS)

# Makes a second KEK for tests of rotation.
check_PROGRAMS += tests/token/make-kek
tests_token_make_kek_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE)
tests_token_make_kek_SOURCES = tests/token/make_kek.c
tests_token_make_kek_LDADD = $(LIBLANE)

check_PROGRAMS += tests/token/test_external
TESTS += tests/token/test_external
tests_token_test_external_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_test_external_CFLAGS = $(TOKEN_CFLAGS)
tests_token_test_external_SOURCES = tests/token/test_external.c
tests_token_test_external_LDADD = $(TOKEN_LDADD)

# One suite on every token, for every scheme; and on tokens that cannot be had here (tests/mockp11).
dist_check_SCRIPTS += tests/token/test_tokens.sh tests/token/test_mocks.sh tests/token/in-mock \
	tests/token/token_init.sh
EXTRA_DIST += tests/token/tables.sh docs/tokens/mocks.md
# What doctor says of each of them.
dist_check_SCRIPTS += tests/token/test_doctor.sh
check_PROGRAMS += tests/token/matrix
tests_token_matrix_CPPFLAGS = $(TOKEN_CPPFLAGS)
tests_token_matrix_CFLAGS = $(TOKEN_CFLAGS)
tests_token_matrix_SOURCES = tests/token/matrix.c tests/token/matrix.h tests/token/matrix_rows.c \
	tests/token/matrix_mocks.c tests/token/openers.c tests/token/openers.h
tests_token_matrix_LDADD = $(TOKEN_LDADD)

# Key pairs on every token.
dist_check_SCRIPTS += tests/token/test_pairs.sh
check_PROGRAMS += tests/token/pairs
tests_token_pairs_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_token_pairs_CFLAGS = $(TOKEN_CFLAGS)
tests_token_pairs_SOURCES = tests/token/pairs.c tests/token/stranger_point.h
tests_token_pairs_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)
