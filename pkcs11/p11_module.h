/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded and initialised PKCS#11 module. */
#ifndef P11KMS_P11_MODULE_H
#define P11KMS_P11_MODULE_H

#include "advice.h"

#include <stdint.h>

struct p11_module;

/* Loads the library at an absolute path and calls C_Initialize for use by threads. On failure
 * advice says whether the file is missing, is no PKCS#11 library, or would not start; nothing
 * stays loaded. There is no unloading: an agent's process ends with its module. */
MUST_CHECK struct err p11_module_load(const char *path, struct p11_module **ret,
                                      struct advice *advice);

/* What the library calls itself, for its quirks (quirks.h). */
struct p11_library {
    const char *file; /* points into the path that it was read with */
    char manufacturer[33];
    char description[33];
    uint32_t version;
};

MUST_CHECK struct err p11_library_read(const struct p11_module *module, const char *path,
                                       struct p11_library *ret);

/* The quirks of the library and of a token of that manufacturer and model. */
uint32_t p11_library_quirks(const struct p11_library *library, const char *manufacturer,
                            const char *model);

#endif
