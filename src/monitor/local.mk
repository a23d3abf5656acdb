# SPDX-License-Identifier: Apache-2.0
# The monitor: starts, watches and restarts the other processes. It never sees gRPC.
I_MONITOR = $(I_CONFIG) -I$(srcdir)/src/lane -I$(srcdir)/src/obs -I$(srcdir)/src/monitor
noinst_LIBRARIES += src/monitor/libmonitor.a
src_monitor_libmonitor_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_MONITOR)
src_monitor_libmonitor_a_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
src_monitor_libmonitor_a_SOURCES = \
	src/monitor/backoff.c src/monitor/backoff.h \
	src/monitor/children.c src/monitor/children.h \
	src/monitor/front_end_process.c src/monitor/front_end_process.h \
	src/monitor/heartbeat.c src/monitor/heartbeat.h \
	src/monitor/listener.c src/monitor/listener.h \
	src/monitor/listener_http.c src/monitor/listener_http.h \
	src/monitor/listeners.c src/monitor/listeners.h \
	src/monitor/side_agent.c src/monitor/side_agent.h \
	src/monitor/monitor.c src/monitor/monitor.h \
	src/monitor/options.c src/monitor/options.h \
	src/monitor/state_lock.c src/monitor/state_lock.h \
	src/monitor/supervise.c src/monitor/supervise.h
LIBMONITOR = src/monitor/libmonitor.a src/lane/liblane.a src/obs/libobs.a $(LIBCONFIG) \
	$(SYSTEMD_LIBS)

# What makes it a service. The unit names where make install puts the daemon.
systemdsystemunit_DATA = systemd/p11-kms.service systemd/p11-kms.socket \
	systemd/p11-kms-admin.socket
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = systemd/sysusers.d/p11-kms.conf
tmpfilesdir = $(prefix)/lib/tmpfiles.d
tmpfiles_DATA = systemd/tmpfiles.d/p11-kms.conf
EXTRA_DIST += systemd/p11-kms.service.in systemd/p11-kms.socket systemd/p11-kms-admin.socket \
	$(sysusers_DATA) $(tmpfiles_DATA)
CLEANFILES += systemd/p11-kms.service
systemd/p11-kms.service: systemd/p11-kms.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && $(SED) 's|@sbindir[@]|$(sbindir)|g' \
		$(srcdir)/systemd/p11-kms.service.in >$@.tmp && mv $@.tmp $@
