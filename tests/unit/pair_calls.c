/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair_calls.h"

#include "pair_format.h"
#include "pair_token.h"

#include <string.h>

static const char key_id_text[] = "k8s.01890101-0101-7101-8101-010101010101";
const uint8_t pair_dek[32] = "thirty-two bytes of a secret DEK";

struct err pair_prepare(struct key_set *ret)
{
    *ret = pair_token_keys();
    return scheme_rsa_oaep_sign.prepare(&pair_session, ret);
}

struct key_set pair_prepared(void)
{
    struct key_set keys;
    assert_false(err_is(pair_prepare(&keys)));
    pair_token.decrypts = pair_token.signs = pair_token.key_wipes = pair_token.room_wipes = 0;
    return keys;
}

struct err pair_seal(const struct key_set *keys, struct bytes plaintext, struct hex *ret)
{
    struct key_id key_id = {""};
    memcpy(key_id.text, key_id_text, sizeof key_id_text);
    struct writer w = writer_over(ret->data, sizeof ret->data);
    envelope_put_header(&w, SCHEME_RSA_OAEP_SIGN, FAMILY_V2, &key_id);
    struct err e = scheme_rsa_oaep_sign.seal(&pair_session, keys, writer_bytes(&w), plaintext, &w);
    ret->len = w.len;
    return e;
}

struct hex pair_sealed_dek(const struct key_set *keys)
{
    struct hex raw;
    assert_false(err_is(pair_seal(keys, bytes_of(pair_dek, sizeof pair_dek), &raw)));
    return raw;
}

struct err pair_open(const struct key_set *keys, struct bytes raw, struct hex *ret)
{
    struct envelope envelope;
    TRY(envelope_parse(raw, &envelope));
    return scheme_rsa_oaep_sign.open(&pair_session, keys, &envelope, ret->data, &ret->len);
}

void pair_check_format(const struct hex *raw, struct bytes plaintext, enum oaep_hash hash)
{
    uint8_t key[32], expected[PLAINTEXT_MAX + TAG];
    size_t covered = CIPHERTEXT + plaintext.len + TAG;
    size_t signature = EVP_PKEY_get_base_id(pair_token.sign) == EVP_PKEY_EC ? 64 : MODULUS;
    assert_int_equal(raw->len, covered + signature);
    assert_int_equal(raw->data[HEADER], hash);
    assert_int_equal(raw->data[HEADER + 1] << 8 | raw->data[HEADER + 2], MODULUS);
    assert_true(pair_is_signed(pair_token.sign, bytes_of(raw->data, covered),
                               bytes_of(raw->data + covered, signature)));
    pair_unwrap(pair_token.unwrap, hash, raw->data + WRAPPED, key);
    pair_compute(bytes_of(raw->data, HEADER), key, plaintext, expected);
    assert_memory_equal(raw->data + CIPHERTEXT, expected, plaintext.len + TAG);
}
