/* SPDX-License-Identifier: Apache-2.0 */
/* rsa-oaep-sign against the vectors of docs/envelope.md and against its format computed anew with
 * OpenSSL, on a token whose keys are known (pair_token.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair_calls.h"
#include "pair_format.h"
#include "pair_token.h"

#include "secret.h"

#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static const char domain[] = PAIR_DOMAIN;
static const char challenge_domain[] = "p11-kms/rsa-oaep-sign/challenge/v1";

/* Message key a0..bf. */
static const struct vector {
    bool rsa; /* the signature */
    enum oaep_hash hash;
    const char *plaintext; /* hex */
    const char *envelope;
} vectors[] = {
    {false, OAEP_SHA256, "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f",
     "010402286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031020100719adf50c387bbc0021ae2c9cf9ead55fc95a6bd99ebdd54c3"
     "334af77cd9bd1e4805a6cdac0d953f2247489b2c76fac9c51dda8ddcb17a28f8ddd0aa49"
     "c559c6d2bc6c511079e65940061164050deb4907bea368bd96c55908ea51372b886bd3c9"
     "ddf2d8e598fcc81757c9481ebaeb9273d335054442a9804c114a598c03ad993f61beb39a"
     "949cf49b6d1955d499d2cbf615644e2404d2aeb56a99114ab3d17dd17d827fc5dbdd8ea5"
     "37b35ae7239f42fd66f111270cb623b4365f4b42ba514c5dfa1c48c90628b7d044397893"
     "964a5fabfa9db8932c2d8ca7e091bbfb18d3abdaf4bc92f9af106f8b5045bbcbbc3222b6"
     "bdec0df082b25dea1319908fc6ff06fee0523491f56235eaf6bcd2eb2563bcd92a337009"
     "b8997b650f6936cfa6273c3e3cdf342140169f9ae577cebaec8c92bf97d0ee1866aac6f8"
     "0826ebadc42f3d81e1b6b8f298f5d3ebe7542b7cb483a792414320389d34068d8e44eb78"
     "c647aaa1eeeb8e51f54dd2fd7e4bf7da49defc"},
    {true, OAEP_SHA1, "70696e67",
     "010401286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "303130313031303101010079b0c65174dfff561c86afa705421f16f9271d44bbb1f6e183"
     "b05c95a10c5ee11ec898a617cb90fdad4acccc4c1378c565d0508e257732c32aa5b3196a"
     "387c6fb9830826508f7be6f393b958205c3e8a9ca9fd4e5d9dc17a35d6c6d6378e1d8eba"
     "790ba647c29e2730efc79af7deb6b68bd1711199c861634167a1f6d39eeec3b4e44254fa"
     "cb02a735e66ade936d054d3e573e0b3d3a4b81f50a2aeb8649ddbc7bf36f220314add8a8"
     "2ea5b0a3694fedb3fc22590873663c3bb531c4cf1fcfc4374233d6237ef705db9bacd2e9"
     "574ca0fc3037f3c1311ae8ee1d097d023cc4cd763ab06b375116fa79e5d0dfcf7b80d179"
     "331911d389e5b5b3b047807faaff0ccec87e10abe7634d84a6fe403f8eab31f5f7a8fac9"
     "b322ec95307ac02c5cac510f104348f56758a4f466490c0687194523ba9f4673474d5cde"
     "2d4fe464329a7c09a00860e803e2c47ef441724e16e854f519bdf825779e9ab81b55476c"
     "2c487c26738f875a54ca3a6622974fb1386e923a16b3476237574f1b677770f3a737da40"
     "ad2e53e231ca921a7aa7fd3e0c68d232523583885c614ac10da0001a279969ffd9fe5e67"
     "1718649430a25081825de308930878ae942113e2a1dd92665d0b856fa9b06d6606ef84a5"
     "39babf270be555229d4a3d0dff5c1294f8d1c0e38616c2bf4d5ce7dfa4a0d224f49deddc"
     "3de7fd4bb79c1f6fa51537e4ae33df6b742989a9caa9685159501ec2ca8aa7468eb1c9ea"
     "392c34"},
};

/* --- help -------------------------------------------------------------------------------- */

static int ec(void **state)
{
    (void)state;
    pair_token_reset(false);
    return 0;
}

static int end(void **state)
{
    (void)state;
    pair_token_free();
    return 0;
}

/* --- known answers ------------------------------------------------------------------------ */

static void vectors_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct hex plaintext = unhex(vectors[i].plaintext), envelope = unhex(vectors[i].envelope);
        struct hex opened;
        pair_token_reset(vectors[i].rsa);
        struct key_set keys = pair_prepared();
        assert_false(err_is(pair_open(&keys, of(&envelope), &opened)));
        assert_true(bytes_equal(of(&opened), of(&plaintext)));
        pair_check_format(&envelope, of(&plaintext), vectors[i].hash);
    }
}

