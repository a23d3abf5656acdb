# SPDX-License-Identifier: Apache-2.0
# Blocking clients: of the KMS APIs, for any plugin, and of the admin API.
noinst_LIBRARIES += src/client/libclient.a
I_CLIENT = $(I_FORMAT) -I$(srcdir)/src/client
src_client_libclient_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLIENT) $(I_PROTO)
src_client_libclient_a_SOURCES = \
	src/client/admin_client.c src/client/admin_client.h \
	src/client/client_call.c src/client/client_call.h \
	src/client/client_channel.c src/client/client_channel.h \
	src/client/client_message.c src/client/client_message.h \
	src/client/client_v1beta1.c \
	src/client/client_v2.c \
	src/client/client_versions.h \
	src/client/kms_client.c src/client/kms_client.h
LIBCLIENT = src/client/libclient.a $(LIBPROTO) $(LIBFORMAT) $(GRPC_LIBS)
