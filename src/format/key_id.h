/* SPDX-License-Identifier: Apache-2.0 */
/* Names of KEKs: CKA_ID, key_id, ring and label. Stored formats: design, "Keys". */
#ifndef P11KMS_KEY_ID_H
#define P11KMS_KEY_ID_H

#include "bytes.h"
#include "error.h"
#include "text.h"

enum {
    RING_NAME_MAX = 16, /* [a-z0-9-]{1,16} */
    OBJECT_ID_MAX = 64, /* the longest CKA_ID we carry; ours are UUIDs of 16 bytes */
    KEY_ID_MAX = 160,   /* RING.UUID is at most 53 bytes, RING.HEX at most 145 */
    KEY_LABEL_MAX = 64, /* what init proves that a token keeps */
    GENERATION_MAX = 999999
};

/* A CKA_ID by value. */
struct object_id {
    uint8_t len;
    uint8_t data[OBJECT_ID_MAX];
};

MUST_CHECK struct err object_id_from(struct bytes raw, struct object_id *ret);
struct bytes object_id_bytes(const struct object_id *id);
bool object_id_equal(const struct object_id *a, const struct object_id *b);

/* A key_id by value: text is terminated. */
struct key_id {
    char text[KEY_ID_MAX + 1];
};

bool ring_name_valid(const char *name);

/* RING.UUID. ERR_INVALID when the ring's name is not valid or the id is no UUID. */
MUST_CHECK struct err key_id_make(const char *ring, const struct object_id *id, struct key_id *ret);

/* RING.HEX, for keys whose CKA_ID an operator chose. ERR_INVALID when the ring's name is not valid.
 */
MUST_CHECK struct err key_id_make_external(const char *ring, const struct object_id *id,
                                           struct key_id *ret);

/* Splits a key_id. Only the two forms above are taken, and no text is of both: a UUID has dashes,
 * hex has none. A CKA_ID of 16 bytes so has two key_ids, one for each mode of its ring: compare
 * CKA_IDs where a ring may have changed its mode. ERR_INVALID otherwise. */
MUST_CHECK struct err key_id_parse(struct bytes text, char ret_ring[static RING_NAME_MAX + 1],
                                   struct object_id *ret_id);

/* Envelope byte and label word of each scheme; a scheme's number is never given to another. */
enum scheme { SCHEME_NONE = 0, SCHEME_AES_GCM = 1, SCHEME_HMAC_DERIVE = 2 };

enum { SCHEMES = 2 };

/* Number i of those that a token may be tried for, the best first; SCHEME_NONE past the end. */
enum scheme scheme_by_preference(size_t i);

/* NULL for a number that names no scheme. */
const char *scheme_name(enum scheme scheme);

/* SCHEME_NONE for a word that names none. */
enum scheme scheme_from_name(struct bytes name);

/* Whether a KEK of the scheme must go before 2^32 seals. */
bool scheme_wears_out(enum scheme scheme);

/* NIST SP 800-57 part 1, 7; destroyed is the absence of the object. Worse is higher. */
enum key_state { KEY_PRE_ACTIVE = 0, KEY_ACTIVE, KEY_DEACTIVATED, KEY_COMPROMISED };

/* The word in labels, such as "pre-active". Never NULL. */
const char *key_state_name(enum key_state state);

/* What a CKA_LABEL says: p11-kms/RING/GENERATION/SCHEME/STATE. */
struct key_label {
    char ring[RING_NAME_MAX + 1];
    uint32_t generation; /* 1 to GENERATION_MAX */
    enum scheme scheme;
    enum key_state state;
};

/* text is terminated. ERR_INVALID when a field is out of range. */
MUST_CHECK struct err key_label_format(const struct key_label *label,
                                       char text[static KEY_LABEL_MAX + 1]);

/* ERR_INVALID for anything that key_label_format would not have written. */
MUST_CHECK struct err key_label_parse(struct bytes text, struct key_label *ret);

/* The beginning of every label of a ring: "p11-kms/RING/". */
MUST_CHECK struct err key_label_prefix(const char *ring, char *ret, size_t size);

#endif
