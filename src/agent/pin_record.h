/* SPDX-License-Identifier: Apache-2.0 */
/* What this host knows about wrong PINs, so that it never locks a token.
 *
 * One small file per token in the state directory. Before C_Login it says "trying", after a good
 * one "good", with the identity of the file that the PIN came from, and of the few before it: the
 * daemon and a command started by hand have each a copy of their own. A refused PIN leaves a
 * salted, slow hash. "Trying" and "good" carry none: a good PIN's hash is never on the disk, and no
 * login waits for one. A "trying" that nobody resolved is a refusal (a crash inside C_Login has
 * burnt a try too): of the PIN that the source holds now where its file is still the same, of any
 * PIN where it is not, because nobody knows any more which one was tried. */
#ifndef P11KMS_PIN_RECORD_H
#define P11KMS_PIN_RECORD_H

#include "bytes.h"
#include "error.h"
#include "pin_source.h"

#include <limits.h>

enum { PIN_SALT = 16, PIN_HASH = 32 };

/* Files of earlier good logins, kept as the beginnings of their identities' hashes: so many fit
 * where a refusal's salt is, a word that versions which know of no earlier files pass over. */
enum { PIN_EARLIER = 3, PIN_DIGEST = 6 };

/* Refusals on record after which not even another PIN is tried before an operator has removed
 * the record: tokens lock after three. Many do not show CKF_USER_PIN_COUNT_LOW, and SoftHSM
 * shows it after our own first refusal, when a mended PIN should be tried; so the count is ours
 * and holds whether the flag shows or not. */
enum { PIN_REFUSALS_MAX = 2 };

enum pin_state { PIN_UNTRIED, PIN_TRYING, PIN_REFUSED, PIN_GOOD };

struct pin_record {
    char path[PATH_MAX];
    int lock; /* flock over reading, C_Login and writing: agents of one host come one by one */
    enum pin_state state;
    uint64_t refusals; /* since the last good login */
    bool any_pin;      /* no hash: given at the token, or not known any more; so every PIN is it */
    struct pin_identity source; /* of the PIN tried, or of the good one */
    /* Beside a good one, the latest first. */
    uint8_t earlier[PIN_EARLIER * PIN_DIGEST];
    size_t earlier_len; /* bytes */
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

/* Whether this PIN, of this source, may be tried. An unresolved "trying" first becomes a refusal,
 * on disk. */
MUST_CHECK struct err pin_record_judge(struct pin_record *record, struct bytes pin,
                                       const struct pin_identity *source, enum pin_verdict *ret);

/* Whether the last login with this very file was good, and none was refused since. */
bool pin_record_proved(const struct pin_record *record, const struct pin_identity *source);

/* Somebody else has given the token a wrong PIN: that one counts as well. */
void pin_record_count_foreign(struct pin_record *record);

/* Before C_Login: on disk when this returns. */
MUST_CHECK struct err pin_record_begin(const struct pin_record *record,
                                       const struct pin_identity *source);

/* After C_Login: the PIN was good; was refused; was not looked at (an outage). */
MUST_CHECK struct err pin_record_accept(struct pin_record *record,
                                        const struct pin_identity *source);
MUST_CHECK struct err pin_record_refuse(struct pin_record *record, struct bytes pin);
MUST_CHECK struct err pin_record_abandon(const struct pin_record *record);

#endif
