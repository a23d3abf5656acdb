/* SPDX-License-Identifier: Apache-2.0 */
/* What this host knows about wrong PINs, so that it never locks a token.
 *
 * One small file per token in the state directory. Before C_Login it says "trying", and is gone
 * after a good one. A refused PIN leaves a salted, slow hash. "Trying" carries no hash: a good
 * PIN's hash is never on the disk, and no login waits for one. So when a "trying" is found that
 * nobody resolved (a crash inside C_Login has burnt a try too), the PIN that the source holds
 * now is taken for the one that was tried: agents are started again within seconds, long before
 * anybody mends a file, and where that guess is wrong the operator removes the record. */
#ifndef P11KMS_PIN_RECORD_H
#define P11KMS_PIN_RECORD_H

#include "bytes.h"
#include "error.h"

#include <limits.h>

enum { PIN_SALT = 16, PIN_HASH = 32 };

/* Refusals on record after which not even another PIN is tried before an operator has removed
 * the record: tokens lock after three. Many do not show CKF_USER_PIN_COUNT_LOW, and SoftHSM
 * shows it after our own first refusal, when a mended PIN should be tried; so the count is ours
 * and holds whether the flag shows or not. */
enum { PIN_REFUSALS_MAX = 2 };

enum pin_state { PIN_UNTRIED, PIN_TRYING, PIN_REFUSED };

struct pin_record {
    char path[PATH_MAX];
    int lock; /* flock over reading, C_Login and writing: agents of one host come one by one */
    enum pin_state state;
    uint64_t refusals; /* since the last good login */
    bool any_pin;      /* no hash: entered at the token, so every PIN is the refused one */
    uint8_t salt[PIN_SALT];
    uint8_t hash[PIN_HASH];
};

enum pin_verdict { PIN_MAY_BE_TRIED, PIN_IS_REFUSED, PIN_TOO_MANY_REFUSALS };

/* Waits for the lock and reads the record of the token of these identifying bytes. ERR_INVALID
 * when the file is not as we write it; ret->path says which in that case too. */
MUST_CHECK struct err pin_record_open(const char *state_dir, struct bytes token,
                                      struct pin_record *ret);

/* Releases the lock. Accepts one that was never opened, with lock -1. */
void pin_record_close(struct pin_record *record);

/* Whether this PIN may be tried. An unresolved "trying" first becomes a refusal of it, on disk. */
MUST_CHECK struct err pin_record_judge(struct pin_record *record, struct bytes pin,
                                       enum pin_verdict *ret);

/* Before C_Login: on disk when this returns. */
MUST_CHECK struct err pin_record_begin(const struct pin_record *record);

/* After C_Login: the PIN was good; was refused; was not looked at (an outage). */
MUST_CHECK struct err pin_record_accept(struct pin_record *record);
MUST_CHECK struct err pin_record_refuse(struct pin_record *record, struct bytes pin);
MUST_CHECK struct err pin_record_abandon(const struct pin_record *record);

#endif
