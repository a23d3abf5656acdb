/* SPDX-License-Identifier: Apache-2.0 */
/* The one type for plaintexts, DEKs and PINs: locked memory (OpenSSL's secure heap, or pages of its
 * own), never in a core dump, wiped over its whole capacity, and no formatter takes it. */
#ifndef P11KMS_SECRET_H
#define P11KMS_SECRET_H

#include "bytes.h"
#include "cleanup.h"
#include "error.h"

struct secret;

/* Sets up the heap of `size` bytes (a power of two) once per process, before the first secret.
 * ret_locked: whether the kernel let us lock it; false calls for a warning, or for a refusal
 * under requireMlock. */
MUST_CHECK struct err secret_init(size_t size, bool *ret_locked);

/* Instead of secret_init, for a process that others' code shares: a PKCS#11 module uses libcrypto
 * too, and what it took of the heap, or never gave back, would be missing, to us or to it. Each
 * secret has pages of its own, locked where the kernel lets us. */
void secret_init_apart(void);

/* A new, empty secret of fixed capacity in bytes. ERR_EXHAUSTED when the heap is full. */
MUST_CHECK struct err secret_new(size_t capacity, struct secret **ret);

/* Wipes the capacity and frees. Accepts NULL. */
void secret_free(struct secret *s);
DEFINE_CLEANUP(struct secret, secret_free);
#define AUTO_SECRET CLEANUP(secret_free_p)

/* The memory to fill, secret_capacity() bytes of it; then say how much with secret_set_len(). */
uint8_t *secret_memory(struct secret *s);
size_t secret_capacity(const struct secret *s);

/* len is at most the capacity (a larger one is cut to it). */
void secret_set_len(struct secret *s, size_t len);

/* The bytes in use, borrowed. NULL is an empty range. */
struct bytes secret_bytes(const struct secret *s);

/* Replaces the contents. ERR_EXHAUSTED, and nothing changed, when it does not fit. */
MUST_CHECK struct err secret_assign(struct secret *s, struct bytes value);

/* Wipes the whole capacity and sets the length to 0. Accepts NULL. */
void secret_wipe(struct secret *s);

/* Wipes memory that is not a secret's own, such as a stack buffer, past any optimiser. */
void wipe(void *memory, size_t len);

/* PR_SET_DUMPABLE 0 and RLIMIT_CORE 0. Each process calls this first in main. */
MUST_CHECK struct err process_forbid_dumps(void);

/* Locks all present and future pages on fault (MCL_ONFAULT); ERR_DENIED or ERR_EXHAUSTED when
 * RLIMIT_MEMLOCK forbids it. */
MUST_CHECK struct err process_lock_memory(void);

#endif
