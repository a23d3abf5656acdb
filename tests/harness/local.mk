# SPDX-License-Identifier: Apache-2.0
# For system tests: the real daemon on a SoftHSM token in a temporary directory, and a client that
# keeps many calls in flight.
check_LIBRARIES += tests/harness/libharness.a
HARNESS_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLIENT) -I$(srcdir)/tests/harness
HARNESS_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_harness_libharness_a_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_harness_libharness_a_CFLAGS = $(HARNESS_CFLAGS)
tests_harness_libharness_a_SOURCES = \
	tests/harness/async.c tests/harness/async.h \
	tests/harness/await.c tests/harness/await.h \
	tests/harness/footprint.c tests/harness/footprint.h \
	tests/harness/harness.c tests/harness/harness.h \
	tests/harness/lateness.c tests/harness/lateness.h \
	tests/harness/load.c tests/harness/load.h \
	tests/harness/others.c tests/harness/others.h \
	tests/harness/process.c tests/harness/process.h \
	tests/harness/rounds.c tests/harness/rounds.h \
	tests/harness/watch.c tests/harness/watch.h \
	tests/harness/wire.c tests/harness/wire.h
HARNESS_LDADD = tests/harness/libharness.a $(LIBCLIENT) $(CMOCKA_LIBS) -lpthread

# Sets a daemon's clock: without sanitizers, as it is loaded before their runtime.
check_PROGRAMS += tests/harness/set-clock.so
tests_harness_set_clock_so_CFLAGS = $(AM_CFLAGS) -fPIC -fno-sanitize=all
tests_harness_set_clock_so_LDFLAGS = $(AM_LDFLAGS) -shared
tests_harness_set_clock_so_SOURCES = tests/harness/set_clock.c

# Has a monitor under valgrind start another front end.
check_PROGRAMS += tests/harness/front-end-path.so
tests_harness_front_end_path_so_CFLAGS = $(AM_CFLAGS) -fPIC -fno-sanitize=all
tests_harness_front_end_path_so_LDFLAGS = $(AM_LDFLAGS) -shared
tests_harness_front_end_path_so_SOURCES = tests/harness/front_end_path.c
