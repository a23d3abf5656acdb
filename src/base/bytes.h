/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed byte ranges, and bounded big-endian readers and writers over them. */
#ifndef P11KMS_BYTES_H
#define P11KMS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed, read-only range. data may be NULL when len is 0. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len)
{
    return (struct bytes){(const uint8_t *)data, len};
}

/* The bytes of a terminated string, without its NUL. */
struct bytes bytes_of_string(const char *text);

/* Equality in time that depends on the contents; for public values only. */
bool bytes_equal(struct bytes a, struct bytes b);

/* Equality in constant time for equal lengths; for MACs and plaintexts. */
bool bytes_equal_secret(struct bytes a, struct bytes b);

/* Copies into a terminated string. False, and nothing written, when it does not fit or
 * holds a NUL. */
bool bytes_to_string(struct bytes from, char *to, size_t size);

/* Whether the range is valid UTF-8 without U+0000 (RFC 3629). */
bool bytes_is_utf8(struct bytes text);

/* Writes into memory the caller owns. After the first write that does not fit, `full` stays
 * true and nothing more is written: check it once at the end. */
struct writer {
    uint8_t *data;
    size_t capacity;
    size_t len;
    bool full;
};

struct writer writer_over(void *memory, size_t capacity);
void put_u8(struct writer *w, uint8_t value);
void put_u16(struct writer *w, uint16_t value);
void put_u32(struct writer *w, uint32_t value);
void put_u64(struct writer *w, uint64_t value);
void put_bytes(struct writer *w, struct bytes value);
/* A u16 length, then the bytes. */
void put_sized(struct writer *w, struct bytes value);
/* What has been written so far. */
struct bytes writer_bytes(const struct writer *w);

/* Reads from a borrowed range. After the first read past the end, `bad` stays true and reads
 * yield zero: check reader_done once at the end. */
struct reader {
    struct bytes rest;
    bool bad;
};

struct reader reader_over(struct bytes range);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
struct bytes get_bytes(struct reader *r, size_t len);
/* A u16 length, then the bytes. */
struct bytes get_sized(struct reader *r);
/* True when nothing was read past the end and nothing is left over. */
bool reader_done(const struct reader *r);

#endif
