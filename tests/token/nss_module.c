/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module before NSS softokn, which wants its directory as C_Initialize's argument, where
 * the standard has a pointer that must be NULL: $P11KMS_NSS_MODULE is softokn's path,
 * $P11KMS_NSS_ARGUMENT the argument. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

/* NSS reads one pointer more than the standard's structure has. */
struct nss_initialize_args {
    CK_C_INITIALIZE_ARGS standard;
    void *reserved;
};

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST ours;

static CK_RV initialize(void *args)
{
    struct nss_initialize_args nss = {.standard.flags = CKF_OS_LOCKING_OK};
    if (args)
        memcpy(&nss.standard, args, sizeof nss.standard);
    nss.standard.pReserved = getenv("P11KMS_NSS_ARGUMENT");
    return real->C_Initialize(&nss);
}

static CK_RV load(void)
{
    const char *path = getenv("P11KMS_NSS_MODULE");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get_list;
    if (!symbol)
        return CKR_GENERAL_ERROR;
    memcpy(&get_list, &symbol, sizeof get_list);
    return get_list(&real);
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    CK_RV rv = real ? CKR_OK : load();
    if (rv != CKR_OK)
        return rv;
    ours = *real;
    ours.C_Initialize = initialize;
    *list = &ours;
    return CKR_OK;
}
