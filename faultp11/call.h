/* SPDX-License-Identifier: Apache-2.0 */
/* One call on its way through the module. */
#ifndef FAULTP11_CALL_H
#define FAULTP11_CALL_H

#include "script.h"

enum out_kind { OUT_NONE, OUT_STRUCT, OUT_TOKEN, OUT_BYTES, OUT_SLOTS, OUT_ATTRIBUTES };

/* Where a function puts what it answers. */
struct out {
    enum out_kind kind;
    void *at;
    CK_ULONG *count; /* of OUT_BYTES and OUT_SLOTS: how many items were put there */
    size_t size;     /* of one item or of the structure; OUT_ATTRIBUTES: how many attributes */
};

/* The call, and what the script makes of it. */
struct call {
    enum function function;
    CK_SLOT_ID *slot; /* the parameter, or NULL; becomes what the real module calls it */
    struct out out;

    bool answered; /* with rv: the real function is not called */
    CK_RV rv;
    bool acts;
    struct action action;
    CK_SLOT_ID slot_shift; /* this much more than the real ones are the slots that we show */
};

/* Finds the script at its place and the real module. CKR_OK, or the reason is on stderr. */
CK_RV call_start(CK_FUNCTION_LIST **ret_real);

/* To be called before the real function and after it. */
void call_begin(struct call *call);
CK_RV call_end(struct call *call, CK_RV rv);

#endif
