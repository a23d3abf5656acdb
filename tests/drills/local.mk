# SPDX-License-Identifier: Apache-2.0
# Real faults under load: tests/drills/run, tests/drills/tokens and tests/drills/soak, with drill-load as their client.
check_PROGRAMS += tests/drills/drill-load
tests_drills_drill_load_CPPFLAGS = $(HARNESS_CPPFLAGS) -I$(srcdir)/tests/drills
tests_drills_drill_load_CFLAGS = $(HARNESS_CFLAGS)
tests_drills_drill_load_SOURCES = tests/drills/drill_load.c tests/drills/drill_load.h \
	tests/drills/timeline.c tests/drills/sealed_store.c
tests_drills_drill_load_LDADD = $(HARNESS_LDADD)
EXTRA_DIST += tests/drills/run tests/drills/soak tests/drills/tokens tests/drills/drill.py
