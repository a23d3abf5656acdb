/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of each kind of load, packed before the clock starts. */
#ifndef P11KMS_REQUESTS_H
#define P11KMS_REQUESTS_H

#include "bytes.h"
#include "error.h"

enum load_kind { LOAD_ECHO, LOAD_ENCRYPT, LOAD_DECRYPT, LOAD_ENCRYPT_V1, LOAD_STATUS, LOAD_KINDS };

struct requests {
    const char *path;     /* "/v2.KeyManagementService/Decrypt" */
    struct bytes *packed; /* used in turn */
    size_t n;
};

/* "echo", "encrypt", "decrypt" (both v2), "encrypt-v1", "status". */
MUST_CHECK struct err load_kind_parse(const char *name, enum load_kind *ret);
const char *load_kind_name(enum load_kind kind);

/* n different requests, on memory that is never freed. Those of LOAD_DECRYPT are sealed first by
 * the plugin at the socket, each differently, because equal ones may be answered together. Prints
 * why when it fails. */
MUST_CHECK struct err requests_make(enum load_kind kind, const char *socket_path, size_t n,
                                    struct requests *ret);

#endif
