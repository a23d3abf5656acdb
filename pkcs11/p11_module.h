/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded and initialised PKCS#11 module. */
#ifndef P11KMS_P11_MODULE_H
#define P11KMS_P11_MODULE_H

#include "advice.h"

struct p11_module;

/* Loads the library at an absolute path and calls C_Initialize for use by threads. On failure
 * advice says whether the file is missing, is no PKCS#11 library, or would not start; nothing
 * stays loaded. There is no unloading: an agent's process ends with its module. */
MUST_CHECK struct err p11_module_load(const char *path, struct p11_module **ret,
                                      struct advice *advice);

#endif
