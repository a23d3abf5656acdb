/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope around every sealed DEK: docs/envelope.md has it byte by byte. */
#ifndef P11KMS_ENVELOPE_H
#define P11KMS_ENVELOPE_H

#include "key_id.h"

/* Which APIs may open it. A canary's envelope stays on this host and no API opens it. */
enum family { FAMILY_CANARY = 0, FAMILY_V1 = 1, FAMILY_V2 = 2 };

enum {
    ENVELOPE_VERSION = 1,
    ENVELOPE_HEADER_MAX = 4 + KEY_ID_MAX,
    ENVELOPE_MAX = 1024, /* KMS v2 takes no longer ciphertext */
    ENVELOPE_AAD_MAX = 24 + ENVELOPE_HEADER_MAX,
    PLAINTEXT_MAX = 512 /* a DEK or seed is 32 bytes, a v1 ping 4 */
};

/* A parsed envelope: views into the bytes it was parsed from. */
struct envelope {
    enum scheme scheme;
    enum family family;
    struct bytes key_id; /* its text; form checked by key_id_parse, not here */
    struct bytes header; /* version to key_id: what the scheme authenticates */
    struct bytes fields; /* what the scheme wrote */
};

/* ERR_INVALID when the version, scheme or family is unknown or a length does not fit. The claim
 * in the header is worth nothing before the scheme has authenticated it. */
MUST_CHECK struct err envelope_parse(struct bytes raw, struct envelope *ret);

/* Appends version, scheme, family, length and key_id; check w->full. */
void envelope_put_header(struct writer *w, enum scheme scheme, enum family family,
                         const struct key_id *key_id);

/* Appends what every scheme authenticates: the domain string with its NUL, then the header. */
void envelope_put_aad(struct writer *w, struct bytes header);

#endif
