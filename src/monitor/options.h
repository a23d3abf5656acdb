/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of p11-kmsd. */
#ifndef P11KMS_MONITOR_OPTIONS_H
#define P11KMS_MONITOR_OPTIONS_H

#include "config.h"
#include "log.h"

struct options {
    const char *config;
    const char *agent; /* NULL: beside us, else in libexecdir */
    bool check_config;
    bool has_log_format;
    enum log_format log_format; /* outranks the file's */
};

/* True: go on. False: *ret_exit is the exit code; help, version or what is wrong was printed. */
bool options_parse(int argc, char **argv, struct options *ret, int *ret_exit);

/* Puts what the command line says over the file: before every use of a loaded configuration, so
 * that the front end hears of it too. */
void options_apply(const struct options *options, struct config *config);

/* Sets up this process's log. */
void options_log_setup(const struct config *config);

#endif
