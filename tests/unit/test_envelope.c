/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"

#include "envelope.h"

#include <openssl/evp.h>
#include <string.h>

/* The vectors that docs/envelope.md quotes. Key 00..1f, IV a0..ab, this key_id. */
static const char key_id_text[] = "k8s.01890101-0101-7101-8101-010101010101";

static const struct vector {
    enum family family;
    const char *plaintext; /* hex */
    const char *aad;
    const char *envelope;
} vectors[] = {
    {FAMILY_V2, "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f",
     "7031312d6b6d732f656e76656c6f70652f763100010102286b38732e3031383930313031"
     "2d303130312d373130312d383130312d303130313031303130313031",
     "010102286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaaba6593e6e018e44f82a2ccd984b378e91"
     "20fd0b43c6e2143bc4577cdd23f62b5e1fc937acfe6b68b63f03d217f6ab08ef"},
    {FAMILY_V1, "70696e67",
     "7031312d6b6d732f656e76656c6f70652f763100010101286b38732e3031383930313031"
     "2d303130312d373130312d383130312d303130313031303130313031",
     "010101286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaab9671124abac318f2f2f14349674de097"
     "10e70adc"},
};

static struct key_id known_key_id(void)
{
    struct key_id id = {""};
    memcpy(id.text, key_id_text, sizeof key_id_text);
    return id;
}

/* AES-256-GCM in OpenSSL: an implementation that is not the token's. */
static void gcm(struct bytes aad, struct bytes plaintext, struct writer *w)
{
    uint8_t key[32], iv[12], out[PLAINTEXT_MAX + 16];
    int len = 0;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof iv; i++)
        iv[i] = (uint8_t)(0xa0 + i);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_non_null(c);
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &len, aad.data, (int)aad.len), 1);
    assert_int_equal(EVP_EncryptUpdate(c, out, &len, plaintext.data, (int)plaintext.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, out + len, &len), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, out + plaintext.len), 1);
    EVP_CIPHER_CTX_free(c);
    put_bytes(w, bytes_of(iv, sizeof iv));
    put_bytes(w, bytes_of(out, plaintext.len + 16));
}

static void vectors_hold(void **state)
{
    (void)state;
    struct key_id key_id = known_key_id();
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct hex plaintext = unhex(vectors[i].plaintext), aad = unhex(vectors[i].aad),
                   envelope = unhex(vectors[i].envelope);
        uint8_t made[ENVELOPE_MAX], authenticated[ENVELOPE_AAD_MAX];
        struct writer w = writer_over(made, sizeof made),
                      a = writer_over(authenticated, sizeof authenticated);
        envelope_put_header(&w, SCHEME_AES_GCM, vectors[i].family, &key_id);
        envelope_put_aad(&a, writer_bytes(&w));
        assert_true(bytes_equal(writer_bytes(&a), of(&aad)));
        gcm(writer_bytes(&a), of(&plaintext), &w);
        assert_true(bytes_equal(writer_bytes(&w), of(&envelope)));
    }
}

static void parse_yields_its_parts(void **state)
{
    (void)state;
    struct hex raw = unhex(vectors[0].envelope);
    struct envelope e;
    assert_false(err_is(envelope_parse(of(&raw), &e)));
    assert_int_equal(e.scheme, SCHEME_AES_GCM);
    assert_int_equal(e.family, FAMILY_V2);
    assert_true(bytes_equal(e.key_id, bytes_of_string(key_id_text)));
    assert_int_equal(e.header.len, 4 + strlen(key_id_text));
    assert_int_equal(e.fields.len, 12 + 32 + 16);
}

static void unknown_numbers_are_invalid(void **state)
{
    (void)state;
    const size_t places[] = {0, 1, 2}; /* version, scheme, family */
    for (size_t i = 0; i < 3; i++) {
        struct hex raw = unhex(vectors[0].envelope);
        struct envelope e;
        raw.data[places[i]] = 9;
        assert_int_equal(envelope_parse(of(&raw), &e).code, ERR_INVALID);
    }
}

static void short_headers_are_invalid(void **state)
{
    (void)state;
    struct hex raw = unhex(vectors[0].envelope);
    struct envelope e;
    for (size_t len = 0; len < 4 + strlen(key_id_text); len++)
        assert_int_equal(envelope_parse(bytes_of(raw.data, len), &e).code, ERR_INVALID);
}

static void empty_or_long_key_id_is_invalid(void **state)
{
    (void)state;
    uint8_t raw[ENVELOPE_MAX] = {1, 1, 2, 0};
    struct envelope e;
    assert_int_equal(envelope_parse(bytes_of(raw, sizeof raw), &e).code, ERR_INVALID);
    raw[3] = KEY_ID_MAX + 1;
    assert_int_equal(envelope_parse(bytes_of(raw, sizeof raw), &e).code, ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(parse_yields_its_parts),
        cmocka_unit_test(unknown_numbers_are_invalid),
        cmocka_unit_test(short_headers_are_invalid),
        cmocka_unit_test(empty_or_long_key_id_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
