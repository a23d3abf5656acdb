/* SPDX-License-Identifier: Apache-2.0 */
#include "await.h"

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ASK_EVERY_MS = 10, SLOWER = 10, BESIDE_OTHERS = 3 };

void pass_time(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

int64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

const char *slow_daemon(void)
{
    return getenv("P11KMS_DAEMON");
}

bool beside_others(void)
{
    const char *beside = getenv("P11KMS_BESIDE");
    return beside && strcmp(beside, "yes") == 0;
}

int patience(int ms)
{
    if (slow_daemon())
        return ms * SLOWER;
    return beside_others() ? ms * BESIDE_OTHERS : ms;
}

static bool comes_true(bool (*condition)(void *context), void *context, int within_ms)
{
    int64_t start = now_ms();
    bool holds = condition(context);
    while (!holds && now_ms() - start < within_ms) {
        pass_time(ASK_EVERY_MS);
        holds = condition(context);
    }
    return holds;
}

bool await(bool (*condition)(void *context), void *context, int timeout_ms, int64_t *ret_ms)
{
    int64_t start = now_ms();
    bool holds = comes_true(condition, context, patience(timeout_ms));
    if (ret_ms)
        *ret_ms = now_ms() - start;
    return holds;
}

bool never(bool (*condition)(void *context), void *context, int ms)
{
    return !comes_true(condition, context, ms);
}
