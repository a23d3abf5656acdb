/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor in a process of its own, with fake_child as front end and agent. */
#ifndef P11KMS_MONITOR_HARNESS_H
#define P11KMS_MONITOR_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct harness {
    char directory[64]; /* the configuration, the socket, and stateDir */
    int test;           /* where fake front ends connect */
    int front;          /* the connected one; -1: none */
    int notify;         /* $NOTIFY_SOCKET */
    int log;            /* the monitor's stderr */
    pid_t pid;
    pid_t front_pid;
    pid_t agent_pid;
    int generation;
};

/* For cmocka: *state is the harness; nothing runs yet but the configuration is there. */
int harness_set_up(void **state);
int harness_tear_down(void **state);

/* Writes the configuration: the least, then `more`. */
void harness_configure(struct harness *h, const char *more);

/* Starts a monitor; a NULL ends `more` arguments. */
pid_t harness_spawn(struct harness *h, const char *const *more);

/* Starts the harness's monitor and takes its first front end and agent. */
void harness_start(struct harness *h);

/* The next front end's "up", and the next agent's "lanes". */
void harness_take_front(struct harness *h);
void harness_take_lanes(struct harness *h);

/* The next thing the front end tells; "" when it is gone. Fails the test after 20 s. */
const char *harness_next(struct harness *h);
void harness_tell(struct harness *h, const char *text);

/* Reads on until the text was seen: in the log, or in what systemd is told. Yields what was read
 * for it, until the next call. */
const char *harness_expect_log(struct harness *h, const char *text);
const char *harness_expect_notify(struct harness *h, const char *text);

/* The exit code of a process of ours; -1 when a signal ended it. */
int harness_wait(pid_t pid);

bool harness_can_connect(struct harness *h);

#endif
