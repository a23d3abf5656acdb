/* SPDX-License-Identifier: Apache-2.0 */
/* The rotation's side of the agents that make keys: asked of the monitor, one at a time. */
#include "rotation_private.h"

#include "cleanup.h"

enum { MAKER_WAIT_MS = 10000 /* for the monitor to start one */ };

void rotation_end_maker(void *context)
{
    struct rotation *r = context;
    pthread_mutex_lock(&r->lock);
    int lane = r->maker_lane;
    r->maker_lane = -1;
    pthread_mutex_unlock(&r->lock);
    if (lane < 0)
        return;
    (void)close(lane);
    r->hooks.end_maker(r->hooks.context, r->maker_number);
}

struct err rotation_fresh_maker(void *context, int *ret_lane, char text[static MAKER_TEXT_MAX + 1])
{
    struct rotation *r = context;
    const struct timespec until = clock_after_ms(MAKER_WAIT_MS);
    int waited = 0;
    rotation_end_maker(r);
    pthread_mutex_lock(&r->lock);
    r->wanted = ++r->maker_number;
    pthread_mutex_unlock(&r->lock);
    r->hooks.want_maker(r->hooks.context, r->maker_number);
    pthread_mutex_lock(&r->lock);
    while (r->offered != r->maker_number && !r->stop && waited == 0)
        waited = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool came = r->offered == r->maker_number;
    r->wanted = 0;
    if (came)
        r->maker_lane = take_fd(&r->offered_lane);
    int lane = r->stop ? -1 : r->maker_lane;
    (void)snprintf(text, MAKER_TEXT_MAX + 1, "no agent that makes keys could be started: %s",
                   came      ? r->maker_why
                   : r->stop ? "the daemon stops"
                             : "no answer in 10 s");
    pthread_mutex_unlock(&r->lock);
    if (!came) /* it must not stay, should it come after all */
        r->hooks.end_maker(r->hooks.context, r->maker_number);
    if (lane < 0)
        return err_make(ERR_UNAVAILABLE, "maker");
    text[0] = '\0';
    *ret_lane = lane;
    return ERR_OK;
}

void rotation_offer(struct rotation *r, uint64_t number, int lane)
{
    pthread_mutex_lock(&r->lock);
    if (number == r->wanted && r->offered != number) {
        r->offered = number;
        r->offered_lane = take_fd(&lane);
        r->maker_why[0] = '\0';
        (void)pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    if (lane >= 0) /* too late: nobody waits for it */
        (void)close(lane);
}

/* One that came and went says so by the end of its lane. */
void rotation_maker_gone(struct rotation *r, uint64_t number, const char *why)
{
    pthread_mutex_lock(&r->lock);
    if (number == r->wanted && r->offered != number) {
        r->offered = number;
        (void)snprintf(r->maker_why, sizeof r->maker_why, "%s", why);
        (void)pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
}
