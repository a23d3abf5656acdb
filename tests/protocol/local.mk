# SPDX-License-Identifier: Apache-2.0
# The real rpc server on a real socket, over a fake kms service.
check_LIBRARIES += tests/protocol/libstand.a
PROTOCOL_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) -I$(srcdir)/src/rpc -I$(srcdir)/src/client \
	-I$(srcdir)/tests/protocol $(I_PROTO) $(CMOCKA_CFLAGS)
PROTOCOL_LIBS = tests/protocol/libstand.a src/client/libclient.a $(LIBKMSAPI) $(LIBFORMAT) \
	$(CMOCKA_LIBS)
tests_protocol_libstand_a_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_libstand_a_SOURCES = \
	tests/protocol/async_call.c tests/protocol/async_call.h \
	tests/protocol/fake_kms.c tests/protocol/fake_kms.h \
	tests/protocol/stand.c tests/protocol/stand.h

# The admin API, over a ring in memory and a fake rotation.
check_LIBRARIES += tests/protocol/libadminstand.a
ADMIN_STAND_LIBS = tests/protocol/libadminstand.a tests/protocol/libstand.a
tests_protocol_libadminstand_a_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_libadminstand_a_SOURCES = tests/protocol/admin_stand.c tests/protocol/admin_stand.h

check_PROGRAMS += tests/protocol/test_admin
TESTS += tests/protocol/test_admin
tests_protocol_test_admin_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_test_admin_SOURCES = tests/protocol/test_admin.c
tests_protocol_test_admin_LDADD = $(ADMIN_STAND_LIBS) src/client/libclient.a $(LIBKMSAPI) \
	$(LIBKEYRING) $(CMOCKA_LIBS)

# The fifteen assertions about a KMS plugin, on the real daemon.
check_LIBRARIES += tests/protocol/libpeer.a
ASSERTIONS_LDADD = tests/protocol/libpeer.a $(HARNESS_LDADD)
tests_protocol_libpeer_a_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_libpeer_a_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_libpeer_a_SOURCES = tests/protocol/peer.c tests/protocol/peer.h

check_PROGRAMS += tests/protocol/assertions_altered
tests_protocol_assertions_altered_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_assertions_altered_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_assertions_altered_SOURCES = tests/protocol/assertions_altered.c
tests_protocol_assertions_altered_LDADD = $(ASSERTIONS_LDADD)

check_PROGRAMS += tests/protocol/assertions_calls
TESTS += tests/protocol/assertions_calls
tests_protocol_assertions_calls_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_assertions_calls_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_assertions_calls_SOURCES = tests/protocol/assertions_calls.c
tests_protocol_assertions_calls_LDADD = $(ASSERTIONS_LDADD)

check_PROGRAMS += tests/protocol/assertions_life
TESTS += tests/protocol/assertions_life
tests_protocol_assertions_life_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_assertions_life_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_assertions_life_SOURCES = tests/protocol/assertions_life.c
tests_protocol_assertions_life_LDADD = $(ASSERTIONS_LDADD)

check_PROGRAMS += tests/protocol/assertions_limits
TESTS += tests/protocol/assertions_limits
tests_protocol_assertions_limits_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_assertions_limits_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_assertions_limits_SOURCES = tests/protocol/assertions_limits.c
tests_protocol_assertions_limits_LDADD = $(ASSERTIONS_LDADD)

# The real daemon on SoftHSM, looked after over its admin socket.
check_PROGRAMS += tests/protocol/admin
TESTS += tests/protocol/admin
tests_protocol_admin_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_admin_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_admin_SOURCES = tests/protocol/admin.c
tests_protocol_admin_LDADD = $(HARNESS_LDADD)

# The real daemon on SoftHSM: what was altered is refused.
check_PROGRAMS += tests/protocol/tamper
tests_protocol_tamper_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_tamper_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_tamper_SOURCES = tests/protocol/tamper.c
tests_protocol_tamper_LDADD = $(HARNESS_LDADD)

# The real daemon on SoftHSM: many requests, a tenth of them given up. See --help for its options.
check_PROGRAMS += tests/protocol/soak
tests_protocol_soak_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_soak_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_soak_SOURCES = tests/protocol/soak.c
tests_protocol_soak_LDADD = $(HARNESS_LDADD)

