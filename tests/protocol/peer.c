/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <grpc/status.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { PLAINTEXT_MAX = 512, ROTATED_MS = 10000 };

const struct api apis[KMS_API_VERSIONS] = {
    [KMS_API_V1BETA1] = {KMS_API_V1BETA1, "v1beta1", true},
    [KMS_API_V2ALPHA1] = {KMS_API_V2ALPHA1, "v2alpha1", false},
    [KMS_API_V2] = {KMS_API_V2, "v2beta1", false},
};

struct dek random_dek(void)
{
    struct dek dek;
    assert_int_equal(getrandom(dek.data, DEK_LEN, 0), DEK_LEN);
    return dek;
}

struct bytes dek_bytes(const struct dek *dek)
{
    return bytes_of(dek->data, DEK_LEN);
}

/* --- calls ------------------------------------------------------------------------------- */

static void assert_answered(struct err e, const struct api *api, const char *method,
                            const struct kms_failure *failure)
{
    if (err_is(e))
        fail_msg("%s %s: %s: %s", kms_api_version_name(api->version), method, failure->name,
                 failure->message);
}

struct kms_client_status peer_status(struct kms_client *client, const struct api *api)
{
    struct kms_client_status status;
    struct kms_failure failure;
    struct err e =
        kms_client_status(client, api->version, patience(PEER_CALL_MS), &status, &failure);
    assert_answered(e, api, "Status", &failure);
    return status;
}

struct kms_sealed peer_seal(struct kms_client *client, const struct api *api,
                            struct bytes plaintext)
{
    struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    struct err e = kms_client_encrypt(client, api->version, plaintext, patience(PEER_CALL_MS),
                                      &sealed, &failure);
    assert_answered(e, api, "Encrypt", &failure);
    return sealed;
}

void peer_open(struct kms_client *client, const struct api *api, const struct kms_sealed *sealed,
               struct bytes expected)
{
    AUTO_SECRET struct secret *opened = NULL;
    struct kms_failure failure;
    assert_false(err_is(secret_new(PLAINTEXT_MAX, &opened)));
    struct err e =
        kms_client_decrypt(client, api->version, sealed, patience(PEER_CALL_MS), opened, &failure);
    assert_answered(e, api, "Decrypt", &failure);
    assert_true(bytes_equal(secret_bytes(opened), expected));
}

bool peer_refuses(struct kms_client *client, const struct api *api, const struct kms_sealed *sealed,
                  const char *what, size_t at)
{
    AUTO_SECRET struct secret *opened = NULL;
    struct kms_failure failure = {.code = GRPC_STATUS_OK, .name = "OK"};
    assert_false(err_is(secret_new(PLAINTEXT_MAX, &opened)));
    struct err e =
        kms_client_decrypt(client, api->version, sealed, patience(PEER_CALL_MS), opened, &failure);
    bool refused = err_is(e) && (failure.code == GRPC_STATUS_INVALID_ARGUMENT ||
                                 failure.code == GRPC_STATUS_NOT_FOUND);
    if (!refused)
        print_error("%s: %s %zu: %s %s\n", kms_api_version_name(api->version), what, at,
                    failure.name, failure.message);
    return refused;
}

/* --- daemons ----------------------------------------------------------------------------- */

void peer_serve(struct harness *h)
{
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
}

void peer_restart(struct harness *h)
{
    harness_stop(h);
    peer_serve(h);
}

void peer_serve_replica(const struct harness *h, const char *top, struct harness *ret)
{
    *ret = (struct harness){.config = h->config};
    int len = snprintf(ret->dir, sizeof ret->dir, "%s/XXXXXX", h->dir);
    assert_in_range(len, 1, sizeof ret->dir - 1);
    assert_non_null(mkdtemp(ret->dir));
    harness_path(ret, "config.yaml", ret->config_path);
    harness_path(ret, "kms.sock", ret->socket);
    harness_path(ret, "admin.sock", ret->admin_socket);
    memcpy(ret->log, h->log, sizeof ret->log);
    ret->config.top = top;
    harness_write_config(ret);
    peer_serve(ret);
}

/* --- rotation ---------------------------------------------------------------------------- */

void peer_begin_rotation(const struct harness *h, const char *generation)
{
    harness_make_kek(h, generation);
    assert_int_equal(kill(h->monitor, SIGHUP), 0);
}

struct rotation {
    const struct harness *h;
    struct kms_client_status before, now;
};

static bool is_rotated(void *context)
{
    struct rotation *r = context;
    return harness_status(r->h, &r->now) && strcmp(r->now.healthz, "ok") == 0 &&
           strcmp(r->now.key_id, r->before.key_id) != 0;
}

void peer_rotate(const struct harness *h, const char *generation, struct kms_client_status *ret)
{
    struct rotation r = {.h = h};
    assert_true(harness_status(h, &r.before));
    peer_begin_rotation(h, generation);
    if (!await(is_rotated, &r, ROTATED_MS, NULL))
        fail_msg("Status still says '%s' of %s", r.now.healthz, r.now.key_id);
    *ret = r.now;
}
