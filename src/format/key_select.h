/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects of a token are the keys of an external ring: ring.select. */
#ifndef P11KMS_KEY_SELECT_H
#define P11KMS_KEY_SELECT_H

#include "key_id.h"

enum { KEY_SELECT_MAX = 511, SELECT_LABEL_MAX = 255 };

/* A checked ring.select; both parts must match. Plain data. */
struct key_select {
    bool by_label, by_id;
    bool globs;                     /* the texts are patterns; otherwise exact */
    char label[KEY_SELECT_MAX + 1]; /* for CKA_LABEL */
    char id[KEY_SELECT_MAX + 1];    /* for CKA_ID in lower-case hex */
};

/* One of
 *   label:GLOB      fnmatch(3) on CKA_LABEL: `*`, `?` and `[...]`; `*` takes slashes too
 *   id:HEX-GLOB     `*` and `?` on CKA_ID in lower-case hex: a `?` is half a byte
 *   pkcs11:object=LABEL;id=%0A%01
 *                   RFC 7512: one of the two or both, and type=secret-key; nothing that names a
 *                   token, which token.uri does
 * NULL and *ret filled, or what is wrong and would be right: a static string that never quotes. */
const char *key_select_parse(const char *text, struct key_select *ret);

/* label is terminated, as the token has it; empty where it has none that is text. */
bool key_select_matches(const struct key_select *select, const struct object_id *id,
                        const char *label);

#endif
