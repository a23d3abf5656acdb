/* SPDX-License-Identifier: Apache-2.0 */
/* The files that faultp11 writes: lines of one length, appended in one write each, so that several
 * processes can write and others read meanwhile. */
#ifndef FAULTP11_RECORD_H
#define FAULTP11_RECORD_H

#include "script.h"

/* A record's length, its newline included: where it landed in its file is its number. */
enum { RECORD_BYTES = 64 };

/* Which call this is, from 1; 0: it is not numbered. */
struct numbers {
    uint64_t overall, of_function;
};

/* Numbers a call by the record's file, and writes it there. Only while the file exists, so that
 * making it begins to count. With want_function the calls of this function before it are counted
 * too, which reads the file. */
struct numbers record_call(const char *path, enum function function, bool want_function);

/* Appends "FUNCTION pid PID ACTION" to the list of faults, which is made when it is missing. */
void record_fault(const char *path, enum function function, const struct action *action);

#endif
