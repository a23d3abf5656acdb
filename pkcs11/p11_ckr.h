/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of PKCS#11 return values: what each means to us and to an operator. */
#ifndef P11KMS_P11_CKR_H
#define P11KMS_P11_CKR_H

#include "advice.h"

#include <stddef.h>

struct p11_ckr {
    unsigned long rv;
    const char *name; /* "CKR_DEVICE_ERROR" */
    enum err_code code;
    enum remedy remedy;
    const char *text; /* what happened and what to do */
};

/* The row of a return value; values nobody knows and vendors' own have a row each. Never NULL. */
const struct p11_ckr *p11_ckr_find(unsigned long rv);

/* Whether the value says that the token was shown a wrong PIN: a try is burnt. */
bool p11_ckr_refuses_pin(unsigned long rv);

/* Whether a token may say with it that it does not do this with this key, though it means an outage
 * elsewhere. */
bool p11_ckr_may_decline(unsigned long rv);

/* Whether it may say that this user must not make or change an object: tokens do so in many ways.
 */
bool p11_ckr_forbids(unsigned long rv);

/* Whether the value says that an object handle is no longer one. */
bool p11_ckr_stale_handle(unsigned long rv);

/* The result of a C_ call as an error of its row; CKR_OK is no error. */
MUST_CHECK struct err p11_result(unsigned long rv, const char *where);

/* Row by position, vendors' own last; NULL past the end. */
const struct p11_ckr *p11_ckr_row(size_t index);

#endif
