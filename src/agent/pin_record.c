/* SPDX-License-Identifier: Apache-2.0 */
#include "pin_record.h"

#include "cleanup.h"
#include "io.h"
#include "login_lock.h"
#include "text.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* 50 to 100 ms on a server of today. PBKDF2 and not scrypt: an agent whose memory is locked must
 * not need 32 MiB at once. */
enum { ITERATIONS = 120000, LINE_MAX_BYTES = 384, TOKEN_HASH = 8 };

static const char magic[] = "p11-kms-pin-record-1";
static const char *const states[] = {
    [PIN_TRYING] = "trying", [PIN_REFUSED] = "refused", [PIN_GOOD] = "good"};

static struct err hash_pin(struct bytes pin, const uint8_t salt[static PIN_SALT],
                           uint8_t ret[static PIN_HASH])
{
    if (PKCS5_PBKDF2_HMAC((const char *)pin.data, (int)pin.len, salt, PIN_SALT, ITERATIONS,
                          EVP_sha512(), PIN_HASH, ret) != 1)
        return err_make(ERR_INTERNAL, "PKCS5_PBKDF2_HMAC");
    return ERR_OK;
}

static struct err record_path(const char *state_dir, struct bytes token, char *ret, size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char hex[2 * TOKEN_HASH + 1], name[2 * TOKEN_HASH + 16];
    if (EVP_Digest(token.data, token.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return err_make(ERR_INTERNAL, "EVP_Digest");
    TRY(hex_encode(bytes_of(digest, TOKEN_HASH), hex, sizeof hex));
    (void)snprintf(name, sizeof name, "pin-%s.record", hex);
    return path_join(state_dir, name, ret, size);
}

static struct err digest_of(const struct pin_identity *source, uint8_t ret[static PIN_DIGEST])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct bytes text = bytes_of_string(source->text);
    if (EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return err_make(ERR_INTERNAL, "EVP_Digest");
    memcpy(ret, digest, PIN_DIGEST);
    return ERR_OK;
}

static bool exact_hex(const char *text, uint8_t *to, size_t size)
{
    size_t len;
    return !err_is(hex_decode(text, to, size, &len)) && len == size;
}

static bool parse_state(const char *word, enum pin_state *ret)
{
    for (*ret = PIN_TRYING; *ret <= PIN_GOOD; (*ret)++)
        if (strcmp(word, states[*ret]) == 0)
            return true;
    return false;
}

static bool parse_earlier(const char *word, struct pin_record *r)
{
    if (strcmp(word, "-") == 0)
        return true;
    return !err_is(hex_decode(word, r->earlier, sizeof r->earlier, &r->earlier_len)) &&
           r->earlier_len % PIN_DIGEST == 0;
}

static struct err parse(char *line, struct pin_record *r)
{
    struct err bad = err_make(ERR_INVALID, "PIN record");
    char word[24], state[12], count[8], salt[40], hash[72], source[PIN_IDENTITY_MAX + 1], rest;
    if (sscanf(line, "%23s %11s %7s %39s %71s %127s %c", word, state, count, salt, hash, source,
               &rest) != 6 ||
        strcmp(word, magic) != 0 || !parse_state(state, &r->state) ||
        err_is(parse_u64(count, 0, 999, &r->refusals)))
        return bad;
    r->any_pin = strcmp(hash, "-") == 0;
    if (!r->any_pin &&
        (!exact_hex(salt, r->salt, sizeof r->salt) || !exact_hex(hash, r->hash, sizeof r->hash)))
        return bad;
    if (r->any_pin && r->state == PIN_GOOD && !parse_earlier(salt, r))
        return bad;
    if (strcmp(source, "-") != 0)
        memcpy(r->source.text, source, sizeof source);
    return ERR_OK;
}

static struct err read_record(struct pin_record *r)
{
    char line[LINE_MAX_BYTES + 1];
    size_t len;
    struct err e = file_read(r->path, line, LINE_MAX_BYTES, &len);
    if (e.code == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    line[len] = '\0';
    return parse(line, r);
}

struct err pin_record_open(const char *state_dir, struct bytes token, struct pin_record *ret)
{
    *ret = (struct pin_record){.lock = -1, .state = PIN_UNTRIED};
    TRY(record_path(state_dir, token, ret->path, sizeof ret->path));
    TRY(login_lock_take(state_dir, &ret->lock));
    struct err e = read_record(ret);
    if (err_is(e))
        pin_record_close(ret);
    return e;
}

void pin_record_close(struct pin_record *record)
{
    if (record->lock >= 0)
        (void)close(record->lock);
    record->lock = -1;
}

static struct err write_record(const struct pin_record *r, enum pin_state state,
                               const struct pin_identity *source)
{
    char salt[2 * sizeof r->earlier + 1] = "-", hash[2 * PIN_HASH + 1] = "-";
    char line[LINE_MAX_BYTES];
    _Static_assert(sizeof r->earlier >= PIN_SALT, "either is written there");
    if (state == PIN_REFUSED && !r->any_pin) {
        TRY(hex_encode(bytes_of(r->salt, sizeof r->salt), salt, sizeof salt));
        TRY(hex_encode(bytes_of(r->hash, sizeof r->hash), hash, sizeof hash));
    }
    if (state == PIN_GOOD && r->earlier_len > 0)
        TRY(hex_encode(bytes_of(r->earlier, r->earlier_len), salt, sizeof salt));
    (void)snprintf(line, sizeof line, "%s %s %llu %s %s %s\n", magic, states[state],
                   (unsigned long long)r->refusals, salt, hash,
                   source->text[0] ? source->text : "-");
    return file_replace(r->path, bytes_of_string(line), 0600);
}

struct err pin_record_refuse(struct pin_record *record, struct bytes pin)
{
    record->state = PIN_REFUSED;
    record->refusals++;
    record->any_pin = pin.len == 0;
    record->earlier_len = 0;
    record->source = (struct pin_identity){.text = ""};
    if (!record->any_pin) {
        TRY(random_fill(record->salt, sizeof record->salt));
        TRY(hash_pin(pin, record->salt, record->hash));
    }
    return write_record(record, PIN_REFUSED, &record->source);
}

static bool same_source(const struct pin_record *record, const struct pin_identity *source)
{
    return source->text[0] && strcmp(record->source.text, source->text) == 0;
}

struct err pin_record_judge(struct pin_record *record, struct bytes pin,
                            const struct pin_identity *source, enum pin_verdict *ret)
{
    uint8_t hash[PIN_HASH];
    bool same = true;
    if (record->state == PIN_UNTRIED || record->state == PIN_GOOD) {
        *ret = PIN_MAY_BE_TRIED;
        return ERR_OK;
    }
    if (record->state == PIN_TRYING) {
        struct bytes tried = same_source(record, source) ? pin : bytes_of(NULL, 0);
        TRY(pin_record_refuse(record, tried));
    } else if (!record->any_pin && pin.len > 0) {
        TRY(hash_pin(pin, record->salt, hash));
        same = bytes_equal_secret(bytes_of(hash, sizeof hash),
                                  bytes_of(record->hash, sizeof record->hash));
    }
    if (record->refusals >= PIN_REFUSALS_MAX)
        *ret = PIN_TOO_MANY_REFUSALS;
    else
        *ret = same ? PIN_IS_REFUSED : PIN_MAY_BE_TRIED;
    return ERR_OK;
}

/* Where among the earlier ones; earlier_len: nowhere. */
static size_t find_earlier(const struct pin_record *r, const uint8_t digest[static PIN_DIGEST])
{
    size_t at = 0;
    while (at < r->earlier_len && memcmp(r->earlier + at, digest, PIN_DIGEST) != 0)
        at += PIN_DIGEST;
    return at;
}

bool pin_record_proved(const struct pin_record *record, const struct pin_identity *source)
{
    uint8_t digest[PIN_DIGEST];
    if (record->state != PIN_GOOD || !source->text[0])
        return false;
    if (same_source(record, source))
        return true;
    return !err_is(digest_of(source, digest)) && find_earlier(record, digest) < record->earlier_len;
}

void pin_record_count_foreign(struct pin_record *record)
{
    if (record->refusals == 0)
        record->refusals = 1;
}

struct err pin_record_begin(const struct pin_record *record, const struct pin_identity *source)
{
    return write_record(record, PIN_TRYING, source);
}

/* The good one of before becomes the first of the earlier ones. The new one is not among them, and
 * where all places are taken the last goes. */
static struct err move_to_earlier(struct pin_record *r, const struct pin_identity *source)
{
    uint8_t before[PIN_DIGEST], now[PIN_DIGEST];
    TRY(digest_of(&r->source, before));
    TRY(digest_of(source, now));
    size_t gap = find_earlier(r, now);
    if (gap == r->earlier_len && r->earlier_len < sizeof r->earlier)
        r->earlier_len += PIN_DIGEST;
    else if (gap == r->earlier_len)
        gap -= PIN_DIGEST;
    memmove(r->earlier + PIN_DIGEST, r->earlier, gap);
    memcpy(r->earlier, before, PIN_DIGEST);
    return ERR_OK;
}

/* What was proved before a refusal, or before a PIN of which no file is known, is proved no more.
 */
static void keep_earlier(struct pin_record *r, const struct pin_identity *source)
{
    if (r->state == PIN_GOOD && same_source(r, source))
        return;
    bool follows = r->state == PIN_GOOD && r->source.text[0] && source->text[0];
    if (!follows || err_is(move_to_earlier(r, source)))
        r->earlier_len = 0;
}

/* Where there is no room for what helps only in doubt, no record does as well. */
struct err pin_record_accept(struct pin_record *record, const struct pin_identity *source)
{
    keep_earlier(record, source);
    record->state = PIN_GOOD;
    record->refusals = 0;
    record->source = *source;
    struct err e = write_record(record, PIN_GOOD, source);
    return err_is(e) ? file_remove(record->path) : ERR_OK;
}

struct err pin_record_abandon(const struct pin_record *record)
{
    if (record->state == PIN_UNTRIED)
        return file_remove(record->path);
    return write_record(record, record->state, &record->source);
}
