# SPDX-License-Identifier: Apache-2.0
# Every allocation and every system call of our own code fails in turn. See alloc_fail.h and io_fail.h.
ALLOC_ORIGINALS = src/rpc/libfrontend.a src/rpc/libkmsapi.a src/rpc/librpc.a src/cli/libcli.a \
	src/client/libclient.a src/kms/libkms.a src/keyring/libkeyring.a src/agent/libagent.a pkcs11/libpkcs11.a \
	src/lane/liblane.a src/config/libconfig.a src/obs/libobs.a src/format/libformat.a src/base/libbase.a
# What stands below gRPC; and what stands on it.
ALLOC_COPIES = tests/alloc/libkms.a tests/alloc/libkeyring.a tests/alloc/libagent.a tests/alloc/libpkcs11.a \
	tests/alloc/liblane.a tests/alloc/libconfig.a tests/alloc/libobs.a tests/alloc/libformat.a \
	tests/alloc/libbase.a
ALLOC_RPC_COPIES = tests/alloc/libfrontend.a tests/alloc/libkmsapi.a tests/alloc/librpc.a
ALLOC_CLI_COPIES = tests/alloc/libcli.a tests/alloc/libclient.a
EXTRA_DIST += tests/alloc/alloc_symbols
CLEANFILES += $(ALLOC_COPIES) $(ALLOC_RPC_COPIES) $(ALLOC_CLI_COPIES) tests/alloc/copied \
	tests/alloc/rpc_symbols

# librpc.a defines recvmsg and sendmsg itself, for gRPC.
tests/alloc/copied: $(ALLOC_ORIGINALS) $(srcdir)/tests/alloc/alloc_symbols
	$(AM_V_GEN)$(MKDIR_P) tests/alloc && \
	$(SED) /msg/d $(srcdir)/tests/alloc/alloc_symbols >tests/alloc/rpc_symbols && \
	for lib in $(ALLOC_ORIGINALS); do \
	    symbols=$(srcdir)/tests/alloc/alloc_symbols; \
	    test $$lib != src/rpc/librpc.a || symbols=tests/alloc/rpc_symbols; \
	    $(OBJCOPY) --redefine-syms=$$symbols $$lib tests/alloc/$${lib##*/} || exit 1; \
	done && touch $@
$(ALLOC_COPIES) $(ALLOC_RPC_COPIES) $(ALLOC_CLI_COPIES): tests/alloc/copied ; @:

ALLOC_FAIL = tests/alloc/alloc_fail.c tests/alloc/alloc_fail.h tests/alloc/io_fail.c tests/alloc/io_fail.h
ALLOC_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) $(I_CONFIG) -I$(srcdir)/src/agent -I$(srcdir)/pkcs11 -I$(srcdir)/tests/unit \
	-I$(srcdir)/tests/alloc $(CMOCKA_CFLAGS)
ALLOC_LDADD = $(ALLOC_COPIES) $(CMOCKA_LIBS) $(P11KIT_LIBS) $(CYAML_LIBS) $(YAML_LIBS) $(CRYPTO_LIBS) \
	$(SYSTEMD_LIBS) -lpthread

check_PROGRAMS += tests/alloc/requests
TESTS += tests/alloc/requests
tests_alloc_requests_CPPFLAGS = $(ALLOC_CPPFLAGS)
tests_alloc_requests_SOURCES = tests/alloc/requests.c $(ALLOC_FAIL) \
	tests/unit/kms_calls.c tests/unit/kms_calls.h tests/unit/ring_rig.c tests/unit/ring_rig.h \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_alloc_requests_LDADD = $(ALLOC_LDADD)

check_PROGRAMS += tests/alloc/front
TESTS += tests/alloc/front
tests_alloc_front_CPPFLAGS = $(ALLOC_CPPFLAGS) -I$(srcdir)/src/rpc -I$(srcdir)/src/obs \
	-I$(srcdir)/src/client
tests_alloc_front_SOURCES = tests/alloc/front.c $(ALLOC_FAIL) \
	tests/unit/kms_calls.c tests/unit/kms_calls.h tests/unit/ring_rig.c tests/unit/ring_rig.h \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_alloc_front_LDADD = $(ALLOC_RPC_COPIES) src/client/libclient.a $(LIBPROTO) $(ALLOC_LDADD) \
	$(MICROHTTPD_LIBS) $(GRPC_LIBS)

# A whole front end, and what starts it.
check_PROGRAMS += tests/alloc/failing-front-end
tests_alloc_failing_front_end_CPPFLAGS = $(build_p11_kmsd_CPPFLAGS) -I$(srcdir)/tests/alloc
tests_alloc_failing_front_end_SOURCES = src/p11-kmsd.c tests/alloc/alloc_program.c \
	tests/alloc/alloc_shared.h tests/alloc/io_fail.c tests/alloc/io_fail.h
