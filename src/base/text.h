/* SPDX-License-Identifier: Apache-2.0 */
/* Hex, base64, UUIDs, decimal numbers, random bytes and clocks. */
#ifndef P11KMS_TEXT_H
#define P11KMS_TEXT_H

#include "bytes.h"
#include "error.h"

#include <time.h>

/* Lower-case hex, terminated; needs 2 * len + 1 bytes. ERR_INVALID when size is too small. */
MUST_CHECK struct err hex_encode(struct bytes from, char *to, size_t size);

/* Decodes exactly; ERR_INVALID on anything but pairs of hex digits or when it does not fit. */
MUST_CHECK struct err hex_decode(const char *from, uint8_t *to, size_t size, size_t *ret_len);

/* RFC 4648 base64 with padding, one line, terminated; needs 4 * ceil(len / 3) + 1 bytes. */
MUST_CHECK struct err base64_encode(struct bytes from, char *to, size_t size);

/* Strict: no white space, padding required. ERR_INVALID otherwise or when it does not fit. */
MUST_CHECK struct err base64_decode(struct bytes from, uint8_t *to, size_t size, size_t *ret_len);

/* A whole decimal number without sign, within [least, most]. ERR_INVALID otherwise. */
MUST_CHECK struct err parse_u64(const char *text, uint64_t least, uint64_t most, uint64_t *ret);

/* For what people and Unicode's rules are to read: control characters become '?', and where the
 * text is not UTF-8 (a name in Latin-1, a line cut inside a character) all that is not ASCII. */
void text_clean(char *text);

/* Fills memory from getrandom(2). Fails only where the kernel has none. */
MUST_CHECK struct err random_fill(void *memory, size_t len);

/* Nanoseconds of CLOCK_MONOTONIC: for deadlines. */
int64_t clock_monotonic_ns(void);

/* That much later on the same clock: until when to wait. */
struct timespec clock_after_ms(int64_t ms);

/* Milliseconds of Unix time: for UUIDs and ages. */
int64_t clock_wall_ms(void);

enum { UUID_BYTES = 16, UUID_TIME_BYTES = 6, UUID_TEXT = 36 };

/* A new UUID version 7 (RFC 9562, 5.7): 48 bits of Unix time in ms, then random bits. */
MUST_CHECK struct err uuid_make(uint8_t ret[static UUID_BYTES]);

/* Makes 16 bytes a UUID version 7 of the same time as another: their other bits stay. */
void uuid_at_time_of(const uint8_t other[static UUID_BYTES], uint8_t uuid[static UUID_BYTES]);

/* The canonical lower-case form; text holds UUID_TEXT + 1 bytes. */
void uuid_format(const uint8_t uuid[static UUID_BYTES], char text[static UUID_TEXT + 1]);

/* Only the canonical lower-case form: one key has one name. ERR_INVALID otherwise. */
MUST_CHECK struct err uuid_parse(struct bytes text, uint8_t ret[static UUID_BYTES]);

/* The Unix time in ms that a UUID version 7 carries. */
int64_t uuid_time_ms(const uint8_t uuid[static UUID_BYTES]);

#endif
