/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking client of p11-kmsd's admin API (proto/admin.proto). */
#ifndef P11KMS_ADMIN_CLIENT_H
#define P11KMS_ADMIN_CLIENT_H

#include "key_id.h"
#include "kms_client.h"

enum { ADMIN_WORD_MAX = 31, ADMIN_LINE_MAX = 1023, ADMIN_NAMES_MAX = 255 };

struct admin_client;

/* Connects. Errors as kms_client_open. */
MUST_CHECK struct err admin_client_open(const char *socket_path, struct admin_client **ret);

/* Accepts NULL. */
void admin_client_close(struct admin_client *client);
DEFINE_CLEANUP(struct admin_client, admin_client_close);

/* A KEK as the token shows it. Texts are terminated, printable, and cut to size. */
struct admin_key {
    char key_id[KEY_ID_MAX + 1];
    uint32_t generation;
    char scheme[ADMIN_WORD_MAX + 1];
    char state[ADMIN_WORD_MAX + 1];
    char label[KEY_LABEL_MAX + 1];
    int64_t made_ms; /* Unix time; 0: not known */
    bool seals;
    char is_true[ADMIN_NAMES_MAX + 1]; /* attributes, such as "TOKEN,PRIVATE" */
    char is_false[ADMIN_NAMES_MAX + 1];
    char wrong[ADMIN_NAMES_MAX + 1];  /* for these it is refused; empty: it is not */
    char waived[ADMIN_NAMES_MAX + 1]; /* wrong, and allowed by ring.waive */
    bool ambiguous;
    bool quarantined;
};

struct admin_key_ids {
    struct key_id *id;
    size_t n;
};

/* Times are Unix times in milliseconds, 0: none. */
struct admin_status {
    char version[ADMIN_WORD_MAX + 1];
    char ring[ADMIN_WORD_MAX + 1];
    char mode[ADMIN_WORD_MAX + 1];
    char token[ADMIN_LINE_MAX + 1];
    bool ok;
    bool failed;
    char healthz[ADMIN_LINE_MAX + 1];
    struct key_id key_id; /* what Status of the KMS API names; empty: none ever */
    bool has_active;
    struct admin_key active; /* the one that seals, with has_active */
    struct admin_key_ids missing;
    struct admin_key_ids quarantined;
    struct {
        uint32_t pre_active, active, deactivated, compromised, unusable;
    } keys;
    int64_t rotate_due_ms;
    int64_t activate_due_ms;
    struct key_id pending; /* empty: none */
    uint64_t seals, max_seals;
    char blocked[ADMIN_LINE_MAX + 1];
    char rotation_failed[ADMIN_LINE_MAX + 1];
};

void admin_status_release(struct admin_status *status);

struct admin_key_list {
    struct admin_key *key;
    size_t n;
};

void admin_key_list_release(struct admin_key_list *list);

/* How an order ended. */
struct admin_report {
    struct key_id key_id; /* of the KEK that was made, else of the one that was named */
    int64_t active_ms;    /* ADMIN_ROTATE: when it becomes active, Unix time */
    char text[ADMIN_LINE_MAX + 1];
};

enum admin_order { ADMIN_ROTATE, ADMIN_ACTIVATE, ADMIN_DEACTIVATE, ADMIN_COMPROMISE, ADMIN_ADOPT };

/* The calls below wait up to timeout_ms. Errors and *ret_failure as of kms_client.h's calls, but
 * FAILED_PRECONDITION is ERR_REFUSED. One thread uses a client. */
MUST_CHECK struct err admin_client_status(struct admin_client *client, int timeout_ms,
                                          struct admin_status *ret,
                                          struct kms_failure *ret_failure);

/* In no order. */
MUST_CHECK struct err admin_client_list(struct admin_client *client, int timeout_ms,
                                        struct admin_key_list *ret,
                                        struct kms_failure *ret_failure);

MUST_CHECK struct err admin_client_key(struct admin_client *client, const char *key_id,
                                       int timeout_ms, struct admin_key *ret,
                                       struct kms_failure *ret_failure);

/* key_id: with ADMIN_ROTATE the lost KEK to give up, or "". An order goes on at the daemon also
 * when timeout_ms has passed. */
MUST_CHECK struct err admin_client_order(struct admin_client *client, enum admin_order order,
                                         const char *key_id, int timeout_ms,
                                         struct admin_report *ret, struct kms_failure *ret_failure);

#endif
