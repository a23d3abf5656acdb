/* SPDX-License-Identifier: Apache-2.0 */
/* What is to go wrong, and when: docs/drills.md has the grammar. */
#ifndef FAULTP11_SCRIPT_H
#define FAULTP11_SCRIPT_H

#include "functions.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SCRIPT_PATH_MAX = 256,
    SCRIPT_RULES_MAX = 64,
    SCRIPT_TEXT_MAX = 32768,
    SCRIPT_ERROR_MAX = 512,
    PROCESS_NAME_MAX = 15 /* as the kernel keeps it */
};

enum { LEAK_MIB_MAX = 1024 };

enum action_kind {
    ACTION_RETURN,
    ACTION_HANG,
    ACTION_SLOW,
    ACTION_CRASH,
    ACTION_ABORT,
    ACTION_KILL,
    ACTION_SHORT,
    ACTION_LONG,
    ACTION_GARBAGE,
    ACTION_FLIP,
    ACTION_NOTHING,
    ACTION_LEAK,
    ACTION_LOSE_SESSIONS,
    ACTION_LOG_OUT,
    ACTION_REMOVE_TOKEN,
    ACTION_CHANGE_SLOT,
    ACTION_FLAGS
};

struct action {
    enum action_kind kind;
    bool after;       /* the real call is made first */
    CK_RV rv;         /* of ACTION_RETURN */
    int64_t ms;       /* of ACTION_HANG, negative: for ever; and of ACTION_SLOW */
    unsigned long by; /* how many fewer or more: bytes, or items of a list; of ACTION_LEAK, MiB */
    CK_FLAGS set, clear;
    char text[48]; /* as the script has it, for the list of faults */
};

enum when { WHEN_EVERY, WHEN_NUMBERS, WHEN_ONCE };

struct rule {
    unsigned line;
    enum function function; /* or FUNCTION_ANY */
    enum when when;
    uint64_t first, last;            /* of WHEN_NUMBERS */
    char once_path[SCRIPT_PATH_MAX]; /* of WHEN_ONCE */
    char while_path[SCRIPT_PATH_MAX];
    char process[PROCESS_NAME_MAX + 1];
    uint64_t attributes; /* only calls for so many; 0: for any number */
    struct action action;
};

struct script {
    char module[SCRIPT_PATH_MAX];
    char record[SCRIPT_PATH_MAX];
    char record_process[PROCESS_NAME_MAX + 1];
    char faults[SCRIPT_PATH_MAX];
    struct rule rules[SCRIPT_RULES_MAX];
    unsigned n_rules;
};

/* Reads the script at path. False: error says which line is wrong, and how; *ret is not touched. */
bool script_read(const char *path, struct script *ret, char error[static SCRIPT_ERROR_MAX]);

/* A function's number by its name, FUNCTION_ANY for "*"; -1: there is none such. */
int function_by_name(const char *name);
const char *function_name(enum function function);

#endif
