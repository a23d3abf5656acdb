/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions. One session belongs to one thread: no token that was measured survives sharing. Where
 * the token gives the number of a session that it has lost to the next one, that one is left to
 * whoever goes by the number, and another is opened. So all sessions of a process must be alike:
 * writable or not, and with one token. */
#ifndef P11KMS_P11_SESSION_H
#define P11KMS_P11_SESSION_H

#include "p11_token.h"

#include "bytes.h"

struct p11_session {
    const struct p11_module *module;
    unsigned long slot;
    unsigned long handle;
    uint32_t quirks; /* of the token */
    bool writable;
    bool open;
};

/* Opens a session with the token, read-write where writable, or where it has no others. */
MUST_CHECK struct err p11_session_open(const struct p11_module *module,
                                       const struct p11_token *token, bool writable,
                                       struct p11_session *ret);

/* Closes it; errors do not matter to anyone. A closed one is left alone. */
void p11_session_close(struct p11_session *session);

/* Closes and opens anew: the one portable way to end an operation. After an error it may be
 * closed, and this may be called again. */
MUST_CHECK struct err p11_session_reopen(struct p11_session *session);

/* Whether this process is logged in as the user. */
MUST_CHECK struct err p11_session_logged_in(const struct p11_session *session, bool *ret);

#endif
