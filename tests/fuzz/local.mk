# SPDX-License-Identifier: Apache-2.0
# Each target also links with libFuzzer: clang -fsanitize=fuzzer,address in place of replay.c.
check_PROGRAMS += tests/fuzz/fuzz_config
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c tests/fuzz/replay.c
tests_fuzz_fuzz_config_CPPFLAGS = $(AM_CPPFLAGS) $(I_CONFIG)
tests_fuzz_fuzz_config_LDADD = $(LIBCONFIG)
dist_check_SCRIPTS += tests/fuzz/replay_config.sh
TESTS += tests/fuzz/replay_config.sh
EXTRA_DIST += tests/fuzz/corpus

check_PROGRAMS += tests/fuzz/fuzz_request
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c tests/fuzz/replay.c
tests_fuzz_fuzz_request_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) -I$(srcdir)/src/rpc
tests_fuzz_fuzz_request_LDADD = src/rpc/libkmsapi.a $(LIBPROTO) $(LIBBASE)
dist_check_SCRIPTS += tests/fuzz/replay_request.sh
TESTS += tests/fuzz/replay_request.sh

check_PROGRAMS += tests/fuzz/fuzz_admin
tests_fuzz_fuzz_admin_SOURCES = tests/fuzz/fuzz_admin.c tests/fuzz/replay.c
tests_fuzz_fuzz_admin_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) -I$(srcdir)/src/rpc
tests_fuzz_fuzz_admin_LDADD = src/rpc/libkmsapi.a $(LIBPROTO) $(LIBKEYRING)
dist_check_SCRIPTS += tests/fuzz/replay_admin.sh
TESTS += tests/fuzz/replay_admin.sh
