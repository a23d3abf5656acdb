# SPDX-License-Identifier: Apache-2.0
# Log, what metrics are made of, and HTTP. Stands on base alone.
noinst_LIBRARIES += src/obs/libobs.a
src_obs_libobs_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_OBS)
src_obs_libobs_a_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(MICROHTTPD_CFLAGS)
src_obs_libobs_a_SOURCES = \
	src/obs/exposition.c src/obs/exposition.h \
	src/obs/http_server.c src/obs/http_server.h \
	src/obs/journal.c src/obs/journal.h \
	src/obs/log.c src/obs/log.h \
	src/obs/log_line.c src/obs/log_line.h \
	src/obs/log_output.c src/obs/log_output.h \
	src/obs/timed.c src/obs/timed.h
LIBOBS = src/obs/libobs.a $(LIBBASE) $(SYSTEMD_LIBS)
