/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a program sees: each hands its call on to the real module's. */
#include "call.h"

static CK_FUNCTION_LIST *real;

#define UNPACK(...) __VA_ARGS__
#define DEFINE(name, parameters, arguments, slot_at, out_at)                                       \
    static CK_RV our_##name parameters                                                             \
    {                                                                                              \
        struct call call = {.function = FUNCTION_##name, .slot = slot_at, .out = out_at};          \
        call_begin(&call);                                                                         \
        if (!call.answered)                                                                        \
            call.rv = real->name ? real->name arguments : CKR_FUNCTION_NOT_SUPPORTED;              \
        return call_end(&call, call.rv);                                                           \
    }
FUNCTIONS(DEFINE)

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

#define ASSIGN(name, parameters, arguments, slot, out) .name = our_##name,
CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static CK_FUNCTION_LIST ours = {FUNCTIONS(ASSIGN).C_GetFunctionList = C_GetFunctionList};
    if (!list)
        return CKR_ARGUMENTS_BAD;
    if (!real) {
        CK_RV rv = call_start(&real);
        if (rv != CKR_OK)
            return rv;
        ours.version = real->version;
    }
    *list = &ours;
    return CKR_OK;
}