# The real daemon, and clients that break HTTP/2.
check_PROGRAMS += tests/protocol/hostile
tests_protocol_hostile_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_hostile_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_hostile_SOURCES = tests/protocol/hostile.c \
	tests/protocol/raw_peer.c tests/protocol/raw_peer.h
tests_protocol_hostile_LDADD = $(ASSERTIONS_LDADD)

check_PROGRAMS += tests/protocol/hold_open
TESTS += tests/protocol/hold_open
tests_protocol_hold_open_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_hold_open_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_hold_open_SOURCES = tests/protocol/hold_open.c \
	tests/protocol/raw_peer.c tests/protocol/raw_peer.h
tests_protocol_hold_open_LDADD = $(ASSERTIONS_LDADD)

check_PROGRAMS += tests/protocol/test_apis
TESTS += tests/protocol/test_apis
tests_protocol_test_apis_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_test_apis_SOURCES = tests/protocol/test_apis.c
tests_protocol_test_apis_LDADD = $(PROTOCOL_LIBS)

check_PROGRAMS += tests/protocol/test_calls
TESTS += tests/protocol/test_calls
tests_protocol_test_calls_CPPFLAGS = $(PROTOCOL_CPPFLAGS) $(I_OBS)
tests_protocol_test_calls_SOURCES = tests/protocol/test_calls.c \
	tests/protocol/raw_peer.c tests/protocol/raw_peer.h
tests_protocol_test_calls_LDADD = $(PROTOCOL_LIBS)

check_PROGRAMS += tests/protocol/test_connections
TESTS += tests/protocol/test_connections
tests_protocol_test_connections_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_test_connections_SOURCES = tests/protocol/test_connections.c
tests_protocol_test_connections_LDADD = $(PROTOCOL_LIBS)

check_PROGRAMS += tests/protocol/test_cli
TESTS += tests/protocol/test_cli
tests_protocol_test_cli_CPPFLAGS = $(PROTOCOL_CPPFLAGS) -I$(srcdir)/src/cli
tests_protocol_test_cli_SOURCES = tests/protocol/test_cli.c \
	tests/protocol/cli_words.c tests/protocol/cli_words.h
tests_protocol_test_cli_LDADD = tests/protocol/libstand.a $(LIBCLI) $(LIBKMSAPI) $(CMOCKA_LIBS)

check_PROGRAMS += tests/protocol/test_cli_keys
TESTS += tests/protocol/test_cli_keys
tests_protocol_test_cli_keys_CPPFLAGS = $(PROTOCOL_CPPFLAGS) -I$(srcdir)/src/cli
tests_protocol_test_cli_keys_SOURCES = tests/protocol/test_cli_keys.c \
	tests/protocol/cli_words.c tests/protocol/cli_words.h
tests_protocol_test_cli_keys_LDADD = $(ADMIN_STAND_LIBS) $(LIBCLI) $(LIBKMSAPI) $(LIBKEYRING) \
	$(CMOCKA_LIBS)

dist_check_SCRIPTS += tests/protocol/activation.sh
TESTS += tests/protocol/activation.sh

# Each scheme from end to end, and which one init chooses.
EXTRA_DIST += tests/protocol/stand.sh # sourced
dist_check_SCRIPTS += tests/protocol/schemes.sh

# KEKs of which an object is gone, and key generation that fails though the key was made.
dist_check_SCRIPTS += tests/protocol/halves.sh
TESTS += tests/protocol/halves.sh

dist_check_SCRIPTS += tests/protocol/doctor.sh

# The walk-through of docs/external-keys.md, as it stands.
dist_check_SCRIPTS += tests/protocol/external_walk.sh
TESTS += tests/protocol/external_walk.sh
EXTRA_DIST += docs/external-keys.md

# Three daemons on one token. See --help for its options.
AM_TESTS_ENVIRONMENT += P11KMS_BUILD_DIR="$(abs_top_builddir)/build"; export P11KMS_BUILD_DIR;
dist_check_SCRIPTS += tests/protocol/python/test_replicas.py
EXTRA_DIST += tests/protocol/python/daemon.py tests/protocol/python/kms_client.py

# Health and metrics, compared with what was done.
dist_check_SCRIPTS += tests/protocol/python/test_metrics.py
EXTRA_DIST += tests/protocol/python/metrics.py