static void what_is_sealed_is_the_written_format(void **state)
{
    static const uint8_t plaintext[PLAINTEXT_MAX] = "of every length";
    for (int kind = 0; kind < 3; kind++) {
        pair_token_reset(kind > 0);
        pair_token.sha1_only = kind == 2;
        pair_token.plain_only = kind == 2;
        struct key_set keys = pair_prepared();
        size_t most = kind > 0 ? ENVELOPE_MAX - CIPHERTEXT - TAG - MODULUS : sizeof plaintext;
        for (size_t n = 1; n <= most; n += n < 40 || n > most - 3 ? 1 : 17) {
            struct hex sealed, opened;
            assert_false(err_is(pair_seal(&keys, bytes_of(plaintext, n), &sealed)));
            pair_check_format(&sealed, bytes_of(plaintext, n), kind == 2 ? OAEP_SHA1 : OAEP_SHA256);
            assert_false(err_is(pair_open(&keys, of(&sealed), &opened)));
            assert_true(bytes_equal(of(&opened), bytes_of(plaintext, n)));
        }
    }
    (void)state;
}

/* Two RSA keys fill an envelope. */
static void what_does_not_fit_is_refused_before_the_token_works(void **state)
{
    static const uint8_t plaintext[PLAINTEXT_MAX];
    struct hex sealed;
    (void)state;
    pair_token_reset(true);
    struct key_set keys = pair_prepared();
    size_t most = ENVELOPE_MAX - CIPHERTEXT - TAG - MODULUS;
    assert_false(err_is(pair_seal(&keys, bytes_of(plaintext, most), &sealed)));
    assert_int_equal(sealed.len, ENVELOPE_MAX);
    assert_int_equal(pair_token.signs, 1);
    assert_int_equal(pair_seal(&keys, bytes_of(plaintext, most + 1), &sealed).code, ERR_INVALID);
    assert_int_equal(pair_token.signs, 1);
    assert_int_equal(sealed.len, HEADER);
}

static void message_keys_differ(void **state)
{
    (void)state;
    struct key_set keys = pair_prepared();
    struct hex first = pair_sealed_dek(&keys), second = pair_sealed_dek(&keys);
    assert_memory_not_equal(first.data + WRAPPED, second.data + WRAPPED, MODULUS);
    assert_memory_not_equal(first.data + CIPHERTEXT, second.data + CIPHERTEXT, sizeof pair_dek);
}

/* --- what is not the token's ---------------------------------------------------------------- */

static void every_bit_flip_and_truncation_is_refused_before_the_token_sees_it(void **state)
{
    struct hex opened = {.len = 0};
    (void)state;
    struct key_set keys = pair_prepared();
    struct hex raw = pair_sealed_dek(&keys);
    /* memcheck looks at memory, which each bit has the same of, and slowly */
    size_t step = getenv("P11KMS_MEMCHECK") ? 61 : 1;
    for (size_t bit = 0; bit < raw.len * 8; bit += step) {
        struct hex flipped = raw;
        flipped.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct err e = pair_open(&keys, of(&flipped), &opened);
        bool form = bit / 8 >= HEADER && bit / 8 < WRAPPED; /* hash and length */
        assert_true(e.code == (form ? ERR_INVALID : ERR_AUTH) ||
                    (bit / 8 < 4 && e.code == ERR_INVALID));
    }
    for (size_t len = HEADER; len < raw.len; len += step)
        assert_int_equal(pair_open(&keys, bytes_of(raw.data, len), &opened).code,
                         len <= CIPHERTEXT + TAG + 64 ? ERR_INVALID : ERR_AUTH);
    assert_int_equal(opened.len, 0);
    assert_int_equal(pair_token.decrypts, 0);
    assert_false(err_is(pair_open(&keys, of(&raw), &opened)));
    assert_int_equal(pair_token.decrypts, 1);
}

/* All that anybody can make who knows the public halves: a DEK of theirs, rightly wrapped. */
static struct hex forged(const struct key_set *keys)
{
    struct hex raw = pair_sealed_dek(keys);
    uint8_t key[32] = "a key of the forger's own choice";
    size_t len = MODULUS;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pair_token.unwrap_publics[0], NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_encrypt(c, raw.data + WRAPPED, &len, key, sizeof key), 1);
    EVP_PKEY_CTX_free(c);
    pair_compute(bytes_of(raw.data, HEADER), key, bytes_of(pair_dek, sizeof pair_dek),
                 raw.data + CIPHERTEXT);
    raw.len -= 64;
    return raw;
}

static void a_forged_ciphertext_is_refused(void **state)
{
    struct hex opened = {.len = 0};
    (void)state;
    struct key_set keys = pair_prepared();
    struct hex stolen = forged(&keys), other = forged(&keys), good = forged(&keys);
    EVP_PKEY *stranger = pair_stranger(0);
    stolen.len += 64; /* a signature of the token's, of another envelope */
    assert_int_equal(pair_open(&keys, of(&stolen), &opened).code, ERR_AUTH);
    pair_append_signature(stranger, bytes_of(domain, sizeof domain), &other);
    EVP_PKEY_free(stranger);
    assert_int_equal(pair_open(&keys, of(&other), &opened).code, ERR_AUTH);
    assert_int_equal(pair_token.decrypts, 0);
    /* that with the right signature it opens shows that nothing else refused it */
    pair_append_signature(pair_token.sign, bytes_of(domain, sizeof domain), &good);
    assert_false(err_is(pair_open(&keys, of(&good), &opened)));
    assert_true(bytes_equal(of(&opened), bytes_of(pair_dek, sizeof pair_dek)));
}

