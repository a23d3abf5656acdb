/* SPDX-License-Identifier: Apache-2.0 */
/* Key objects on the token, secret or the private half of a pair: finding, reading, making,
 * relabelling, destroying. */
#ifndef P11KMS_P11_KEY_H
#define P11KMS_P11_KEY_H

#include "p11_session.h"

#include "attributes.h"

enum { P11_LABEL_MAX = 255 };

/* One key object. A CKA_ID of no bytes, or of more than we carry, has id.len 0; a label
 * that is longer, or that holds a NUL, is empty: neither can be ours. */
struct p11_key {
    unsigned long handle;
    struct object_id id;
    char label[P11_LABEL_MAX + 1];
    struct key_attributes attributes;
};

/* Finds the key of the class with this CKA_ID. ERR_NOT_FOUND when there is none; ERR_TOKEN when
 * there are two, since nobody can tell which one is meant. A public object (key_attributes_public)
 * is found only where there is nothing else. */
MUST_CHECK struct err p11_key_find(const struct p11_session *session, enum key_class of,
                                   const struct object_id *id, unsigned long *ret_handle);

/* Handles of all keys of the class on the token, in memory that the caller frees. */
MUST_CHECK struct err p11_key_find_all(const struct p11_session *session, enum key_class of,
                                       unsigned long **ret_handles, size_t *ret_count);

/* Everything that struct p11_key holds, of a key that was found as one of the class; one call for a
 * secret key where the token allows, two for a private one. */
MUST_CHECK struct err p11_key_read(const struct p11_session *session, enum key_class of,
                                   unsigned long handle, struct p11_key *ret);

/* Whether the handle is still that of the key with this CKA_ID: a token may give a destroyed
 * object's handle to another one. If it is not, the error is that of a stale handle. */
MUST_CHECK struct err p11_key_check_id(const struct p11_session *session, unsigned long handle,
                                       const struct object_id *id);

/* Makes a secret key of the smallest length demanded: sensitive, not extractable, for the usages
 * demanded only. */
MUST_CHECK struct err p11_key_generate(const struct p11_session *session,
                                       const struct key_demand *demand, const struct object_id *id,
                                       const char *label, unsigned long *ret_handle);

/* Sets CKA_LABEL; read it back to know that it was kept. */
MUST_CHECK struct err p11_key_relabel(const struct p11_session *session, unsigned long handle,
                                      const char *label);

/* Destroys what a call that failed to make a key of this CKA_ID and label has made all the same:
 * another attempt would make a second one, and nobody could tell them apart. That there is none is
 * no error; ERR_REFUSED: there is one by now that is labelled otherwise. */
MUST_CHECK struct err p11_key_unmake(const struct p11_session *session, enum key_class of,
                                     const struct object_id *id, const char *label);

MUST_CHECK struct err p11_key_destroy(const struct p11_session *session, unsigned long handle);

#endif
