# SPDX-License-Identifier: Apache-2.0
# The wire that front end and agent share, and the front end's side of it.
noinst_LIBRARIES += src/lane/liblane.a
# Only here, so that what stands on lane does not see the log.
src_lane_liblane_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) -I$(srcdir)/src/obs
src_lane_liblane_a_SOURCES = \
	src/lane/agent_process.c src/lane/agent_process.h \
	src/lane/control.c src/lane/control.h \
	src/lane/lane.c src/lane/lane.h \
	src/lane/lane_facts.c src/lane/lane_facts.h \
	src/lane/lane_pool.c src/lane/lane_pool.h \
	src/lane/pool_lanes.c src/lane/pool_lanes.h \
	src/lane/lane_queue.c src/lane/lane_queue.h \
	src/lane/lane_tally.c src/lane/lane_tally.h \
	src/lane/login_lock.c src/lane/login_lock.h
LIBLANE = src/lane/liblane.a src/obs/libobs.a $(LIBFORMAT) -lpthread
