/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const char digits[] = "0123456789abcdef";

struct err hex_encode(struct bytes from, char *to, size_t size)
{
    if (size < 1 || from.len > (size - 1) / 2)
        return err_make(ERR_INVALID, "hex_encode");
    for (size_t i = 0; i < from.len; i++) {
        to[2 * i] = digits[from.data[i] >> 4];
        to[2 * i + 1] = digits[from.data[i] & 15];
    }
    to[2 * from.len] = '\0';
    return ERR_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

struct err hex_decode(const char *from, uint8_t *to, size_t size, size_t *ret_len)
{
    size_t len = strlen(from);
    if (len % 2 != 0 || len / 2 > size)
        return err_make(ERR_INVALID, "hex_decode");
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_value(from[2 * i]), low = hex_value(from[2 * i + 1]);
        if (high < 0 || low < 0)
            return err_make(ERR_INVALID, "hex_decode");
        to[i] = (uint8_t)(high << 4 | low);
    }
    *ret_len = len / 2;
    return ERR_OK;
}

struct err base64_encode(struct bytes from, char *to, size_t size)
{
    if (from.len > INT_MAX / 2 || size < 4 * ((from.len + 2) / 3) + 1)
        return err_make(ERR_INVALID, "base64_encode");
    (void)EVP_EncodeBlock((unsigned char *)to, from.data, (int)from.len);
    return ERR_OK;
}

static int base64_value(uint8_t c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* Our own: EVP_DecodeBlock takes white space and bad padding, and one value must have one form. */
struct err base64_decode(struct bytes from, uint8_t *to, size_t size, size_t *ret_len)
{
    struct err bad = err_make(ERR_INVALID, "base64_decode");
    size_t pad = 0, out = 0;
    while (pad < 2 && pad < from.len && from.data[from.len - 1 - pad] == '=')
        pad++;
    if (from.len % 4 != 0 || from.len / 4 * 3 - pad > size)
        return bad;
    uint32_t group = 0;
    for (size_t i = 0; i < from.len - pad; i++) {
        int value = base64_value(from.data[i]);
        if (value < 0)
            return bad;
        group = group << 6 | (uint32_t)value;
        if (i % 4 != 0) /* each symbol but the first of four completes a byte */
            to[out++] = (uint8_t)(group >> (6 - 2 * (i % 4)));
    }
    if (pad > 0 && (group & (pad == 1 ? 3U : 15U)) != 0)
        return bad;
    *ret_len = out;
    return ERR_OK;
}

struct err parse_u64(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
    uint64_t value = 0;
    if (!*text)
        return err_make(ERR_INVALID, "parse_u64");
    for (const char *at = text; *at; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return err_make(ERR_INVALID, "parse_u64");
        value = value * 10 + digit;
    }
    if (value < least || value > most)
        return err_make(ERR_INVALID, "parse_u64");
    *ret = value;
    return ERR_OK;
}

void text_clean(char *text)
{
    bool utf8 = bytes_is_utf8(bytes_of_string(text));
    for (char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            *at = '?';
    }
}

struct err random_fill(void *memory, size_t len)
{
    uint8_t *at = memory;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_errno(errno, "getrandom");
        at += got;
        len -= (size_t)got;
    }
    return ERR_OK;
}

int64_t clock_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct timespec clock_after_ms(int64_t ms)
{
    int64_t at = clock_monotonic_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000),
                             .tv_nsec = (long)(at % 1000000000)};
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* RFC 9562, 5.7 */
static void mark_version_7(uint8_t uuid[static UUID_BYTES])
{
    uuid[6] = (uint8_t)(0x70 | (uuid[6] & 0x0f));
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
}

struct err uuid_make(uint8_t ret[static UUID_BYTES])
{
    uint8_t uuid[UUID_BYTES];
    TRY(random_fill(uuid, sizeof uuid));
    uint64_t now = (uint64_t)clock_wall_ms();
    for (int i = 0; i < UUID_TIME_BYTES; i++)
        uuid[i] = (uint8_t)(now >> (40 - 8 * i));
    mark_version_7(uuid);
    memcpy(ret, uuid, sizeof uuid);
    return ERR_OK;
}

void uuid_at_time_of(const uint8_t other[static UUID_BYTES], uint8_t uuid[static UUID_BYTES])
{
    memcpy(uuid, other, UUID_TIME_BYTES);
    mark_version_7(uuid);
}

static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(const uint8_t uuid[static UUID_BYTES], char text[static UUID_TEXT + 1])
{
    char *at = text;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i))
            *at++ = '-';
        *at++ = digits[uuid[i] >> 4];
        *at++ = digits[uuid[i] & 15];
    }
    *at = '\0';
}

struct err uuid_parse(struct bytes text, uint8_t ret[static UUID_BYTES])
{
    uint8_t uuid[UUID_BYTES];
    size_t at = 0;
    if (text.len != UUID_TEXT)
        return err_make(ERR_INVALID, "uuid_parse");
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i) && text.data[at++] != '-')
            return err_make(ERR_INVALID, "uuid_parse");
        int high = hex_value((char)text.data[at]), low = hex_value((char)text.data[at + 1]);
        if (high < 0 || low < 0)
            return err_make(ERR_INVALID, "uuid_parse");
        uuid[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    char canonical[UUID_TEXT + 1];
    uuid_format(uuid, canonical);
    if (!bytes_equal(text, bytes_of(canonical, UUID_TEXT)))
        return err_make(ERR_INVALID, "uuid_parse");
    memcpy(ret, uuid, sizeof uuid);
    return ERR_OK;
}

int64_t uuid_time_ms(const uint8_t uuid[static UUID_BYTES])
{
    int64_t value = 0;
    for (int i = 0; i < UUID_TIME_BYTES; i++)
        value = value << 8 | uuid[i];
    return value;
}
