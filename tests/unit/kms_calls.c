/* SPDX-License-Identifier: Apache-2.0 */
#include "kms_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all calls */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void looked(void *context, uint64_t number)
{
    kms_service_looked(context, number);
}

void kms_rig_make(struct kms_rig *rig)
{
    rig_make(&rig->ring);
    assert_false(err_is(kms_service_new(rig->ring.keyring, rig->ring.pool, &rig->service)));
    rig->ring.looked = looked;
    rig->ring.context = rig->service;
    rig->connection = 0;
    rig_start(&rig->ring, 60000, NEVER_MS, NEVER_MS);
    kms_service_set_keeper(rig->service, rig->ring.keeper);
}

void kms_rig_serve(struct kms_rig *rig)
{
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    rig->agent = rig_serve_well(&rig->ring, &key, 1);
}

void kms_rig_end(struct kms_rig *rig)
{
    lane_pool_drop(rig->ring.pool, UINT64_MAX - 1, "the end");
    lane_pool_fail_waiting(rig->ring.pool);
    rig_end(&rig->ring);
    kms_service_free(rig->service);
}

static void on_done(void *context, const struct kms_result *result)
{
    struct call *call = context;
    if (call->then)
        call->then(call);
    pthread_mutex_lock(&lock);
    call->done++;
    call->code = result->code;
    (void)snprintf(call->message, sizeof call->message, "%s", result->message);
    (void)snprintf(call->key_id, sizeof call->key_id, "%s",
                   result->key_id ? result->key_id->text : "");
    call->len = result->output.len;
    if (result->output.len > 0 && result->output.len <= sizeof call->output)
        memcpy(call->output, result->output.data, result->output.len);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static struct kms_request request_of(const struct kms_rig *rig, struct call *call, enum kms_op op,
                                     enum family family, struct bytes input)
{
    memset(call, 0, sizeof *call);
    return (struct kms_request){.op = op,
                                .family = family,
                                .input = input,
                                .connection = rig->connection,
                                .deadline_ns = INT64_MAX,
                                .cancelled = &call->cancelled,
                                .done = on_done,
                                .context = call};
}

void call_encrypt(struct kms_rig *rig, struct call *call, enum family family,
                  struct bytes plaintext)
{
    struct kms_request request = request_of(rig, call, KMS_ENCRYPT, family, plaintext);
    kms_submit(rig->service, &request);
}

void call_encrypt_until(struct kms_rig *rig, struct call *call, int64_t deadline_ns)
{
    struct kms_request request =
        request_of(rig, call, KMS_ENCRYPT, FAMILY_V2, bytes_of_string("dek"));
    request.deadline_ns = deadline_ns;
    kms_submit(rig->service, &request);
}

static void decrypt(struct kms_rig *rig, struct kms_request *request, const char *key_id)
{
    request->has_key_id = key_id != NULL;
    request->key_id = bytes_of_string(key_id ? key_id : "");
    kms_submit(rig->service, request);
}

void call_decrypt_bytes(struct kms_rig *rig, struct call *call, enum family family,
                        struct bytes envelope, const char *key_id)
{
    struct kms_request request = request_of(rig, call, KMS_DECRYPT, family, envelope);
    decrypt(rig, &request, key_id);
}

static void decrypt_text(struct kms_rig *rig, struct call *call, uint16_t tail, const char *text,
                         int64_t deadline_ns)
{
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(tail);
    size_t len = fake_envelope(FAMILY_V2, &key_id, text, envelope);
    struct kms_request request =
        request_of(rig, call, KMS_DECRYPT, FAMILY_V2, bytes_of(envelope, len));
    request.deadline_ns = deadline_ns;
    decrypt(rig, &request, key_id.text);
    memset(envelope, 0, sizeof envelope); /* it was only borrowed */
}

void call_decrypt(struct kms_rig *rig, struct call *call, uint16_t tail, const char *text)
{
    decrypt_text(rig, call, tail, text, INT64_MAX);
}

void call_decrypt_until(struct kms_rig *rig, struct call *call, const char *text,
                        int64_t deadline_ns)
{
    decrypt_text(rig, call, 1, text, deadline_ns);
}

void kms_rig_occupy(struct kms_rig *rig, struct call *calls)
{
    fake_agent_rule(rig->agent, LANE_SEAL, FAKE_HOLD);
    for (size_t i = 0; i < RIG_LANES - 1; i++)
        call_encrypt(rig, &calls[i], FAMILY_V2, bytes_of_string("filler"));
    fake_agent_wait_seen(rig->agent, LANE_SEAL, RIG_LANES - 1);
}

void kms_rig_release(struct kms_rig *rig, struct call *calls)
{
    fake_agent_release(rig->agent);
    for (size_t i = 0; i < RIG_LANES - 1; i++)
        call_expect(&calls[i], ERR_NONE, "");
}

bool call_ended(struct call *call)
{
    pthread_mutex_lock(&lock);
    bool yes = call->done > 0;
    pthread_mutex_unlock(&lock);
    return yes;
}

void call_wait(struct call *call)
{
    pthread_mutex_lock(&lock);
    while (call->done == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void call_expect(struct call *call, enum err_code code, const char *word)
{
    call_wait(call);
    pthread_mutex_lock(&lock);
    struct call got = {.done = call->done, .code = call->code, .len = call->len};
    memcpy(got.message, call->message, sizeof got.message);
    pthread_mutex_unlock(&lock);
    assert_int_equal(got.done, 1);
    assert_string_equal(err_name(got.code), err_name(code));
    if (!strstr(got.message, word))
        fail_msg("\"%s\" does not say \"%s\"", got.message, word);
    if (code != ERR_NONE)
        assert_int_equal(got.len, 0);
}

void call_expect_text(struct call *call, const char *text)
{
    call_expect(call, ERR_NONE, "");
    assert_int_equal(call->len, strlen(text));
    assert_memory_equal(call->output, text, strlen(text));
}
