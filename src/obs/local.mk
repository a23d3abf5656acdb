# SPDX-License-Identifier: Apache-2.0
# Log (audit and metrics to come). Stands on base alone.
noinst_LIBRARIES += src/obs/libobs.a
src_obs_libobs_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_OBS)
src_obs_libobs_a_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
src_obs_libobs_a_SOURCES = \
	src/obs/log.c src/obs/log.h \
	src/obs/log_line.c src/obs/log_line.h
LIBOBS = src/obs/libobs.a $(LIBBASE) $(SYSTEMD_LIBS)
