/* SPDX-License-Identifier: Apache-2.0 */
/* What drill_load.c is made of: what was sealed and must open again, and what happened when. */
#ifndef P11KMS_TEST_DRILL_LOAD_H
#define P11KMS_TEST_DRILL_LOAD_H

#include "async.h"

#include <stdio.h>

/* --- what was sealed ---------------------------------------------------------------------- */

enum { DEK_LEN = 32, CIPHERTEXT_MAX = 256, STORE_MAX = 65536 };

struct sealed_item {
    uint64_t number; /* its DEK is made from it */
    enum kms_api_version version;
    uint16_t len;
    uint8_t ciphertext[CIPHERTEXT_MAX];
    char key_id[96]; /* empty with v1beta1 */
};

/* Everything sealed is opened at least once, from `fresh`; `kept` is a sample of all of it, each as
 * likely as any other, that is opened again and again and once more at the end. */
struct sealed_store {
    struct sealed_item *fresh, *kept;
    size_t n_fresh, n_kept;
    uint64_t sealed; /* ever */
    uint64_t random;
};

/* False without memory. */
bool store_open(struct sealed_store *store, uint64_t seed);
void store_close(struct sealed_store *store);

/* A number of the store's own generator, xorshift64. */
uint64_t store_random(struct sealed_store *store);

void store_dek(uint64_t number, uint8_t ret[static DEK_LEN]);

/* Whether nothing more may be sealed before something is opened. */
bool store_is_full(const struct sealed_store *store);

/* Adds what was just sealed. */
void store_add(struct sealed_store *store, const struct sealed_item *item);

/* Puts back what could not be opened. */
void store_return(struct sealed_store *store, const struct sealed_item *item);

/* Takes one to open: mostly one that was never opened. False: there is none. *ret_fresh tells
 * whether it must be returned if it does not open. */
bool store_take(struct sealed_store *store, struct sealed_item *ret, bool *ret_fresh);

/* Makes all that is kept fresh as well: for the end. */
void store_open_all_again(struct sealed_store *store);

/* --- what happened when ------------------------------------------------------------------- */

/* The last of the codes is a call that succeeded, but late. */
enum { SPAN_MS = 50, SPANS = 256, LATE_OK = 17, CODES, CALLS = 2, LATE_CALL_MS = 1000 };
enum drill_call { CALL_ENCRYPT, CALL_DECRYPT };

/* 50 ms of time. */
struct span {
    int64_t at;                   /* in spans since the clock's zero; 0: not in use */
    unsigned codes[CALLS][CODES]; /* of the calls that were started in it */
    unsigned failed;              /* calls that ended in it */
    unsigned answers;             /* that came in it, by the daemon and not by this side's gRPC */
    double gap_ms;                /* the longest time without one that ended in it */
    double slowest_ms;
};

struct timeline {
    struct span spans[SPANS];
    int64_t printed; /* all spans before this one */
    int64_t last_answer_ns;
    double latest_wakeup_ms;
};

void timeline_start(struct timeline *line, int64_t now_ns);
void timeline_note(struct timeline *line, enum drill_call call, const struct async_answer *answer);

/* Whether the daemon has spoken, well or not: else it was gRPC on this side. */
bool is_daemons(const struct async_answer *answer);

/* Prints, and forgets, the spans that end before until_ns. */
void timeline_print(struct timeline *line, int64_t until_ns, FILE *to);

#endif