tests_alloc_failing_front_end_LDADD = tests/alloc/libfrontend.a src/monitor/libmonitor.a \
	tests/alloc/libkmsapi.a $(LIBPROTO) tests/alloc/librpc.a $(ALLOC_COPIES) $(CRYPTO_LIBS) \
	$(CYAML_LIBS) $(YAML_LIBS) $(P11KIT_LIBS) $(SYSTEMD_LIBS) $(MICROHTTPD_LIBS) $(GRPC_LIBS) -lpthread

check_PROGRAMS += tests/alloc/front_process
TESTS += tests/alloc/front_process
tests_alloc_front_process_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) -I$(srcdir)/src/config \
	-I$(srcdir)/src/monitor -I$(srcdir)/src/client -I$(srcdir)/tests/unit -I$(srcdir)/tests/alloc \
	$(CMOCKA_CFLAGS)
tests_alloc_front_process_SOURCES = tests/alloc/front_process.c tests/alloc/alloc_fail.c \
	tests/alloc/alloc_fail.h tests/alloc/io_fail.h tests/alloc/alloc_shared.h $(FAKE_AGENT)
tests_alloc_front_process_LDADD = $(LIBMONITOR) src/client/libclient.a $(LIBPROTO) $(LIBKEYRING) \
	$(CMOCKA_LIBS) $(GRPC_LIBS) -lpthread

# The servers that it asks are as they are: what fails is p11-kms alone.
check_PROGRAMS += tests/alloc/cli
TESTS += tests/alloc/cli
tests_alloc_cli_CPPFLAGS = $(PROTOCOL_CPPFLAGS) -I$(srcdir)/src/cli -I$(srcdir)/tests/alloc
tests_alloc_cli_SOURCES = tests/alloc/cli.c $(ALLOC_FAIL) \
	tests/protocol/cli_words.c tests/protocol/cli_words.h
tests_alloc_cli_LDADD = $(ADMIN_STAND_LIBS) $(ALLOC_CLI_COPIES) src/rpc/libkmsapi.a $(LIBPROTO) \
	src/rpc/librpc.a $(ALLOC_LDADD) $(GRPC_LIBS)

check_PROGRAMS += tests/alloc/init
TESTS += tests/alloc/init
tests_alloc_init_CPPFLAGS = $(PROTOCOL_CPPFLAGS) $(TOKEN_CPPFLAGS) -I$(srcdir)/src/cli -I$(srcdir)/tests/alloc
tests_alloc_init_CFLAGS = $(TOKEN_CFLAGS)
tests_alloc_init_SOURCES = tests/alloc/init.c $(ALLOC_FAIL) \
	tests/protocol/cli_words.c tests/protocol/cli_words.h
tests_alloc_init_LDADD = tests/token/libfixture.a $(ALLOC_CLI_COPIES) $(LIBPROTO) $(ALLOC_LDADD) $(GRPC_LIBS)

check_PROGRAMS += tests/alloc/rotation
TESTS += tests/alloc/rotation
tests_alloc_rotation_CPPFLAGS = $(ALLOC_CPPFLAGS)
tests_alloc_rotation_SOURCES = tests/alloc/rotation.c $(ALLOC_FAIL) \
	$(ROTATION_RIG)
tests_alloc_rotation_LDADD = $(ALLOC_LDADD)

# A whole agent, and what starts it.
check_PROGRAMS += tests/alloc/failing-agent
tests_alloc_failing_agent_CPPFLAGS = $(src_agent_libagent_a_CPPFLAGS) -I$(srcdir)/tests/alloc
tests_alloc_failing_agent_SOURCES = src/agent/main.c tests/alloc/alloc_program.c \
	tests/alloc/alloc_shared.h tests/alloc/io_fail.c tests/alloc/io_fail.h
tests_alloc_failing_agent_LDADD = $(ALLOC_COPIES) $(P11KIT_LIBS) $(CRYPTO_LIBS) $(SYSTEMD_LIBS) -lpthread

check_PROGRAMS += tests/alloc/agent
TESTS += tests/alloc/agent
tests_alloc_agent_CPPFLAGS = $(TOKEN_CPPFLAGS) -I$(srcdir)/tests/alloc
tests_alloc_agent_CFLAGS = $(TOKEN_CFLAGS)
tests_alloc_agent_SOURCES = tests/alloc/agent.c tests/alloc/alloc_shared.h
tests_alloc_agent_LDADD = $(TOKEN_LDADD)
