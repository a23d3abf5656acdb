/* SPDX-License-Identifier: Apache-2.0 */
/* What an API version's file gives to the table in kms_api.c: a new version is one file and one
 * row. */
#ifndef P11KMS_API_ROWS_H
#define P11KMS_API_ROWS_H

#include "kms.h"
#include "rpc_call.h"

enum { API_METHODS = 3, API_PATH_MAX = 63, API_VERSION_MAX = 15 };

/* What a handler gets as its context. */
struct api_binding {
    struct kms_service *service;
    char version[API_VERSION_MAX + 1]; /* what Status or Version answers */
};

struct api_method {
    const char *name;
    rpc_handler *handler; /* context: struct api_binding */
    bool at_once;         /* as of struct rpc_method */
};

extern const struct api_method api_v1beta1_methods[API_METHODS];
extern const struct api_method api_v2_methods[API_METHODS]; /* v2alpha1's too: the same bytes */

#endif
