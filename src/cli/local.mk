# SPDX-License-Identifier: Apache-2.0
# The program p11-kms. A command is one file here and one row in commands.c.
noinst_LIBRARIES += src/cli/libcli.a
I_CLI = $(I_KEYRING) -I$(srcdir)/src/config -I$(srcdir)/src/client -I$(srcdir)/src/cli
src_cli_libcli_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLI)
src_cli_libcli_a_SOURCES = \
	src/cli/cli.c src/cli/cli.h \
	src/cli/cli_admin.c src/cli/cli_admin.h \
	src/cli/cli_connect.c src/cli/cli_connect.h \
	src/cli/cli_data.c src/cli/cli_data.h \
	src/cli/cli_help.c src/cli/cli_help.h \
	src/cli/cli_order.c src/cli/cli_order.h \
	src/cli/cli_show.c src/cli/cli_show.h \
	src/cli/cmd_call_decrypt.c \
	src/cli/cmd_call_encrypt.c \
	src/cli/cmd_call_status.c \
	src/cli/cmd_completion.c \
	src/cli/cmd_doctor.c \
	src/cli/cmd_doctor_token.c \
	src/cli/cmd_encryption_config.c \
	src/cli/cmd_init.c \
	src/cli/cmd_keys_activate.c \
	src/cli/cmd_keys_adopt.c \
	src/cli/cmd_keys_compromise.c \
	src/cli/cmd_keys_deactivate.c \
	src/cli/cmd_keys_destroy.c \
	src/cli/cmd_keys_list.c \
	src/cli/cmd_keys_rotate.c \
	src/cli/cmd_keys_show.c \
	src/cli/cmd_man.c \
	src/cli/cmd_status.c \
	src/cli/commands.c src/cli/commands.h \
	src/cli/doctor.c src/cli/doctor.h \
	src/cli/doctor_json.c \
	src/cli/doctor_judge.c \
	src/cli/doctor_look.c \
	src/cli/doctor_measure.c \
	src/cli/doctor_text.c \
	src/cli/doctor_try.c \
	src/cli/init_external.c src/cli/init_external.h \
	src/cli/own_agent.c src/cli/own_agent.h \
	src/cli/ring_destroy.c src/cli/ring_destroy.h \
	src/cli/ring_init.c src/cli/ring_init.h \
	src/cli/status_show.c src/cli/status_show.h
LIBCLI = src/cli/libcli.a src/client/libclient.a $(LIBPROTO) $(LIBCONFIG) $(LIBKEYRING) $(GRPC_LIBS)

bin_PROGRAMS += build/p11-kms
build_p11_kms_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLI)
build_p11_kms_SOURCES = src/cli/main.c
build_p11_kms_LDADD = $(LIBCLI)

# From the program's own tables, so that they cannot disagree with it.
p11-kms.1: build/p11-kms
	$(AM_V_GEN)build/p11-kms man > $@.new && mv $@.new $@
completions/p11-kms: build/p11-kms
	$(AM_V_GEN)$(MKDIR_P) completions && build/p11-kms completion bash > $@.new && mv $@.new $@
nodist_man_MANS = p11-kms.1
bashcompletiondir = $(datadir)/bash-completion/completions
nodist_bashcompletion_DATA = completions/p11-kms
CLEANFILES += p11-kms.1 completions/p11-kms
