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

# The real daemon on SoftHSM: what was altered is refused.
check_PROGRAMS += tests/protocol/tamper
TESTS += tests/protocol/tamper
tests_protocol_tamper_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_tamper_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_tamper_SOURCES = tests/protocol/tamper.c
tests_protocol_tamper_LDADD = $(HARNESS_LDADD)

# The real daemon on SoftHSM: many requests, a tenth of them given up. See --help for its options.
check_PROGRAMS += tests/protocol/soak
TESTS += tests/protocol/soak
tests_protocol_soak_CPPFLAGS = $(HARNESS_CPPFLAGS)
tests_protocol_soak_CFLAGS = $(HARNESS_CFLAGS)
tests_protocol_soak_SOURCES = tests/protocol/soak.c
tests_protocol_soak_LDADD = $(HARNESS_LDADD)

check_PROGRAMS += tests/protocol/test_apis
TESTS += tests/protocol/test_apis
tests_protocol_test_apis_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_test_apis_SOURCES = tests/protocol/test_apis.c
tests_protocol_test_apis_LDADD = $(PROTOCOL_LIBS)

check_PROGRAMS += tests/protocol/test_calls
TESTS += tests/protocol/test_calls
tests_protocol_test_calls_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_test_calls_SOURCES = tests/protocol/test_calls.c
tests_protocol_test_calls_LDADD = $(PROTOCOL_LIBS)

check_PROGRAMS += tests/protocol/test_connections
TESTS += tests/protocol/test_connections
tests_protocol_test_connections_CPPFLAGS = $(PROTOCOL_CPPFLAGS)
tests_protocol_test_connections_SOURCES = tests/protocol/test_connections.c
tests_protocol_test_connections_LDADD = $(PROTOCOL_LIBS)

check_PROGRAMS += tests/protocol/test_cli
TESTS += tests/protocol/test_cli
tests_protocol_test_cli_CPPFLAGS = $(PROTOCOL_CPPFLAGS) -I$(srcdir)/src/cli
tests_protocol_test_cli_SOURCES = tests/protocol/test_cli.c
tests_protocol_test_cli_LDADD = tests/protocol/libstand.a $(LIBCLI) $(LIBKMSAPI) $(CMOCKA_LIBS)
dist_check_SCRIPTS += tests/protocol/activation.sh
TESTS += tests/protocol/activation.sh
