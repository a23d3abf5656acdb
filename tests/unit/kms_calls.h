/* SPDX-License-Identifier: Apache-2.0 */
/* A KMS service on a ring rig, and calls to it. */
#ifndef P11KMS_KMS_CALLS_H
#define P11KMS_KMS_CALLS_H

#include "kms_service.h"
#include "ring_rig.h"

struct call {
    atomic_bool cancelled;
    void (*then)(
        struct call *call); /* called inside its done, before it counts as ended; or NULL */
    unsigned done;          /* guarded by a lock of kms_calls.c, as are the rest */
    enum err_code code;
    char message[640];
    char key_id[KEY_ID_MAX + 1];
    size_t len;
    uint8_t output[ENVELOPE_MAX];
};

struct kms_rig {
    struct ring_rig ring;
    struct kms_service *service;
    struct fake_agent *agent;
    uint64_t connection; /* that the calls from here on come on; 0 at first */
};

/* With a keeper and no agent yet. */
void kms_rig_make(struct kms_rig *rig);

/* An agent with fake_key(1, KEY_ACTIVE, 1), well. */
void kms_rig_serve(struct kms_rig *rig);
void kms_rig_end(struct kms_rig *rig);

/* Has an Encrypt in each lane, RIG_LANES - 1 of them, which the agent holds until the release. That
 * waits for their answers too: what they are written to ends with the test. */
void kms_rig_occupy(struct kms_rig *rig, struct call *calls);
void kms_rig_release(struct kms_rig *rig, struct call *calls);

void call_encrypt(struct kms_rig *rig, struct call *call, enum family family,
                  struct bytes plaintext);

/* Encrypts "dek", or decrypts the fake envelope of text, with a deadline (monotonic). */
void call_encrypt_until(struct kms_rig *rig, struct call *call, int64_t deadline_ns);
void call_decrypt_until(struct kms_rig *rig, struct call *call, const char *text,
                        int64_t deadline_ns);

/* Decrypts the fake envelope of text under KEK `tail`, in family 2, with the key_id told. */
void call_decrypt(struct kms_rig *rig, struct call *call, uint16_t tail, const char *text);

/* Decrypts any bytes; key_id NULL: not told. */
void call_decrypt_bytes(struct kms_rig *rig, struct call *call, enum family family,
                        struct bytes envelope, const char *key_id);

bool call_ended(struct call *call);
void call_wait(struct call *call);

/* Waits for the end: once, with this code, and the word in its message. */
void call_expect(struct call *call, enum err_code code, const char *word);

/* Waits for the end: well, with this output. */
void call_expect_text(struct call *call, const char *text);

#endif
