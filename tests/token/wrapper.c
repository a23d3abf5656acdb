/* SPDX-License-Identifier: Apache-2.0 */
#include "wrapper.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST ours;

static CK_RV load(void)
{
    const char *path = getenv(wrapper_variable);
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
    if (!real) {
        CK_RV rv = load();
        if (rv != CKR_OK)
            return rv;
        ours = *real;
        wrapper_take(&ours);
    }
    *list = &ours;
    return CKR_OK;
}