/* Or an agent's start could be made to sign an envelope. */
static void a_challenge_is_no_envelope(void **state)
{
    struct hex opened;
    (void)state;
    struct key_set keys = pair_prepared();
    struct hex raw = forged(&keys);
    pair_append_signature(pair_token.sign, bytes_of(challenge_domain, sizeof challenge_domain),
                          &raw);
    assert_int_equal(pair_open(&keys, of(&raw), &opened).code, ERR_AUTH);
    assert_int_equal(pair_token.decrypts, 0);
    pair_token_reset(true); /* whose mechanism is given all of it */
    assert_false(err_is(pair_prepare(&keys)));
    assert_int_equal(pair_token.signs, 1);
    assert_int_equal(pair_token.signed_len, sizeof challenge_domain + 32);
    assert_memory_equal(pair_token.signed_data, challenge_domain, sizeof challenge_domain);
}

/* --- a token that does not do its work ------------------------------------------------------ */

static void what_the_token_gives_is_judged(void **state)
{
    struct hex opened = {.len = 0}, sealed;
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        pair_token_reset(false);
        struct key_set keys = pair_prepared();
        struct hex raw = pair_sealed_dek(&keys);
        pair_token.longer = kind == 0 ? -1 : kind == 1 ? 1 : 0;
        pair_token.garbage = kind == 2;
        pair_token.init_rv = kind == 3 ? CKR_KEY_HANDLE_INVALID : CKR_OK;
        pair_token.decrypt_rv = pair_token.sign_rv = kind == 4 ? CKR_DEVICE_ERROR : CKR_OK;
        struct err e = pair_open(&keys, of(&raw), &opened);
        assert_true(kind < 3 ? e.code == ERR_AUTH && e.kind == ERR_KIND_NONE
                             : e.code == ERR_UNAVAILABLE && e.kind == ERR_KIND_CKR);
        assert_int_equal(opened.len, 0);
        if (kind == 2)
            continue; /* verified when it is opened, which the agent does */
        e = pair_seal(&keys, bytes_of(pair_dek, sizeof pair_dek), &sealed);
        assert_int_equal(e.kind, ERR_KIND_CKR);
        assert_int_equal(sealed.len, HEADER);
        assert_true(err_is(pair_prepare(&keys)));
    }
    pair_token_reset(false);
    struct key_set keys = pair_prepared();
    pair_token.garbage = true;
    sealed = pair_sealed_dek(&keys);
    assert_int_equal(pair_open(&keys, of(&sealed), &opened).code, ERR_AUTH);
    assert_int_equal(pair_prepare(&keys).code, ERR_TOKEN);
    assert_int_equal(keys.publics[0].len, 0);
}

/* On every way out, of the copy that the token fills in too. */
static void the_message_key_is_wiped(void **state)
{
    uint8_t key[32];
    struct hex opened;
    (void)state;
    struct key_set keys = pair_prepared();
    struct hex raw = pair_sealed_dek(&keys);
    pair_unwrap(pair_token.unwrap, OAEP_SHA256, raw.data + WRAPPED, key);
    assert_int_equal(pair_token.key_wipes, 1);
    assert_memory_equal(pair_token.wiped_key, key, sizeof key);
    memset(pair_token.wiped_key, 0, sizeof key);
    assert_false(err_is(pair_open(&keys, of(&raw), &opened)));
    assert_memory_equal(pair_token.wiped_key, key, sizeof key);
    assert_int_equal(pair_token.room_wipes, 1);
    pair_token.longer = 1;
    assert_int_equal(pair_open(&keys, of(&raw), &opened).code, ERR_AUTH);
    assert_int_equal(pair_token.room_wipes, 2);
    assert_int_equal(pair_token.key_wipes, 3);
    pair_token.longer = 0;
    pair_token.decrypt_rv = CKR_DEVICE_ERROR;
    assert_true(err_is(pair_open(&keys, of(&raw), &opened)));
    assert_int_equal(pair_token.room_wipes, 3);
    pair_token.sign_rv = CKR_DEVICE_ERROR;
    assert_true(err_is(pair_seal(&keys, bytes_of(pair_dek, sizeof pair_dek), &raw)));
    assert_int_equal(pair_token.key_wipes, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(test) cmocka_unit_test_setup_teardown(test, ec, end)
        ROW(vectors_open),
        ROW(what_is_sealed_is_the_written_format),
        ROW(what_does_not_fit_is_refused_before_the_token_works),
        ROW(message_keys_differ),
        ROW(every_bit_flip_and_truncation_is_refused_before_the_token_sees_it),
        ROW(a_forged_ciphertext_is_refused),
        ROW(a_challenge_is_no_envelope),
        ROW(what_the_token_gives_is_judged),
        ROW(the_message_key_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
