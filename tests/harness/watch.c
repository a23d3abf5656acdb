/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include "await.h"
#include "kms_client.h"
#include "lateness.h"
#include "text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_MS = 3000, /* kube-apiserver's default */
    WORST_MS = 50,
    BUSY_WORST_MS =
        2000 /* a busy thread that gets a tenth of a processor waits long for each turn */
};

struct watch {
    struct kms_client *client;
    pthread_t asker;
    atomic_bool stop;
    struct watch_figures asked; /* its thread's, until that was joined */
    struct lateness lateness;
};

static void ask(struct watch *watch)
{
    struct watch_figures *f = &watch->asked;
    struct kms_client_status status;
    struct kms_failure failure;
    int64_t start = clock_monotonic_ns();
    f->failed +=
        err_is(kms_client_status(watch->client, KMS_API_V2, patience(CALL_MS), &status, &failure));
    double ms = (double)(clock_monotonic_ns() - start) / 1e6;
    f->asked++;
    f->over_10_ms += ms > 10;
    f->over_50_ms += ms > 50;
    f->worst_ms = ms > f->worst_ms ? ms : f->worst_ms;
}

static void *keep_asking(void *argument)
{
    struct watch *watch = argument;
    while (!atomic_load(&watch->stop)) {
        ask(watch);
        pass_time(patience(2));
    }
    return NULL;
}

struct watch *watch_start(const char *socket_path)
{
    const struct kms_client_options options = {.socket_path = socket_path};
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    if (err_is(kms_client_open(&options, &watch->client))) {
        free(watch);
        return NULL;
    }
    ask(watch); /* until its first call a client has no connection */
    watch->asked = (struct watch_figures){.asked = 0};
    lateness_start(&watch->lateness);
    if (pthread_create(&watch->asker, NULL, keep_asking, watch) != 0)
        abort();
    return watch;
}

void watch_stop(struct watch *watch, struct watch_figures *ret)
{
    atomic_store(&watch->stop, true);
    (void)pthread_join(watch->asker, NULL);
    lateness_stop(&watch->lateness);
    *ret = watch->asked;
    ret->late_wakeups = watch->lateness.times;
    ret->worst_wakeup_ms = watch->lateness.worst_ms;
    ret->others_ms = (long)watch->lateness.others_ms;
    ret->busy = watch->lateness.busy;
    (void)printf("  Status: %u calls, %u failed, %u over 10 ms, %u over 50 ms, worst %.1f ms; "
                 "sleeping thread late %u times, worst %.1f ms; others had %ld ms\n",
                 ret->asked, ret->failed, ret->over_10_ms, ret->over_50_ms, ret->worst_ms,
                 ret->late_wakeups, ret->worst_wakeup_ms, ret->others_ms);
    (void)fflush(stdout);
    kms_client_close(watch->client);
    free(watch);
}

/* A daemon that waits for a token exceeds the wide limits too, by a second or more. */
static bool was_quick(const struct watch_figures *f, unsigned one_of)
{
    if (slow_daemon()) {
        (void)printf("  A SLOW DAEMON: HOW QUICK STATUS WAS IS NOT JUDGED\n");
        return f->failed == 0;
    }
    unsigned allowed = 1 + f->asked / (f->busy ? 2 : one_of) + f->late_wakeups;
    double limit_ms = f->busy ? BUSY_WORST_MS : WORST_MS;
    if (f->busy)
        (void)printf("  THE MACHINE IS BUSY: of Status %u calls may take more than 10 ms, and none "
                     "more than %.0f\n",
                     allowed, limit_ms);
    return f->failed == 0 && f->over_10_ms <= allowed && f->worst_ms <= limit_ms;
}

bool watch_was_quick(const struct watch_figures *f)
{
    return was_quick(f, 1000);
}

bool watch_was_quick_in_a_storm(const struct watch_figures *f)
{
    return was_quick(f, 100);
}
