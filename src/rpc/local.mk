# SPDX-License-Identifier: Apache-2.0
# The gRPC server, which knows nothing of KMS, and the KMS and admin APIs on top of it.
noinst_LIBRARIES += src/rpc/librpc.a src/rpc/libkmsapi.a
I_RPC = $(I_OBS) -I$(srcdir)/src/rpc
src_rpc_librpc_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_RPC)
src_rpc_librpc_a_SOURCES = \
	src/rpc/frame_meter.c src/rpc/frame_meter.h \
	src/rpc/rpc_accept.c src/rpc/rpc_accept.h \
	src/rpc/rpc_access.c src/rpc/rpc_access.h \
	src/rpc/rpc_call.c src/rpc/rpc_call.h \
	src/rpc/rpc_guard.c src/rpc/rpc_guard.h \
	src/rpc/rpc_internal.h \
	src/rpc/rpc_peers.c src/rpc/rpc_peers.h \
	src/rpc/rpc_poller.c src/rpc/rpc_poller.h \
	src/rpc/rpc_reply.c \
	src/rpc/rpc_runtime.c src/rpc/rpc_runtime.h \
	src/rpc/rpc_server.c src/rpc/rpc_server.h \
	src/rpc/rpc_tally.c src/rpc/rpc_tally.h
LIBRPC = src/rpc/librpc.a src/obs/libobs.a $(LIBBASE) $(GRPC_LIBS) -lpthread

src_rpc_libkmsapi_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) -I$(srcdir)/src/rpc $(I_PROTO)
src_rpc_libkmsapi_a_SOURCES = \
	src/rpc/admin_api.c src/rpc/admin_api.h \
	src/rpc/api_message.c src/rpc/api_message.h \
	src/rpc/api_rows.h \
	src/rpc/api_v1beta1.c \
	src/rpc/api_v2.c \
	src/rpc/health_api.c src/rpc/health_api.h \
	src/rpc/kms_api.c src/rpc/kms_api.h
LIBKMSAPI = src/rpc/libkmsapi.a $(LIBPROTO) $(LIBRPC)
