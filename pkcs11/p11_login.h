/* SPDX-License-Identifier: Apache-2.0 */
/* What a C_Login that failed says of the PIN. Tokens lock after a few wrong ones, so this must not
 * err on the side of "try again". */
#ifndef P11KMS_P11_LOGIN_H
#define P11KMS_P11_LOGIN_H

#include "p11_session.h"

enum login_end {
    LOGIN_GOOD,      /* the PIN is right */
    LOGIN_SHARED,    /* logged in already: nobody looked at the PIN */
    LOGIN_NOT_BEGUN, /* the token had no reason to look at the PIN, or to ask for one */
    LOGIN_OUTAGE,    /* the token, or the way to it, failed */
    LOGIN_DOUBTFUL,  /* could be an outage, and could be how this token refuses a PIN */
    LOGIN_REFUSED    /* the PIN is wrong, locked or expired */
};

/* C_Login as the user, once. A PIN with no bytes means the protected authentication path. *ret_end
 * is set in every case; without an error it is LOGIN_GOOD or LOGIN_SHARED. */
MUST_CHECK struct err p11_session_login(const struct p11_session *session, struct bytes pin,
                                        enum login_end *ret_end);

/* What a return value of C_Login means. */
enum login_end p11_login_end(unsigned long rv);

#endif
