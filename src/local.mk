# SPDX-License-Identifier: Apache-2.0
# The daemon: the monitor, which starts the front end from the same program.
noinst_LIBRARIES += src/rpc/libfrontend.a
src_rpc_libfrontend_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) -I$(srcdir)/src/rpc -I$(srcdir)/src/config \
	-I$(srcdir)/src/obs
src_rpc_libfrontend_a_SOURCES = \
	src/rpc/front_admin.c src/rpc/front_admin.h \
	src/rpc/front_config.c src/rpc/front_config.h \
	src/rpc/front_end.c src/rpc/front_end.h \
	src/rpc/front_http.c src/rpc/front_http.h \
	src/rpc/front_metrics.c src/rpc/front_metrics.h \
	src/rpc/refusals.c src/rpc/refusals.h \
	src/rpc/vitals.c src/rpc/vitals.h
LIBFRONTEND = src/rpc/libfrontend.a $(LIBKMSAPI) $(LIBKMS)

sbin_PROGRAMS += build/p11-kmsd
build_p11_kmsd_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) -I$(srcdir)/src/rpc -I$(srcdir)/src/monitor
build_p11_kmsd_SOURCES = src/p11-kmsd.c
build_p11_kmsd_LDADD = src/rpc/libfrontend.a $(LIBMONITOR) $(LIBKMSAPI) $(LIBKMS) $(LIBCONFIG) $(LIBOBS) $(MICROHTTPD_LIBS)
