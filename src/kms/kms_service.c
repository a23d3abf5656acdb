/* SPDX-License-Identifier: Apache-2.0 */
#include "kms_service.h"

#include "kms_check.h"
#include "kms_flight.h"

#include <string.h>

enum {
    WAIT_MAX_MS = 10000, /* for a lane; API servers give up after 3 s by default */
    MESSAGE_MAX = 640
};

struct kms_service {
    struct keyring *keyring; /* none changes once requests come */
    struct lane_pool *pool;
    struct keeper *keeper;
    struct rotation *rotation; /* may be NULL: nobody counts */
    atomic_bool verify_v1;     /* seals */
    atomic_bool verify_opens_v1, verify_opens_v2;
    struct flights flights;
};

/* --- answering --------------------------------------------------------------------------- */

static void answer(const struct kms_request *request, enum err_code code, const char *message)
{
    const struct kms_result result = {.code = code, .message = message};
    request->done(request->context, &result);
}

/* Tells everybody who waits and frees the job. */
static void end_job(struct job *job, const struct kms_result *result)
{
    flight_leave(&job->service->flights, job);
    while (job->waiters) { /* nobody can join any more */
        struct waiter *waiter = job->waiters;
        job->waiters = waiter->next;
        waiter->done(waiter->context, result);
        free(waiter);
    }
    ring_view_unref(job->view);
    secret_free(job->lane.packet);
    free(job);
}

static void end_job_with(struct job *job, enum err_code code, const char *message)
{
    const struct kms_result result = {.code = code, .message = message};
    end_job(job, &result);
}

/* The token is away, or sealing is forbidden: why is in the health. */
static void end_job_unhealthy(struct job *job)
{
    struct health health;
    struct key_id current;
    keyring_status(job->service->keyring, &health, &current);
    end_job_with(job, ERR_UNAVAILABLE,
                 health.ok ? "the token is not ready: try again" : health.text);
}

static void end_job_unknown_kek(struct job *job)
{
    struct health health;
    struct key_id current;
    keyring_status(job->service->keyring, &health, &current);
    if (!health.ok) { /* a token that is not well cannot say that a KEK does not exist */
        end_job_with(job, ERR_UNAVAILABLE, health.text);
        return;
    }
    struct key_id key_id;
    if (!err_is(key_id_make(keyring_name(job->service->keyring), &job->id, &key_id)))
        keeper_named(job->service->keeper, &key_id);
    end_job_with(job, ERR_NOT_FOUND, "no KEK on the token has the key_id of this ciphertext");
}

/* --- the agent's reply ------------------------------------------------------------------- */

/* The view names a KEK that the agent does not find: the token or its store is away, and only a
 * look can tell more. */
static enum err_code code_for_client(const struct lane_status *status)
{
    return status->code == ERR_NOT_FOUND ? ERR_UNAVAILABLE : status->code;
}

/* Whether its KEK may be broken alone: the active one, which there is, can tell of the token. */
static bool is_of_older(const struct job *job)
{
    const struct kek *active = ring_view_active(job->view);
    return active && job->kek != active;
}

static void consult_keeper(const struct job *job, const struct lane_status *status)
{
    struct keeper *keeper = job->service->keeper;
    if (status->remedy == REMEDY_AGENT && is_of_older(job))
        keeper_older_failed(keeper, job->kek);
    else if (status->remedy == REMEDY_AGENT)
        keeper_replace(keeper, CONDEMN_SICK, "a request failed as a new agent may mend");
    else if (status->remedy != REMEDY_CALLER || status->code == ERR_NOT_FOUND)
        keeper_kick(keeper);
}

/* An older KEK's canary is opened at its first use, so that one whose material has changed is told
 * from ciphertexts that were altered. */
static void note_use(const struct job *job, const struct lane_status *status)
{
    if (status->code == ERR_NONE && is_of_older(job))
        keeper_older_worked(job->service->keeper, &job->kek->id);
    if (job->op == KMS_DECRYPT && (status->code == ERR_NONE || status->code == ERR_AUTH) &&
        job->kek != ring_view_active(job->view) && ring_view_first_use(job->view, job->kek))
        keeper_used(job->service->keeper, &job->kek->id);
}

/* Nobody stores what would not open again: the envelope must name what was asked for. */
static bool is_as_asked(const struct job *job, const struct lane_reply *reply)
{
    struct envelope envelope;
    if (job->op == KMS_DECRYPT)
        return reply->u.plaintext.len >= 1 && reply->u.plaintext.len <= PLAINTEXT_MAX;
    return !err_is(envelope_parse(reply->u.envelope, &envelope)) &&
           envelope.family == job->family && envelope.scheme == job->kek->label.scheme &&
           bytes_equal(envelope.key_id, bytes_of_string(job->kek->key_id.text));
}

