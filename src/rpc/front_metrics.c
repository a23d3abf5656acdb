/* SPDX-License-Identifier: Apache-2.0 */
#include "front_metrics.h"

#include "exposition.h"
#include "lane_pool.h"
#include "lane_tally.h"
#include "ring_plan.h"
#include "rpc_tally.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

#define P "p11_kms_"

enum { LABELS_SIZE = 160, METHODS_MAX = 24 };

static void gauge(struct writer *w, const char *name, const char *help, uint64_t value)
{
    expose_family(w, name, "gauge", help);
    expose_number(w, name, "", value);
}

/* --- requests ---------------------------------------------------------------------------- */

/* Counter and histogram are of one reading, so that they agree in every scrape. */
struct method_count {
    char labels[LABELS_SIZE];
    uint64_t by_status[RPC_STATUSES];
    struct timed_count all;
};

/* "/v2.KeyManagementService/Encrypt" is the method Encrypt of the API v2, its package. Whatever
 * else clients make up is one value of each label. */
static void label_method(const char *path, struct method_count *ret)
{
    const char *service = path ? path + 1 : "unknown.";
    const char *method = path ? strrchr(path, '/') + 1 : "unknown";
    size_t len = strcspn(service, "/");
    while (len > 0 && service[len] != '.')
        len--;
    (void)snprintf(ret->labels, sizeof ret->labels, "api=\"%.*s\",method=\"%s\"", (int)len, service,
                   method);
}

static size_t read_methods(const struct rpc_server *server, struct method_count *ret)
{
    const char *path = NULL;
    size_t n = 0;
    const struct timed *ended;
    for (; n < METHODS_MAX && (ended = rpc_tally(server, n, &path)); n++) {
        memset(&ret[n], 0, sizeof ret[n]);
        label_method(path, &ret[n]);
        for (size_t status = 0; status < RPC_STATUSES; status++) {
            uint64_t before = ret[n].all.count;
            timed_read(&ended[status], &ret[n].all);
            ret[n].by_status[status] = ret[n].all.count - before;
        }
    }
    return n;
}

static void write_requests(const struct vitals *vitals, struct writer *w)
{
    struct method_count methods[METHODS_MAX];
    char labels[LABELS_SIZE + 64];
    size_t n = read_methods(vitals->server, methods);
    expose_family(w, P "requests_total", "counter",
                  "gRPC calls answered on the KMS socket, by the status of the answer.");
    for (size_t i = 0; i < n; i++)
        for (size_t status = 0; status < RPC_STATUSES; status++) {
            if (!rpc_status_name(status))
                continue;
            (void)snprintf(labels, sizeof labels, "%.*s,code=\"%s\"", LABELS_SIZE - 1,
                           methods[i].labels, rpc_status_name(status));
            expose_number(w, P "requests_total", labels, methods[i].by_status[status]);
        }
    expose_family(w, P "request_duration_seconds", "histogram",
                  "Time from the arrival of a gRPC call to its answer.");
    for (size_t i = 0; i < n; i++)
        expose_histogram(w, P "request_duration_seconds", methods[i].labels, &methods[i].all);
}

/* --- the token --------------------------------------------------------------------------- */

static void write_operation_counts(struct writer *w, struct timed_count *by_op)
{
    char labels[LABELS_SIZE];
    expose_family(w, P "token_operations_total", "counter",
                  "Operations asked of the token, by how they ended.");
    for (size_t op = 0; lane_tally_op(op); op++)
        for (size_t result = 0; lane_tally_result(result); result++) {
            uint64_t before = by_op[op].count;
            timed_read(lane_tally(op, result), &by_op[op]);
            (void)snprintf(labels, sizeof labels, "op=\"%s\",result=\"%s\"", lane_tally_op(op),
                           lane_tally_result(result));
            expose_number(w, P "token_operations_total", labels, by_op[op].count - before);
        }
}

static void write_operations(struct writer *w)
{
    struct timed_count by_op[LANE_TALLY_OPS];
    char labels[LABELS_SIZE];
    memset(by_op, 0, sizeof by_op);
    write_operation_counts(w, by_op);
    expose_family(w, P "token_operation_duration_seconds", "histogram",
                  "Time from writing a request to a lane to its end, by operation.");
    for (size_t op = 0; op < LANE_TALLY_OPS; op++) {
        (void)snprintf(labels, sizeof labels, "op=\"%s\"", lane_tally_op(op));
        expose_histogram(w, P "token_operation_duration_seconds", labels, &by_op[op]);
    }
}

static void write_lanes(const struct vitals *vitals, struct writer *w)
{
    size_t busy = 0, waiting = 0;
    lane_pool_load(vitals->pool, &busy, &waiting);
    gauge(w, P "lanes_busy", "Lanes to the token with a request in them.", busy);
    gauge(w, P "requests_waiting", "Requests that wait for a lane.", waiting);
    gauge(w, P "token_up", "Whether an agent is logged in to the token and takes requests.",
          lane_pool_has_lanes(vitals->pool));
}

