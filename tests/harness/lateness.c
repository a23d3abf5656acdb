/* SPDX-License-Identifier: Apache-2.0 */
#include "lateness.h"

#include "await.h"
#include "others.h"
#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { LATE_MS = 5, OTHERS_SHARE = 5 /* more than a fifth of a processor */ };

static void *sleep_only(void *argument)
{
    struct lateness *l = argument;
    while (!atomic_load(&l->stop)) {
        int64_t due = clock_monotonic_ns() + 1000000;
        struct timespec at = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
            continue;
        double late = (double)(clock_monotonic_ns() - due) / 1e6;
        l->times += late > LATE_MS;
        l->worst_ms = late > l->worst_ms ? late : l->worst_ms;
    }
    return NULL;
}

void lateness_start(struct lateness *lateness)
{
    lateness->times = 0;
    lateness->worst_ms = 0;
    lateness->began_ms = now_ms();
    lateness->others_ms = others_ms();
    atomic_store(&lateness->stop, false);
    if (pthread_create(&lateness->thread, NULL, sleep_only, lateness) != 0)
        abort();
}

void lateness_stop(struct lateness *lateness)
{
    atomic_store(&lateness->stop, true);
    (void)pthread_join(lateness->thread, NULL);
    lateness->others_ms = others_ms() - lateness->others_ms;
    bool taken = lateness->others_ms * OTHERS_SHARE > now_ms() - lateness->began_ms;
    lateness->busy = lateness->times > 0 || taken || beside_others();
}
