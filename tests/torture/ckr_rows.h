/* SPDX-License-Identifier: Apache-2.0 */
/* What docs/ckr.md says of every return value, as kinds: what a client gets is held to the page. */
#ifndef P11KMS_TORTURE_CKR_ROWS_H
#define P11KMS_TORTURE_CKR_ROWS_H

#include "kinds.h"

enum { CKR_ROWS_MAX = 128 };

struct ckr_row {
    char name[64];
    char action[32];    /* answers it */
    bool mended;        /* by the agent, so that the client sees nothing of one */
    bool blames_caller; /* where the caller had a say in it */
    int code;           /* gRPC's, else */
};

/* Reads the page; the test fails where it cannot. Yields how many rows it has. */
size_t ckr_rows_read(struct ckr_row ret[static CKR_ROWS_MAX]);

/* The row as a kind, for C_Login, C_EncryptInit or C_DecryptInit. */
struct kind ckr_row_kind(const struct ckr_row *row, const char *function);

#endif