static void write_agents(struct vitals *vitals, struct writer *w)
{
    static const char *const causes[AGENT_CAUSES] = {
        [AGENT_FIRST] = "first",     [AGENT_EXITED] = "exited",     [AGENT_KILLED] = "killed",
        [AGENT_HUNG] = "hung",       [AGENT_PROTOCOL] = "protocol", [AGENT_SICK] = "token_failed",
        [AGENT_RENEWED] = "renewed", [AGENT_MAKER] = "maker",
    };
    char labels[LABELS_SIZE];
    expose_family(w, P "agent_starts_total", "counter",
                  "Token agents started, by what made it necessary.");
    for (size_t i = 0; i < AGENT_CAUSES; i++) {
        (void)snprintf(labels, sizeof labels, "cause=\"%s\"", causes[i]);
        expose_number(w, P "agent_starts_total", labels,
                      atomic_load_explicit(&vitals->agent_starts[i], memory_order_relaxed));
    }
}

/* What never happened has no time: the sample is absent then. */
static void write_time(struct writer *w, const char *name, const char *help, int64_t ms)
{
    expose_family(w, name, "gauge", help);
    if (ms > 0)
        expose_milliseconds(w, name, "", ms);
}

static void write_health(struct vitals *vitals, struct writer *w)
{
    struct health health;
    struct key_id current;
    keyring_status(vitals->keyring, &health, &current);
    gauge(w, P "ready", "Whether /readyz answers 200.", vitals_ready(vitals));
    gauge(w, P "pin_blocked", "Whether the PIN was refused and none is tried any more.",
          health.pin_blocked);
    write_time(w, P "last_probe_timestamp_seconds",
               "When the active KEK last passed a probe on the token, in Unix time.",
               keeper_proved_ms(vitals->keeper));
}

/* --- the ring ---------------------------------------------------------------------------- */

static void write_states(const struct ring_view *view, struct writer *w)
{
    static const enum key_state states[] = {KEY_PRE_ACTIVE, KEY_ACTIVE, KEY_DEACTIVATED,
                                            KEY_COMPROMISED};
    char labels[LABELS_SIZE];
    size_t n = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    expose_family(w, P "keks", "gauge", "KEKs of the ring on the token, by state.");
    for (size_t s = 0; s < sizeof states / sizeof *states; s++) {
        uint64_t count = 0;
        for (size_t i = 0; i < n; i++)
            count += keys[i].label.state == states[s];
        (void)snprintf(labels, sizeof labels, "state=\"%s\"", key_state_name(states[s]));
        expose_number(w, P "keks", labels, count);
    }
}

static void write_ring(const struct vitals *vitals, struct writer *w)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(vitals->keyring);
    const struct kek *active = ring_view_active(view);
    size_t n = 0, missing = 0;
    uint64_t unusable = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    (void)ring_view_missing(view, &missing);
    for (size_t i = 0; i < n; i++)
        unusable += !kek_usable(&keys[i]);
    write_states(view, w);
    gauge(w, P "keks_unusable", "KEKs on the token that are refused, ambiguous or quarantined.",
          unusable);
    gauge(w, P "keks_missing", "KEKs that this host knows and the token does not show.", missing);
    /* An operator's own key tells no age. */
    write_time(w, P "active_kek_age_seconds", "Age of the KEK that seals.",
               active && kek_made_ms(active) > 0 ? clock_wall_ms() - kek_made_ms(active) : 0);
}

static void write_rotation(const struct vitals *vitals, struct writer *w)
{
    struct rotation_status status;
    rotation_status(vitals->rotation, &status);
    gauge(w, P "active_kek_seals",
          "Seals under the active KEK by this daemon, at most: what is reserved on disk counts.",
          status.seals);
    gauge(w, P "active_kek_seals_max", "Seals after which the active KEK gets a successor.",
          status.max_seals);
    gauge(w, P "rotation_blocked", "Whether something keeps the ring from rotating.",
          status.blocked[0] != '\0');
}

void front_metrics_write(struct vitals *vitals, struct writer *w)
{
    write_requests(vitals, w);
    write_operations(w);
    write_lanes(vitals, w);
    write_agents(vitals, w);
    write_health(vitals, w);
    write_ring(vitals, w);
    write_rotation(vitals, w);
    expose_family(w, P "start_time_seconds", "gauge",
                  "When the front end started, in Unix time: counters begin there.");
    expose_milliseconds(w, P "start_time_seconds", "", vitals->started_ms);
    expose_family(w, P "build_info", "gauge", "The version that runs; always 1.");
    expose_number(w, P "build_info", "version=\"" P11KMS_VERSION "\"", 1);
}
