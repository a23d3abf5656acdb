/* SPDX-License-Identifier: Apache-2.0 */
/* Names of KEKs: CKA_ID, key_id, ring and label. Stored formats: design, "Keys". */
#ifndef P11KMS_KEY_ID_H
#define P11KMS_KEY_ID_H

#include "bytes.h"
#include "error.h"
#include "schemes.h"
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

/* The CKA_ID of the KEK's object number role; of role 0 it is the KEK's own. Another is derived
 * from it, since some tokens (NSS) keep no two secret keys of one CKA_ID: the first 16 bytes of
 * SHA-256(domain, first, role's word), made a UUID version 7 of the same time. ERR_INVALID when the
 * scheme has no such role. */
MUST_CHECK struct err object_id_of_role(const struct object_id *first, enum scheme scheme,
                                        size_t role, struct object_id *ret);

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

/* NIST SP 800-57 part 1, 7; destroyed is the absence of the object. Worse is higher. */
enum key_state { KEY_PRE_ACTIVE = 0, KEY_ACTIVE, KEY_DEACTIVATED, KEY_COMPROMISED };

/* The word in labels, such as "pre-active". Never NULL. */
const char *key_state_name(enum key_state state);

/* What a CKA_LABEL says: p11-kms/RING/GENERATION/SCHEME/STATE, and of an object of a KEK of several
 * p11-kms/RING/GENERATION/SCHEME/ROLE/STATE. */
struct key_label {
    char ring[RING_NAME_MAX + 1];
    uint32_t generation; /* 1 to GENERATION_MAX */
    enum scheme scheme;
    uint32_t role; /* from 0 */
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
