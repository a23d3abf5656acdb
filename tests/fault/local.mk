# SPDX-License-Identifier: Apache-2.0
# What goes wrong with the real daemon on SoftHSM: at start, with its processes, with the token.
FAULT_CPPFLAGS = $(HARNESS_CPPFLAGS) -I$(srcdir)/tests/fault
FAULT_LDADD = tests/fault/libfaults.a $(HARNESS_LDADD)
check_LIBRARIES += tests/fault/libfaults.a
tests_fault_libfaults_a_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_libfaults_a_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_libfaults_a_SOURCES = tests/fault/faults.c tests/fault/faults.h

# A library that is no PKCS#11 module.
check_PROGRAMS += tests/fault/no-module.so
tests_fault_no_module_so_CFLAGS = $(AM_CFLAGS) -fPIC
tests_fault_no_module_so_LDFLAGS = $(AM_LDFLAGS) -shared
tests_fault_no_module_so_SOURCES = tests/fault/no_module.c

check_PROGRAMS += tests/fault/start
TESTS += tests/fault/start
tests_fault_start_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_start_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_start_SOURCES = tests/fault/start.c
tests_fault_start_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/login
TESTS += tests/fault/login
tests_fault_login_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_login_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_login_SOURCES = tests/fault/login.c
tests_fault_login_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/refuse
TESTS += tests/fault/refuse
tests_fault_refuse_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_refuse_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_refuse_SOURCES = tests/fault/refuse.c
tests_fault_refuse_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/agent
TESTS += tests/fault/agent
tests_fault_agent_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_agent_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_agent_SOURCES = tests/fault/agent.c
tests_fault_agent_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/processes
tests_fault_processes_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_processes_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_processes_SOURCES = tests/fault/processes.c
tests_fault_processes_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/token
tests_fault_token_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_token_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_token_SOURCES = tests/fault/token.c
tests_fault_token_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/destroy
TESTS += tests/fault/destroy
tests_fault_destroy_CPPFLAGS = $(FAULT_CPPFLAGS) $(I_LANE) -I$(srcdir)/tests/token
tests_fault_destroy_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_destroy_SOURCES = tests/fault/destroy.c tests/fault/ring_objects.c tests/fault/ring_objects.h
tests_fault_destroy_LDADD = tests/token/libfixture.a $(LIBLANE) $(P11KIT_LIBS) $(FAULT_LDADD)

# A rotation that dies at every PKCS#11 call. See --help for how many of them.
check_PROGRAMS += tests/fault/rotation
tests_fault_rotation_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_rotation_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_rotation_SOURCES = tests/fault/rotation.c tests/fault/ring_objects.c tests/fault/ring_objects.h
tests_fault_rotation_LDADD = $(FAULT_LDADD)

check_PROGRAMS += tests/fault/overload
tests_fault_overload_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_overload_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_overload_SOURCES = tests/fault/overload.c
tests_fault_overload_LDADD = $(FAULT_LDADD)

# The module that breaks on demand, by itself.
check_PROGRAMS += tests/fault/faultp11
TESTS += tests/fault/faultp11
tests_fault_faultp11_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_faultp11_CFLAGS = $(HARNESS_CFLAGS) $(P11KIT_CFLAGS)
tests_fault_faultp11_SOURCES = tests/fault/faultp11.c
tests_fault_faultp11_LDADD = $(FAULT_LDADD) -ldl

check_PROGRAMS += tests/fault/upgrade
tests_fault_upgrade_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_upgrade_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_upgrade_SOURCES = tests/fault/upgrade.c
tests_fault_upgrade_LDADD = $(HARNESS_LDADD)

# A module that shows a process nothing that others have made since its start.
check_PROGRAMS += tests/fault/aging-module.so
tests_fault_aging_module_so_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/token
tests_fault_aging_module_so_CFLAGS = $(AM_CFLAGS) -fPIC $(P11KIT_CFLAGS)
tests_fault_aging_module_so_LDFLAGS = $(AM_LDFLAGS) -shared
tests_fault_aging_module_so_SOURCES = tests/fault/aging_module.c $(WRAPPER)
tests_fault_aging_module_so_LDADD = -ldl -lpthread

check_PROGRAMS += tests/fault/aging
tests_fault_aging_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_aging_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_aging_SOURCES = tests/fault/aging.c
tests_fault_aging_LDADD = $(FAULT_LDADD)

# A start-up storm on a token that is as slow as a TPM; --long: as big as the mission has it.
check_PROGRAMS += tests/fault/storm
tests_fault_storm_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_storm_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_storm_SOURCES = tests/fault/storm.c
tests_fault_storm_LDADD = $(FAULT_LDADD)

# A module that gives the numbers of sessions out again, and ends sessions by itself.
check_PROGRAMS += tests/fault/numbers-module.so
tests_fault_numbers_module_so_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/token -I$(srcdir)/faultp11
tests_fault_numbers_module_so_CFLAGS = $(AM_CFLAGS) -fPIC $(P11KIT_CFLAGS)
tests_fault_numbers_module_so_LDFLAGS = $(AM_LDFLAGS) -shared
tests_fault_numbers_module_so_SOURCES = tests/fault/numbers_module.c $(WRAPPER)
tests_fault_numbers_module_so_LDADD = -ldl -lpthread

check_PROGRAMS += tests/fault/numbers
TESTS += tests/fault/numbers
tests_fault_numbers_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_numbers_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_numbers_SOURCES = tests/fault/numbers.c
tests_fault_numbers_LDADD = $(FAULT_LDADD)

# An agent whose module leaks.
check_PROGRAMS += tests/fault/worn
TESTS += tests/fault/worn
tests_fault_worn_CPPFLAGS = $(FAULT_CPPFLAGS)
tests_fault_worn_CFLAGS = $(HARNESS_CFLAGS)
tests_fault_worn_SOURCES = tests/fault/worn.c
tests_fault_worn_LDADD = $(FAULT_LDADD)
