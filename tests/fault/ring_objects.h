/* SPDX-License-Identifier: Apache-2.0 */
/* The ring as another program sees it on the token: OpenSC's pkcs11-tool. */
#ifndef P11KMS_TEST_RING_OBJECTS_H
#define P11KMS_TEST_RING_OBJECTS_H

#include "harness.h"
#include "key_id.h"

enum { RING_OBJECTS_MAX = 128 };

struct ring_object {
    struct key_label label;
    struct key_id key_id;
};

/* Every KEK of the token; a key that is not of one of ours fails the test. With the real module,
 * whatever h->config says. */
struct ring_objects {
    size_t n;
    struct ring_object objects[RING_OBJECTS_MAX];
};

void ring_objects_list(const struct harness *h, struct ring_objects *ret);

/* How many secret keys, of whatever role, have a label that begins so. */
size_t ring_objects_labelled(const struct harness *h, const char *label);

/* That of the ring: $P11KMS_TEST_SCHEME, else aes-gcm. */
enum scheme ring_objects_scheme(void);

/* How many are in that state. */
size_t ring_objects_count(const struct ring_objects *list, enum key_state state);

/* Gives the ring's only KEK the CKA_ID of one that was made so many days ago. What the state
 * directory knew of it is forgotten. */
void ring_objects_make_old(const struct harness *h, int days);

#endif
