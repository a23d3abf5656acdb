/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_kms.h"

#include "stand.h"

#include <stdlib.h>
#include <string.h>

static void answer(struct kms_service *fake, const struct kms_request *request, struct bytes input)
{
    uint8_t output[FAKE_INPUT_MAX + 1] = {0xee};
    struct key_id key_id = {FAKE_KEY_ID};
    (void)pthread_mutex_lock(&fake->lock);
    struct kms_result result = {.code = fake->fail, .message = fake->fail_message};
    (void)pthread_mutex_unlock(&fake->lock);
    if (result.code == ERR_NONE && input.len > FAKE_INPUT_MAX) {
        result.code = ERR_INTERNAL;
        result.message = "longer than the fake takes";
    } else if (result.code == ERR_NONE && request->op == KMS_ENCRYPT) {
        if (input.len > 0)
            memcpy(output + 1, input.data, input.len);
        result.output = bytes_of(output, input.len + 1);
        result.key_id = &key_id;
    } else if (result.code == ERR_NONE && input.len > 0 && input.data[0] == 0xee) {
        result.output = bytes_of(input.data + 1, input.len - 1);
    } else if (result.code == ERR_NONE) {
        result.code = ERR_INVALID;
        result.message = "no envelope";
    }
    request->done(request->context, &result);
}

static void hold_locked(struct kms_service *fake, const struct kms_request *request)
{
    struct fake_held *held = &fake->held[fake->n_held++];
    held->request = *request;
    memcpy(held->input, request->input.data, request->input.len);
    held->request.input = bytes_of(NULL, request->input.len);
}

static void note_locked(struct kms_service *fake, const struct kms_request *request)
{
    fake->submitted++;
    fake->last = *request;
    if (request->has_key_id)
        (void)bytes_to_string(request->key_id, fake->last_key_id, sizeof fake->last_key_id);
    (void)pthread_cond_broadcast(&fake->changed);
}

void kms_submit(struct kms_service *service, const struct kms_request *request)
{
    (void)pthread_mutex_lock(&service->lock);
    note_locked(service, request);
    bool at_once = service->mode == FAKE_AT_ONCE || service->mode == FAKE_STALL ||
                   service->n_held == FAKE_HELD_MAX || request->input.len > FAKE_INPUT_MAX;
    while (service->mode == FAKE_STALL)
        (void)pthread_cond_wait(&service->changed, &service->lock);
    if (!at_once)
        hold_locked(service, request);
    (void)pthread_mutex_unlock(&service->lock);
    if (at_once)
        answer(service, request, request->input);
}

void kms_status(struct kms_service *service, struct kms_status *ret)
{
    (void)pthread_mutex_lock(&service->lock);
    *ret = service->status;
    (void)pthread_mutex_unlock(&service->lock);
}

/* Answers the newest first, so that replies come in another order than requests. */
static void answer_one_locked(struct kms_service *fake)
{
    static _Thread_local struct fake_held one;
    one = fake->held[--fake->n_held];
    (void)pthread_mutex_unlock(&fake->lock);
    answer(fake, &one.request, bytes_of(one.input, one.request.input.len));
    (void)pthread_mutex_lock(&fake->lock);
    (void)pthread_cond_broadcast(&fake->changed);
}

static void *reply(void *argument)
{
    struct kms_service *fake = (struct kms_service *)argument;
    (void)pthread_mutex_lock(&fake->lock);
    while (!fake->ended) {
        if (fake->n_held > 0 && fake->mode != FAKE_HOLD)
            answer_one_locked(fake);
        else
            (void)pthread_cond_wait(&fake->changed, &fake->lock);
    }
    (void)pthread_mutex_unlock(&fake->lock);
    return NULL;
}

void fake_start(struct kms_service *fake)
{
    *fake = (struct kms_service){.mode = FAKE_AT_ONCE, .fail_message = ""};
    fake->status = (struct kms_status){.healthz = "ok", .key_id = FAKE_KEY_ID};
    fake->held = (struct fake_held *)calloc(FAKE_HELD_MAX, sizeof *fake->held);
    (void)pthread_mutex_init(&fake->lock, NULL);
    (void)pthread_cond_init(&fake->changed, NULL);
    (void)pthread_create(&fake->replier, NULL, reply, fake);
}

void fake_set_mode(struct kms_service *fake, enum fake_mode mode)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->mode = mode;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_wait_held(struct kms_service *fake, size_t n)
{
    (void)pthread_mutex_lock(&fake->lock);
    while (fake->n_held < n)
        (void)pthread_cond_wait(&fake->changed, &fake->lock);
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_wait_submitted(struct kms_service *fake, unsigned n)
{
    (void)pthread_mutex_lock(&fake->lock);
    while (fake->submitted < n)
        (void)pthread_cond_wait(&fake->changed, &fake->lock);
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_wait_cancelled(struct kms_service *fake)
{
    (void)pthread_mutex_lock(&fake->lock);
    const atomic_bool *cancelled = fake->held[0].request.cancelled;
    (void)pthread_mutex_unlock(&fake->lock);
    EVENTUALLY(atomic_load(cancelled));
}

void fake_release(struct kms_service *fake)
{
    fake_set_mode(fake, FAKE_THREAD);
    (void)pthread_mutex_lock(&fake->lock);
    while (fake->n_held > 0)
        (void)pthread_cond_wait(&fake->changed, &fake->lock);
    (void)pthread_mutex_unlock(&fake->lock);
}

unsigned fake_submitted(struct kms_service *fake)
{
    (void)pthread_mutex_lock(&fake->lock);
    unsigned n = fake->submitted;
    (void)pthread_mutex_unlock(&fake->lock);
    return n;
}

void fake_set_status(struct kms_service *fake, struct kms_status status)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->status = status;
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_set_failure(struct kms_service *fake, enum err_code code, const char *message)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->fail = code;
    fake->fail_message = message;
    (void)pthread_mutex_unlock(&fake->lock);
}

struct kms_request fake_last(struct kms_service *fake, char *ret_key_id)
{
    (void)pthread_mutex_lock(&fake->lock);
    struct kms_request last = fake->last;
    if (ret_key_id)
        memcpy(ret_key_id, fake->last_key_id, sizeof fake->last_key_id);
    (void)pthread_mutex_unlock(&fake->lock);
    return last;
}

void fake_end(struct kms_service *fake)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->ended = true;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->lock);
    (void)pthread_join(fake->replier, NULL);
    (void)pthread_cond_destroy(&fake->changed);
    (void)pthread_mutex_destroy(&fake->lock);
    free(fake->held);
}
