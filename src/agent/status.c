/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include "p11_ckr.h"

#include <stdio.h>

static enum remedy remedy_of_code(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return REMEDY_NONE;
    case ERR_INVALID:
    case ERR_AUTH:
    case ERR_NOT_FOUND:
    case ERR_DENIED:
    case ERR_REFUSED:
        return REMEDY_CALLER;
    case ERR_TOKEN:
    case ERR_CONFIG:
    case ERR_UNSUPPORTED:
        return REMEDY_HUMAN;
    default:
        return REMEDY_AGENT;
    }
}

enum remedy status_remedy(struct err e, const struct advice *advice)
{
    if (advice->text[0])
        return advice->remedy;
    return e.kind == ERR_KIND_CKR ? p11_ckr_find(e.native)->remedy : remedy_of_code(e.code);
}

static void text_of(struct err e, char *text, size_t size)
{
    if (e.kind != ERR_KIND_CKR) {
        (void)err_format(e, text, size);
        return;
    }
    const struct p11_ckr *row = p11_ckr_find(e.native);
    (void)snprintf(text, size, "%s: %s (0x%lx): %s", e.where, row->name, e.native, row->text);
}

void status_make(struct err e, const struct advice *advice, struct lane_status *ret)
{
    *ret = (struct lane_status){.code = e.code, .remedy = status_remedy(e, advice)};
    ret->ckr = e.kind == ERR_KIND_CKR ? e.native : 0;
    if (advice->text[0])
        (void)snprintf(ret->text, sizeof ret->text, "%s", advice->text);
    else
        text_of(e, ret->text, sizeof ret->text);
}
