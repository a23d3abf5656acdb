/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module before NSS softokn, which wants its directory as C_Initialize's argument, where
 * the standard has a pointer that must be NULL: $P11KMS_NSS_MODULE is softokn's path,
 * $P11KMS_NSS_ARGUMENT the argument. */
#include "wrapper.h"

#include <stdlib.h>
#include <string.h>

/* NSS reads one pointer more than the standard's structure has. */
struct nss_initialize_args {
    CK_C_INITIALIZE_ARGS standard;
    void *reserved;
};

const char wrapper_variable[] = "P11KMS_NSS_MODULE";

static CK_RV initialize(void *args)
{
    struct nss_initialize_args nss = {.standard.flags = CKF_OS_LOCKING_OK};
    if (args)
        memcpy(&nss.standard, args, sizeof nss.standard);
    nss.standard.pReserved = getenv("P11KMS_NSS_ARGUMENT");
    return real->C_Initialize(&nss);
}

void wrapper_take(CK_FUNCTION_LIST *list)
{
    list->C_Initialize = initialize;
}