static void on_done(struct lane_job *lane, struct err transport, const struct lane_reply *reply)
{
    struct job *job = (struct job *)lane;
    char message[MESSAGE_MAX];
    if (err_is(transport)) {
        end_job_with(job, transport.code, transport.where);
        return;
    }
    note_use(job, &reply->status);
    if (reply->status.code != ERR_NONE) {
        consult_keeper(job, &reply->status);
        (void)snprintf(message, sizeof message, "%s", reply->status.text);
        end_job_with(job, code_for_client(&reply->status), message);
        return;
    }
    if (!is_as_asked(job, reply)) {
        keeper_replace(job->service->keeper, CONDEMN_PROTOCOL,
                       "the agent answered something else than was asked");
        end_job_with(job, ERR_INTERNAL, "the token agent answered something else than was asked");
        return;
    }
    struct kms_result result = {.code = ERR_NONE, .message = ""};
    result.output = job->op == KMS_ENCRYPT ? reply->u.envelope : reply->u.plaintext;
    result.key_id = job->op == KMS_ENCRYPT ? &job->kek->key_id : NULL;
    end_job(job, &result);
}

static bool is_abandoned(struct lane_job *lane, int64_t at_ns)
{
    struct job *job = (struct job *)lane;
    return flight_abandoned(&job->service->flights, job, at_ns);
}

/* --- to the lane ------------------------------------------------------------------------- */

/* A client's Encrypts do not wait behind its own storm of Decrypts either. */
static uint64_t flow_of(const struct kms_request *request)
{
    return request->connection * 2 + (request->op == KMS_ENCRYPT);
}

static struct err job_new(struct kms_service *service, const struct kms_request *request,
                          struct job **ret)
{
    size_t kept = request->op == KMS_DECRYPT ? request->input.len : 0;
    struct job *job = calloc(1, sizeof *job + kept);
    if (!job)
        return err_make(ERR_EXHAUSTED, "out of memory");
    int64_t latest = clock_monotonic_ns() + WAIT_MAX_MS * INT64_C(1000000);
    job->service = service;
    job->op = request->op;
    job->family = request->family;
    job->connection = request->connection;
    job->envelope_len = kept;
    if (kept > 0)
        memcpy(job->envelope, request->input.data, kept);
    /* A shared job must outwait its first waiter; its abandonment ends it early enough. */
    bool own_deadline = request->op == KMS_ENCRYPT && request->deadline_ns < latest;
    job->lane = (struct lane_job){.op = request->op == KMS_ENCRYPT ? LANE_SEAL : LANE_OPEN,
                                  .number = lane_pool_number(service->pool),
                                  .flow = flow_of(request),
                                  .deadline_ns = own_deadline ? request->deadline_ns : latest,
                                  .done = on_done,
                                  .abandoned = is_abandoned};
    struct err e = flight_first_waiter(job, request);
    if (err_is(e))
        free(job);
    else
        *ret = job;
    return e;
}

static struct err encode(struct job *job, const struct lane_request *request)
{
    TRY(secret_new(LANE_PACKET_MAX, &job->lane.packet));
    struct writer w = writer_over(secret_memory(job->lane.packet), LANE_PACKET_MAX);
    lane_put_request(&w, request);
    secret_set_len(job->lane.packet, w.len);
    return w.full ? err_make(ERR_INTERNAL, "request does not fit a lane") : ERR_OK;
}

/* Without lanes a request may wait out a short restart, but not an outage. */
static void submit(struct job *job, const struct lane_request *request)
{
    struct kms_service *service = job->service;
    struct health health;
    struct key_id current;
    if (!lane_pool_has_lanes(service->pool)) {
        keyring_status(service->keyring, &health, &current);
        if (!health.ok) {
            end_job_with(job, ERR_UNAVAILABLE, health.text);
            return;
        }
    }
    struct err e = encode(job, request);
    if (err_is(e))
        end_job_with(job, e.code, e.where);
    else
        lane_pool_submit(service->pool, &job->lane);
}

static void seal(struct job *job, const struct kms_request *request)
{
    job->view = keyring_view(job->service->keyring);
    job->kek = ring_view_active(job->view);
    if (!job->kek) {
        end_job_unhealthy(job);
        return;
    }
    struct lane_request q = {.op = LANE_SEAL, .number = job->lane.number};
    q.u.seal.family = job->family;
    q.u.seal.scheme = job->kek->label.scheme;
    q.u.seal.verify = job->family == FAMILY_V2 || atomic_load(&job->service->verify_v1);
    q.u.seal.key_id = job->kek->key_id;
    q.u.seal.plaintext = request->input;
    if (job->service->rotation) /* counted before it happens: never too few */
        rotation_sealed(job->service->rotation);
    submit(job, &q);
}

static bool verifies_opens(const struct job *job)
{
    return atomic_load(job->family == FAMILY_V2 ? &job->service->verify_opens_v2
                                                : &job->service->verify_opens_v1);
}

/* No KEK has two schemes: what says so is damaged, and no token need be asked. */
static bool is_of_its_scheme(const struct job *job)
{
    struct envelope envelope;
    return !err_is(envelope_parse(job_envelope(job), &envelope)) &&
           envelope.scheme == job->kek->label.scheme;
}

