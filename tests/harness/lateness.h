/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that only sleeps tells a slow daemon from a machine that is busy with something else. It
 * misses much, as a sleeper is preferred: so the kernel is asked too what others had of the
 * processors, and make check says by P11KMS_BESIDE=yes what it starts beside other tests. */
#ifndef P11KMS_TEST_LATENESS_H
#define P11KMS_TEST_LATENESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The figures are the thread's until lateness_stop. */
struct lateness {
    unsigned times; /* it woke more than 5 ms late */
    double worst_ms;
    int64_t others_ms; /* of all processors, by other programs and other machines */
    bool busy; /* it woke late; or others had more than a fifth of a processor; or tests run beside
                  this one, whatever they had */
    int64_t began_ms;
    pthread_t thread;
    atomic_bool stop;
};

/* The struct stays where it is until lateness_stop. */
void lateness_start(struct lateness *lateness);
void lateness_stop(struct lateness *lateness);

#endif
