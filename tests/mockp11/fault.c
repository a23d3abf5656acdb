/* SPDX-License-Identifier: Apache-2.0 */
/* A module whose connection breaks, and which does not mend it. */
#include "mock.h"

#include "functions.h"

#include <stdatomic.h>
#include <unistd.h>

static atomic_bool broken;

/* Whether the call does not come through; from the first one on, none does. */
static bool is_broken(void)
{
    char path[PATH_MAX];
    if (access(mock_path("fault", path), F_OK) == 0)
        atomic_store(&broken, true);
    return atomic_load(&broken);
}

#define DEFINE(name, parameters, arguments, slot, out)                                             \
    static CK_RV our_##name parameters                                                             \
    {                                                                                              \
        return is_broken() ? CKR_DEVICE_ERROR : real->name arguments;                              \
    }
FUNCTIONS(DEFINE)

static CK_RV finalize(void *reserved)
{
    atomic_store(&broken, false);
    return real->C_Finalize(reserved);
}

#define ASSIGN(name, parameters, arguments, slot, out) list->name = our_##name;
void mock_needs_process(CK_FUNCTION_LIST *list)
{
    FUNCTIONS(ASSIGN)
}

/* What is local to the process works on. */
void mock_needs_finalize(CK_FUNCTION_LIST *list)
{
    FUNCTIONS(ASSIGN)
    list->C_Initialize = real->C_Initialize;
    list->C_Finalize = finalize;
}
