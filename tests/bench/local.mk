# SPDX-License-Identifier: Apache-2.0
# bench-echo: the daemon's own server code without KMS and token. bench-load: a closed loop of calls.
noinst_PROGRAMS += tests/bench/bench-echo
tests_bench_bench_echo_CPPFLAGS = $(AM_CPPFLAGS) $(I_RPC)
tests_bench_bench_echo_SOURCES = tests/bench/bench_echo.c
tests_bench_bench_echo_LDADD = $(LIBRPC)

noinst_PROGRAMS += tests/bench/bench-load
tests_bench_bench_load_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLIENT) -I$(srcdir)/tests/bench $(I_PROTO)
tests_bench_bench_load_SOURCES = \
	tests/bench/bench_load.c \
	tests/bench/load.c tests/bench/load.h \
	tests/bench/requests.c tests/bench/requests.h \
	tests/bench/server_cost.c tests/bench/server_cost.h
tests_bench_bench_load_LDADD = $(LIBCLIENT)

# bench-raw: the token alone, through the agent's own schemes.
noinst_PROGRAMS += tests/bench/bench-raw
tests_bench_bench_raw_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) -I$(srcdir)/tests/bench
tests_bench_bench_raw_SOURCES = tests/bench/bench_raw.c tests/bench/bench_login.c tests/bench/bench_login.h
tests_bench_bench_raw_LDADD = $(LIBAGENT) -lpthread

# bench-keys: how long the token alone takes to list its keys.
noinst_PROGRAMS += tests/bench/bench-keys
tests_bench_bench_keys_CPPFLAGS = $(AM_CPPFLAGS) $(I_PKCS11) -I$(srcdir)/tests/bench
tests_bench_bench_keys_SOURCES = tests/bench/bench_keys.c tests/bench/bench_login.c tests/bench/bench_login.h
tests_bench_bench_keys_LDADD = $(LIBPKCS11)

# bench-ring: a ring of many KEKs, seen by an agent's lane and by the daemon's clients.
noinst_PROGRAMS += tests/bench/bench-ring
tests_bench_bench_ring_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) -I$(srcdir)/src/client
tests_bench_bench_ring_SOURCES = tests/bench/bench_ring.c
tests_bench_bench_ring_LDADD = src/client/libclient.a $(LIBPROTO) $(LIBKEYRING) $(GRPC_LIBS)

# bench-timing: whether the time of a refusal says why it was refused.
noinst_PROGRAMS += tests/bench/bench-timing
tests_bench_bench_timing_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) -I$(srcdir)/tests/bench
tests_bench_bench_timing_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=bytes_equal_secret
tests_bench_bench_timing_SOURCES = \
	tests/bench/bench_timing.c \
	tests/bench/bad_ciphertexts.c tests/bench/bad_ciphertexts.h \
	tests/bench/bench_login.c tests/bench/bench_login.h \
	tests/bench/welch.c tests/bench/welch.h
tests_bench_bench_timing_LDADD = $(LIBAGENT) -lm

check_PROGRAMS += tests/bench/test_welch
TESTS += tests/bench/test_welch
tests_bench_test_welch_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/bench
tests_bench_test_welch_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_bench_test_welch_SOURCES = tests/bench/test_welch.c tests/bench/welch.c tests/bench/welch.h
tests_bench_test_welch_LDADD = $(CMOCKA_LIBS) -lm
