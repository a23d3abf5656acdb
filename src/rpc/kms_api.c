/* SPDX-License-Identifier: Apache-2.0 */
#include "kms_api.h"

#include "api_rows.h"

#include <stdio.h>
#include <stdlib.h>

static const struct api_row {
    const char *package;
    const char *version; /* NULL: as configured */
    const struct api_method *methods;
} rows[] = {
    {"v1beta1", "v1beta1", api_v1beta1_methods},
    {"v2alpha1", "v2alpha1", api_v2_methods},
    {"v2", NULL, api_v2_methods},
};

enum { ROWS = sizeof rows / sizeof rows[0], METHODS = ROWS * API_METHODS };

_Static_assert((int)METHODS == (int)KMS_API_METHODS, "as many as the header says");

struct kms_api {
    struct api_binding bindings[ROWS];
    char paths[METHODS][API_PATH_MAX + 1];
    struct rpc_method methods[METHODS];
};

static void bind_row(struct kms_api *api, size_t row)
{
    for (size_t i = 0; i < API_METHODS; i++) {
        const struct api_method *method = &rows[row].methods[i];
        size_t at = row * API_METHODS + i;
        (void)snprintf(api->paths[at], sizeof api->paths[at], "/%s.KeyManagementService/%s",
                       rows[row].package, method->name);
        api->methods[at] = (struct rpc_method){api->paths[at], method->handler, &api->bindings[row],
                                               method->at_once};
    }
}

struct err kms_api_new(struct kms_service *service, const char *status_version,
                       struct kms_api **ret)
{
    struct kms_api *api = (struct kms_api *)calloc(1, sizeof *api);
    if (!api)
        return err_make(ERR_EXHAUSTED, "kms_api_new");
    for (size_t i = 0; i < ROWS; i++) {
        const char *version = rows[i].version ? rows[i].version : status_version;
        api->bindings[i].service = service;
        (void)snprintf(api->bindings[i].version, sizeof api->bindings[i].version, "%s", version);
        bind_row(api, i);
    }
    *ret = api;
    return ERR_OK;
}

const struct rpc_method *kms_api_methods(const struct kms_api *api, size_t *ret_n)
{
    *ret_n = METHODS;
    return api->methods;
}

bool kms_api_has(struct bytes service)
{
    char name[API_PATH_MAX + 1];
    for (size_t i = 0; i < ROWS; i++) {
        (void)snprintf(name, sizeof name, "%s.KeyManagementService", rows[i].package);
        if (bytes_equal(service, bytes_of_string(name)))
            return true;
    }
    return false;
}

void kms_api_free(struct kms_api *api)
{
    free(api);
}
