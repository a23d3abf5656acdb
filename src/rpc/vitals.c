/* SPDX-License-Identifier: Apache-2.0 */
#include "vitals.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

void vitals_beat(struct vitals *vitals)
{
    atomic_store_explicit(&vitals->beat_ns, clock_monotonic_ns(), memory_order_relaxed);
}

/* --- agents ------------------------------------------------------------------------------ */

void vitals_condemned(struct vitals *vitals, uint64_t generation, enum control_reason reason)
{
    uint_fast64_t before = atomic_load(&vitals->condemned);
    while (before / CONDEMN_REASONS < generation &&
           !atomic_compare_exchange_weak(&vitals->condemned, &before,
                                         generation * CONDEMN_REASONS + reason))
        continue;
}

static enum agent_cause cause_of_reason(uint64_t reason)
{
    switch (reason) {
    case CONDEMN_TIMEOUT:
        return AGENT_HUNG;
    case CONDEMN_PROTOCOL:
        return AGENT_PROTOCOL;
    case CONDEMN_SICK:
        return AGENT_SICK;
    default:
        return AGENT_RENEWED;
    }
}

static enum agent_cause cause_of(uint64_t condemned, uint64_t generation, enum control_gone gone)
{
    switch (gone) {
    case GONE_EXITED:
        return AGENT_EXITED;
    case GONE_KILLED:
        return AGENT_KILLED;
    case GONE_CONDEMNED:
        if (condemned / CONDEMN_REASONS == generation)
            return cause_of_reason(condemned % CONDEMN_REASONS);
        break;
    case GONE_RETIRED:
        break;
    }
    return AGENT_RENEWED;
}

void vitals_agent_gone(struct vitals *vitals, uint64_t generation, enum control_gone gone)
{
    uint64_t condemned = atomic_load(&vitals->condemned);
    atomic_store(&vitals->cause, (int)cause_of(condemned, generation, gone));
}

void vitals_agent_started(struct vitals *vitals, bool maker)
{
    int cause = maker ? AGENT_MAKER : atomic_load(&vitals->cause);
    atomic_fetch_add_explicit(&vitals->agent_starts[cause], 1, memory_order_relaxed);
}

/* --- checks ------------------------------------------------------------------------------ */

static void check_beat(struct vitals_check *check, const char *name, int64_t beat_ns)
{
    int64_t late_ms = (clock_monotonic_ns() - beat_ns) / 1000000;
    *check = (struct vitals_check){.name = name, .ok = late_ms < VITALS_LATE_MS, .text = "ok"};
    if (!check->ok)
        (void)snprintf(check->text, sizeof check->text, "has not moved for %d s",
                       (int)(late_ms / 1000));
}

static void check_token(struct vitals_check *check, struct keyring *keyring)
{
    struct health health;
    struct key_id current;
    keyring_status(keyring, &health, &current);
    *check = (struct vitals_check){.name = "token", .for_ready = true, .ok = health.ok};
    memcpy(check->text, health.text, sizeof check->text);
}

void vitals_check(struct vitals *vitals, struct vitals_check ret[static VITALS_CHECKS])
{
    check_beat(&ret[0], "main-loop", atomic_load_explicit(&vitals->beat_ns, memory_order_relaxed));
    check_beat(&ret[1], "grpc", rpc_poller_beat_ns(vitals->poller));
    check_token(&ret[2], vitals->keyring);
}

static bool all_hold(struct vitals *vitals, bool ready)
{
    struct vitals_check checks[VITALS_CHECKS];
    bool all = true;
    vitals_check(vitals, checks);
    for (size_t i = 0; i < VITALS_CHECKS; i++)
        all = all && (checks[i].ok || (checks[i].for_ready && !ready));
    return all;
}

bool vitals_ready(struct vitals *vitals)
{
    return all_hold(vitals, true);
}

bool vitals_alive(struct vitals *vitals)
{
    return all_hold(vitals, false);
}
