/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kmsd's first process: small, single-threaded for life, and without gRPC. */
#ifndef P11KMS_MONITOR_H
#define P11KMS_MONITOR_H

/* Serves until SIGTERM or SIGINT. Returns the exit code: 0, 2 usage, 3 configuration, 4 socket in
 * use. Nothing that a token, an agent or a front end does ends it. */
int monitor_main(int argc, char **argv);

/* What tests set. */
struct monitor_hooks {
    const char *front_end_path; /* NULL: our own executable */
};

/* monitor_main with hooks. */
int monitor_run(int argc, char **argv, const struct monitor_hooks *hooks);

#endif
