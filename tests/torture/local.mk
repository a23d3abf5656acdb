# SPDX-License-Identifier: Apache-2.0
# Every PKCS#11 call of every scenario fails in every way. A sample by itself; see --help for all.
check_PROGRAMS += tests/torture/torture
tests_torture_torture_CPPFLAGS = $(FAULT_CPPFLAGS) -I$(srcdir)/tests/torture
tests_torture_torture_CFLAGS = $(HARNESS_CFLAGS)
tests_torture_torture_SOURCES = tests/torture/torture.c \
	tests/torture/cases.c tests/torture/cases.h \
	tests/torture/ckr_rows.c tests/torture/ckr_rows.h \
	tests/torture/kinds.c tests/torture/kinds.h \
	tests/torture/lasting.c tests/torture/lasting.h \
	tests/torture/scenarios.c tests/torture/scenarios.h \
	tests/torture/scene.c tests/torture/scene.h \
	tests/torture/stopping.c tests/torture/stopping.h \
	tests/torture/tally.c tests/torture/tally.h
tests_torture_torture_LDADD = $(FAULT_LDADD)
