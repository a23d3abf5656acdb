/* SPDX-License-Identifier: Apache-2.0 */
/* Which scheme works on which token: one row each. */
#ifndef P11KMS_TEST_MATRIX_H
#define P11KMS_TEST_MATRIX_H

#include "attributes.h"

/* Why a case does not apply, and what the token must answer to prove it. */
struct matrix_refusal {
    const char *why;   /* NULL: it applies */
    unsigned long ckr; /* 0: no PKCS#11 call failed */
    const char *says;  /* a part of the operator's text; NULL: any */
};

struct matrix_row {
    const char *token; /* its script is in-TOKEN */
    enum scheme scheme;
    const char *kind; /* for make-key; NULL where it never makes one */
    struct matrix_refusal generate;
    struct matrix_refusal seal;
    size_t most;        /* bytes of plaintext that fit into its envelopes; 0: PLAINTEXT_MAX */
    uint32_t waive;     /* for keys made by make-key */
    bool slow;          /* one bit of each byte is turned, and less opened at once */
    bool blind;         /* a process sees others' new keys only after C_Finalize */
    bool serves_on;     /* what runs does not notice that the service or store is away */
    enum err_code away; /* what an agent that starts then says; 0: ERR_UNAVAILABLE */
    uint32_t lanes;     /* of each agent; 0: as many as the fixture has */
};

extern const struct matrix_row matrix_rows[], matrix_mocks[];
extern const size_t matrix_rows_count, matrix_mocks_count;

#endif
