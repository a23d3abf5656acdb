/* SPDX-License-Identifier: Apache-2.0 */
/* Destroying one KEK that nothing needs any more. */
#ifndef P11KMS_RING_DESTROY_H
#define P11KMS_RING_DESTROY_H

#include "config.h"
#include "keyring.h"
#include "lane.h"

enum ring_destroy_result {
    RING_DESTROYED,
    RING_ALREADY_GONE /* a destruction that this host had begun is finished now */
};

struct ring_destroy_report {
    enum ring_destroy_result result;
    struct token_identity token;
    struct key_id key_id, active;  /* the KEK, and the one that seals */
    char label[KEY_LABEL_MAX + 1]; /* empty where it was gone already */
};

/* Asked once all else allows it. An error ends it, and nothing is destroyed. */
typedef struct err ring_destroy_confirm(void *context, const struct ring_destroy_report *report);

/* Uses agents of its own, started from agent_path, and looks again after confirm. On an error
 * message says what is wrong and what to do, and is empty where confirm failed: ERR_REFUSED where
 * the KEK must not be destroyed; ERR_NOT_FOUND where the token does not show it and this host has
 * not begun to destroy it. */
MUST_CHECK struct err ring_destroy(const struct config *config, const char *agent_path,
                                   const struct key_id *key_id, ring_destroy_confirm *confirm,
                                   void *context, struct ring_destroy_report *ret,
                                   char message[static 512]);

#endif
