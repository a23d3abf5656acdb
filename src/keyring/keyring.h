/* SPDX-License-Identifier: Apache-2.0 */
/* The ring in memory: which KEKs the token holds, which one seals, and how the token fares.
 *
 * Requests read an immutable view; the keeper (keeper.h) makes a new one and publishes it. */
#ifndef P11KMS_KEYRING_H
#define P11KMS_KEYRING_H

#include "attributes.h"
#include "cleanup.h"
#include "key_id.h"

/* Whose KEKs the ring's are, and what is demanded of them. */
struct ring_rules {
    char name[RING_NAME_MAX + 1];
    bool external;  /* ring.mode: the operator makes them, and `keys adopt` activates them */
    uint32_t waive; /* enum key_waiver; 0 in a managed ring */
};

/* One KEK as the last look at the token found it. */
struct kek {
    struct object_id id;
    struct key_id key_id;
    /* In an external ring state and generation say what this host has adopted, and when, not what
     * is on the token: the first adopted key has generation 1, one that never was has 0. */
    struct key_label label;
    char name[KEY_LABEL_MAX + 1]; /* CKA_LABEL, for people: an operator's own is cut and ASCII */
    struct key_attributes attributes;
    uint32_t wrong;   /* attribute bits that forbid its use; 0: none */
    uint32_t waived;  /* attribute bits that would, but for ring.waive */
    bool external;    /* an operator's: its CKA_ID tells no time */
    bool ambiguous;   /* two objects have its CKA_ID */
    bool quarantined; /* other material stands behind its CKA_ID */
};

/* Order in a ring: by generation, twins by CKA_ID; never by a clock. */
bool kek_newer(const struct kek *a, const struct kek *b);

/* Whether it may seal and open at all: its attributes are as they must be, its CKA_ID is its own,
 * and its material is what it was. */
bool kek_usable(const struct kek *kek);

/* An immutable snapshot of the ring. */
struct ring_view;

/* What a view is made of. */
struct ring_content {
    const struct kek *keys;
    size_t n;
    size_t active;                /* index into keys, or SIZE_MAX for none */
    struct key_id current;        /* what Status names: the active KEK's, or the last one known */
    const struct key_id *missing; /* KEKs that this host knows and the token does not show */
    size_t n_missing;
};

/* Copies all of it. */
MUST_CHECK struct err ring_view_new(const struct ring_content *content, struct ring_view **ret);
void ring_view_ref(struct ring_view *view);
void ring_view_unref(struct ring_view *view); /* accepts NULL */
DEFINE_CLEANUP(struct ring_view, ring_view_unref);

/* O(1). NULL when the ring holds no such KEK. */
const struct kek *ring_view_find(const struct ring_view *view, const struct object_id *id);
const struct kek *ring_view_active(const struct ring_view *view); /* or NULL */
const struct key_id *ring_view_current(const struct ring_view *view);
/* All of them, in no order. */
const struct kek *ring_view_keys(const struct ring_view *view, size_t *ret_n);
/* Whether nobody asked this of that KEK of this view before: lock-free, for every request. */
bool ring_view_first_use(const struct ring_view *view, const struct kek *kek);
/* The missing ones; while there are any, nothing rotates. */
const struct key_id *ring_view_missing(const struct ring_view *view, size_t *ret_n);
/* Whether this is one of them. */
bool ring_view_misses(const struct ring_view *view, const struct object_id *id);

enum { HEALTH_TEXT_MAX = 511 };

/* How the token fares. text is "ok" or one line an operator can act on. */
struct health {
    bool ok;
    bool failed;      /* the active KEK is proved missing or changed */
    bool pin_blocked; /* no PIN is tried any more until somebody mends it */
    char text[HEALTH_TEXT_MAX + 1];
};

struct keyring;

MUST_CHECK struct err keyring_new(const char *ring, struct keyring **ret);
void keyring_free(struct keyring *keyring); /* accepts NULL */
const char *keyring_name(const struct keyring *keyring);

/* Makes an external ring of it: before any thread knows it. */
void keyring_set_external(struct keyring *keyring, uint32_t waive);
const struct ring_rules *keyring_rules(const struct keyring *keyring);

/* ring.active, which a reload may change; empty: the key adopted last. */
void keyring_set_wanted(struct keyring *keyring, const struct key_id *wanted);
struct key_id keyring_wanted(struct keyring *keyring);

/* An agent of this token never sees what other processes have changed since it started. Not where
 * somebody gives the PIN to each agent at the token: none is started without need there, and that
 * is said before any thread knows the keyring. */
void keyring_set_attended(struct keyring *keyring);
void keyring_set_needs_heirs(struct keyring *keyring);
bool keyring_attended(const struct keyring *keyring);
bool keyring_needs_heirs(const struct keyring *keyring);

/* A reference to the view of this moment; unref it. Never NULL. */
struct ring_view *keyring_view(struct keyring *keyring);

/* Health and the key_id that goes with it, of one moment. */
void keyring_status(struct keyring *keyring, struct health *ret_health, struct key_id *ret_current);

/* Publishes. The view's reference becomes the keyring's; NULL keeps the view. */
void keyring_publish(struct keyring *keyring, struct ring_view *view, const struct health *health);

#endif
