/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that only sleeps tells a slow daemon from a machine that is busy with something else. It
 * misses much, as a sleeper is preferred: make check says by P11KMS_BESIDE=yes what it starts
 * beside other tests. */
#ifndef P11KMS_TEST_LATENESS_H
#define P11KMS_TEST_LATENESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The figures are the thread's until lateness_stop. */
struct lateness {
    unsigned times; /* it woke more than 5 ms late */
    double worst_ms;
    bool busy; /* it woke late; or other tests run beside this one, whether it woke late or not */
    pthread_t thread;
    atomic_bool stop;
};

/* The struct stays where it is until lateness_stop. */
void lateness_start(struct lateness *lateness);
void lateness_stop(struct lateness *lateness);

#endif