/* Finds the KEK and goes; false, with nothing done, when the view has none such. */
static bool open_known(struct job *job)
{
    ring_view_unref(job->view);
    job->view = keyring_view(job->service->keyring);
    job->kek = ring_view_find(job->view, &job->id);
    if (!job->kek)
        return false;
    struct lane_request q = {.op = LANE_OPEN, .number = job->lane.number};
    q.u.open.family = job->family;
    q.u.open.verify = verifies_opens(job);
    q.u.open.envelope = job_envelope(job);
    if (job->kek->quarantined)
        end_job_with(job, ERR_TOKEN, "the KEK of this ciphertext is quarantined");
    else if (!is_of_its_scheme(job))
        end_job_with(job, ERR_INVALID, "the ciphertext names another scheme than its KEK is for");
    else
        submit(job, &q);
    return true;
}

/* --- unknown KEKs ------------------------------------------------------------------------ */

/* Where a fresh agent has to look, and none comes, those whose time is over leave their places. */
static bool park(struct kms_service *service, struct job *job)
{
    if (flight_park(&service->flights, job, service->keeper))
        return true;
    kms_service_looked(service, 0);
    return flight_park(&service->flights, job, service->keeper);
}

/* The KEK may be younger than our last look: have the token looked at. */
static void open_unknown(struct job *job)
{
    struct kms_service *service = job->service;
    if (ring_view_misses(job->view, &job->id)) { /* looked for again, but nobody waits for that */
        (void)keeper_want_look(service->keeper);
        end_job_unknown_kek(job);
    } else if (!park(service, job)) {
        end_job_with(job, ERR_EXHAUSTED, "too many requests name unknown KEKs");
    }
}

void kms_service_looked(struct kms_service *service, uint64_t number)
{
    struct job *parked = flight_unpark(&service->flights, number, clock_monotonic_ns());
    while (parked) {
        struct job *job = parked;
        parked = job->next;
        if (open_known(job))
            continue;
        if (job->look > number)
            end_job_with(job, ERR_DEADLINE, "no fresh agent has looked for this KEK in time");
        else
            end_job_unknown_kek(job);
    }
}

/* --- requests ---------------------------------------------------------------------------- */

static void encrypt(struct kms_service *service, const struct kms_request *request)
{
    struct job *job = NULL;
    const char *wrong = kms_encrypt_objection(request);
    if (wrong) {
        answer(request, ERR_INVALID, wrong);
        return;
    }
    struct err e = job_new(service, request, &job);
    if (err_is(e))
        answer(request, e.code, e.where);
    else
        seal(job, request);
}

static void decrypt(struct kms_service *service, const struct kms_request *request)
{
    struct job *job = NULL;
    struct object_id id;
    enum err_code code;
    const char *wrong = kms_decrypt_objection(request, keyring_rules(service->keyring), &id, &code);
    if (wrong) {
        answer(request, code, wrong);
        return;
    }
    uint64_t hash = flight_hash(request->input, request->family);
    if (flight_join(&service->flights, request, hash))
        return;
    struct err e = job_new(service, request, &job);
    if (err_is(e)) {
        answer(request, e.code, e.where);
        return;
    }
    job->id = id;
    flight_share(&service->flights, job, hash);
    if (!open_known(job))
        open_unknown(job);
}

void kms_submit(struct kms_service *service, const struct kms_request *request)
{
    if (request->op == KMS_ENCRYPT)
        encrypt(service, request);
    else
        decrypt(service, request);
}

void kms_status(struct kms_service *service, struct kms_status *ret)
{
    struct health health;
    struct key_id current;
    keyring_status(service->keyring, &health, &current);
    ret->failed = health.failed;
    _Static_assert(sizeof ret->healthz >= sizeof health.text, "a health line fits");
    memcpy(ret->healthz, health.text, sizeof health.text);
    memcpy(ret->key_id, current.text, sizeof current.text);
}

struct err kms_service_new(struct keyring *keyring, struct lane_pool *pool,
                           struct kms_service **ret)
{
    struct kms_service *service = calloc(1, sizeof *service);
    if (!service)
        return err_make(ERR_EXHAUSTED, "kms_service_new");
    flights_init(&service->flights);
    service->keyring = keyring;
    service->pool = pool;
    atomic_init(&service->verify_v1, true);
    atomic_init(&service->verify_opens_v1, true);
    atomic_init(&service->verify_opens_v2, true);
    *ret = service;
    return ERR_OK;
}

void kms_service_free(struct kms_service *service)
{
    if (!service)
        return;
    flights_destroy(&service->flights);
    free(service);
}

void kms_service_set_keeper(struct kms_service *service, struct keeper *keeper)
{
    service->keeper = keeper;
}

void kms_service_set_rotation(struct kms_service *service, struct rotation *rotation)
{
    service->rotation = rotation;
}

void kms_service_set_verify_v1(struct kms_service *service, bool verify)
{
    atomic_store(&service->verify_v1, verify);
}

void kms_service_set_verify_opens(struct kms_service *service, bool v1, bool v2)
{
    atomic_store(&service->verify_opens_v1, v1);
    atomic_store(&service->verify_opens_v2, v2);
}
