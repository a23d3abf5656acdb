/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <openssl/crypto.h>
#include <string.h>

struct bytes bytes_of_string(const char *text)
{
    return bytes_of(text, strlen(text));
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool bytes_equal_secret(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.data, b.data, a.len) == 0);
}

bool bytes_to_string(struct bytes from, char *to, size_t size)
{
    if (from.len >= size || (from.len > 0 && memchr(from.data, 0, from.len)))
        return false;
    if (from.len > 0)
        memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

/* The length of the sequence that starts with lead, and the least code point that needs it. */
static unsigned utf8_sequence(uint8_t lead, uint32_t *ret_bits, uint32_t *ret_least)
{
    static const struct {
        uint8_t mask, value;
        unsigned len;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1, 0x01},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};
    for (unsigned i = 0; i < 4; i++) {
        if ((lead & forms[i].mask) != forms[i].value)
            continue;
        *ret_bits = lead & (uint8_t)~forms[i].mask;
        *ret_least = forms[i].least;
        return forms[i].len;
    }
    return 0;
}

bool bytes_is_utf8(struct bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        uint32_t point = 0, least = 0;
        unsigned len = utf8_sequence(text.data[at], &point, &least);
        if (len == 0 || text.len - at < len)
            return false;
        for (unsigned i = 1; i < len; i++) {
            if ((text.data[at + i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (text.data[at + i] & 0x3f);
        }
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        if (point < least || surrogate || point > 0x10ffff)
            return false;
        at += len;
    }
    return true;
}

struct writer writer_over(void *memory, size_t capacity)
{
    return (struct writer){(uint8_t *)memory, capacity, 0, false};
}

void put_bytes(struct writer *w, struct bytes value)
{
    if (w->full || value.len > w->capacity - w->len) {
        w->full = true;
        return;
    }
    if (value.len > 0)
        memcpy(w->data + w->len, value.data, value.len);
    w->len += value.len;
}

static void put_big_endian(struct writer *w, uint64_t value, size_t width)
{
    uint8_t out[8];
    for (size_t i = 0; i < width; i++)
        out[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    put_bytes(w, bytes_of(out, width));
}

void put_u8(struct writer *w, uint8_t value)
{
    put_big_endian(w, value, 1);
}

void put_u16(struct writer *w, uint16_t value)
{
    put_big_endian(w, value, 2);
}

void put_u32(struct writer *w, uint32_t value)
{
    put_big_endian(w, value, 4);
}

void put_u64(struct writer *w, uint64_t value)
{
    put_big_endian(w, value, 8);
}

void put_sized(struct writer *w, struct bytes value)
{
    if (value.len > UINT16_MAX) {
        w->full = true;
        return;
    }
    put_u16(w, (uint16_t)value.len);
    put_bytes(w, value);
}

struct bytes writer_bytes(const struct writer *w)
{
    return bytes_of(w->data, w->len);
}

struct reader reader_over(struct bytes range)
{
    return (struct reader){range, false};
}

struct bytes get_bytes(struct reader *r, size_t len)
{
    if (r->bad || len > r->rest.len) {
        r->bad = true;
        return bytes_of(NULL, 0);
    }
    if (len == 0) /* NULL + 0 is undefined */
        return bytes_of(r->rest.data, 0);
    struct bytes taken = bytes_of(r->rest.data, len);
    r->rest = bytes_of(r->rest.data + len, r->rest.len - len);
    return taken;
}

static uint64_t get_big_endian(struct reader *r, size_t width)
{
    struct bytes raw = get_bytes(r, width);
    uint64_t value = 0;
    for (size_t i = 0; i < raw.len; i++)
        value = value << 8 | raw.data[i];
    return value;
}

uint8_t get_u8(struct reader *r)
{
    return (uint8_t)get_big_endian(r, 1);
}

uint16_t get_u16(struct reader *r)
{
    return (uint16_t)get_big_endian(r, 2);
}

uint32_t get_u32(struct reader *r)
{
    return (uint32_t)get_big_endian(r, 4);
}

uint64_t get_u64(struct reader *r)
{
    return get_big_endian(r, 8);
}

struct bytes get_sized(struct reader *r)
{
    return get_bytes(r, get_u16(r));
}

bool reader_done(const struct reader *r)
{
    return !r->bad && r->rest.len == 0;
}
