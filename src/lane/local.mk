# SPDX-License-Identifier: Apache-2.0
# The wire that front end and agent share, and the front end's side of it.
noinst_LIBRARIES += src/lane/liblane.a
src_lane_liblane_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE)
src_lane_liblane_a_SOURCES = \
	src/lane/agent_process.c src/lane/agent_process.h \
	src/lane/control.c src/lane/control.h \
	src/lane/lane.c src/lane/lane.h \
	src/lane/lane_pool.c src/lane/lane_pool.h \
	src/lane/lane_queue.c src/lane/lane_queue.h
LIBLANE = src/lane/liblane.a $(LIBFORMAT) -lpthread
