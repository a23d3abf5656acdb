/* SPDX-License-Identifier: Apache-2.0 */
/* When a KEK may be destroyed, and this host's records of it. The token keeps no dates, so
 * STATE_DIR/deactivated/KEY_ID says when this host first saw the KEK deactivated or compromised.
 * Losing that costs a week's wait, never a key. */
#ifndef P11KMS_RING_RETIRED_H
#define P11KMS_RING_RETIRED_H

#include "known_keks.h"

#define RING_RETIRED_MS (INT64_C(7) * 24 * 3600 * 1000)

/* Records now (Unix time, ms) for a KEK that is deactivated or compromised, unless it has a record
 * that can be read; removes the record of one that is neither. Without fsync. */
MUST_CHECK struct err ring_retired_note(const char *state_dir, const struct kek *kek,
                                        int64_t now_ms);

/* The same for every KEK of a look that `before`, the view of the look before, did not show in the
 * same state already; records that are there are not read. The first error, after all were tried.
 */
MUST_CHECK struct err ring_retired_note_all(const char *state_dir, const struct ring_look *look,
                                            const struct ring_view *before, int64_t now_ms);

/* What was recorded. ERR_NOT_FOUND; ERR_INVALID: not as we write it, say after a power cut. */
MUST_CHECK struct err ring_retired_since(const char *state_dir, const struct key_id *key_id,
                                         int64_t *ret_ms);

enum { RETIRED_TEXT_MAX = 511 };

/* Whether the KEK may be destroyed as far as label, age and successor go: ERR_OK, or ERR_REFUSED
 * and why. active: the KEK that seals, as judged from the same look; since_ms: its record; current:
 * what this host remembers as active. */
MUST_CHECK struct err ring_retired_judge(const struct ring_look *look, const struct kek *kek,
                                         const struct kek *active, const struct key_id *current,
                                         int64_t since_ms, int64_t now_ms,
                                         char ret_text[static RETIRED_TEXT_MAX + 1]);

/* That a destruction was begun is on disk, in STATE_DIR/destroying/KEY_ID, before the token is
 * asked for it: only a KEK with that record may be found gone without being missed. */
MUST_CHECK struct err ring_retired_begin(const char *state_dir, const struct key_id *key_id,
                                         int64_t now_ms);
MUST_CHECK struct err ring_retired_begun(const char *state_dir, const struct key_id *key_id,
                                         bool *ret);

/* Takes out of missing what `keys destroy` has destroyed, or is destroying now. */
void ring_retired_forgive(const char *state_dir, struct known_keks *missing);

/* The KEK is whole on the token, whatever was begun or done here before: from now on it may not go
 * missing unnoticed. */
MUST_CHECK struct err ring_retired_abandon(const char *state_dir, const struct key_id *key_id);

/* The same for every KEK of a fresh agent's look whose destruction began more than an hour before
 * now_ms: it was cut short and nobody went on, or the KEK is back. The first error, after all were
 * tried. */
MUST_CHECK struct err ring_retired_abandon_whole(const char *state_dir,
                                                 const struct ring_look *look, int64_t now_ms);

/* The KEK is gone: its canary is moved aside, its record removed, and that of its destruction goes
 * to STATE_DIR/destroyed/KEY_ID. May be called again after a crash. */
MUST_CHECK struct err ring_retired_finish(const char *state_dir, const struct key_id *key_id);

#endif
