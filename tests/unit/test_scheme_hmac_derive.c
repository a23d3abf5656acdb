/* SPDX-License-Identifier: Apache-2.0 */
/* hmac-derive against the vectors of docs/envelope.md and against its format computed anew with
 * OpenSSL. A module of two functions stands in for the token, with a KEK that is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"

#include "p11_call.h"
#include "scheme.h"
#include "secret.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const char key_id_text[] = "k8s.01890101-0101-7101-8101-010101010101";
static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";

/* KEK 00..1f, salt a0..bf. */
static const struct vector {
    enum family family;
    const char *plaintext; /* hex */
    const char *maced;
    const char *envelope;
} vectors[] = {
    {FAMILY_V2, "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f",
     "7031312d6b6d732f686d61632d6465726976652f763100010202286b38732e3031383930"
     "3130312d303130312d373130312d383130312d303130313031303130313031a0a1a2a3a4"
     "a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
     "010202286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babb"
     "bcbdbebf6ff95b1c425bdc369aec99d0a52c4ba5bb1750d36e21b65e98423eb50186f8b6"
     "d5a4030ca2a8e4f51fd843d50ab987bc"},
    {FAMILY_V1, "70696e67",
     "7031312d6b6d732f686d61632d6465726976652f763100010201286b38732e3031383930"
     "3130312d303130312d373130312d383130312d303130313031303130313031a0a1a2a3a4"
     "a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
     "010201286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babb"
     "bcbdbebf5e80f651cf9d50484666b3405caf1d249336533c"},
};

/* --- the token --------------------------------------------------------------------------- */

static struct {
    CK_RV init_rv, sign_rv;
    CK_ULONG len; /* that it says of its MAC */
    bool blank;   /* it writes nothing */
    uint8_t maced[512];
    size_t maced_len;
    const void *mac; /* where the last MAC went */
    unsigned wiped;  /* how often it was wiped there */
} token;

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    assert_int_equal(mechanism->mechanism, CKM_SHA256_HMAC);
    assert_int_equal(key, 7);
    return token.init_rv;
}

static void mac(struct bytes data, uint8_t *ret)
{
    uint8_t kek[32];
    for (unsigned i = 0; i < sizeof kek; i++)
        kek[i] = (uint8_t)i;
    assert_non_null(HMAC(EVP_sha256(), kek, sizeof kek, data.data, data.len, ret, NULL));
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature,
                  CK_ULONG *signature_len)
{
    (void)session;
    assert_int_equal(*signature_len, 32);
    assert_true(len <= sizeof token.maced);
    memcpy(token.maced, data, len);
    token.maced_len = len;
    token.mac = signature;
    if (!token.blank)
        mac(bytes_of(data, len), signature);
    *signature_len = token.len;
    return token.sign_rv;
}

/* In the place of wipe (see local.mk). */
void __real_wipe(void *memory, size_t len);
void __wrap_wipe(void *memory, size_t len);
void __wrap_wipe(void *memory, size_t len)
{
    if (memory == token.mac && len >= 32)
        token.wiped++;
    __real_wipe(memory, len);
}

static CK_FUNCTION_LIST functions = {.C_SignInit = sign_init, .C_Sign = sign};
static struct p11_module module = {.functions = &functions};
static const struct p11_session session = {.module = &module};

static int reset(void **state)
{
    (void)state;
    memset(&token, 0, sizeof token);
    token.len = 32;
    return 0;
}

/* --- help -------------------------------------------------------------------------------- */

static const struct key_set keys = {.scheme = SCHEME_HMAC_DERIVE, .handles = {7}};

static struct err seal(enum family family, struct bytes plaintext, struct hex *ret)
{
    struct key_id key_id = {""};
    memcpy(key_id.text, key_id_text, sizeof key_id_text);
    struct writer w = writer_over(ret->data, sizeof ret->data);
    envelope_put_header(&w, SCHEME_HMAC_DERIVE, family, &key_id);
    struct err e = scheme_seal(scheme_find(SCHEME_HMAC_DERIVE), &session, &keys, writer_bytes(&w),
                               plaintext, &w);
    ret->len = w.len;
    return e;
}

static struct err open_raw(struct bytes raw, struct hex *ret)
{
    struct envelope envelope;
    TRY(envelope_parse(raw, &envelope));
    return scheme_open(scheme_find(SCHEME_HMAC_DERIVE), &session, &keys, &envelope, ret->data,
                       &ret->len);
}

/* The ciphertext and tag of an envelope, from its header and salt alone. */
static void compute(struct bytes header, struct bytes salt, struct bytes plaintext, uint8_t *ret)
{
    static const char label[] = "p11-kms/hmac-derive/v1", domain[] = "p11-kms/envelope/v1";
    uint8_t input[512], aad[512], key[32], iv[12] = {0};
    struct writer i = writer_over(input, sizeof input), a = writer_over(aad, sizeof aad);
    int len = 0;
    put_bytes(&i, bytes_of(label, sizeof label));
    put_bytes(&i, header);
    put_bytes(&i, salt);
    mac(writer_bytes(&i), key);
    put_bytes(&a, bytes_of(domain, sizeof domain));
    put_bytes(&a, header);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_non_null(c);
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &len, a.data, (int)a.len), 1);
    assert_int_equal(EVP_EncryptUpdate(c, ret, &len, plaintext.data, (int)plaintext.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, ret + len, &len), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, ret + plaintext.len), 1);
    EVP_CIPHER_CTX_free(c);
}

/* --- tests ------------------------------------------------------------------------------- */

static void vectors_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct hex plaintext = unhex(vectors[i].plaintext), maced = unhex(vectors[i].maced),
                   envelope = unhex(vectors[i].envelope), opened;
        assert_false(err_is(open_raw(of(&envelope), &opened)));
        assert_true(bytes_equal(of(&opened), of(&plaintext)));
        assert_true(bytes_equal(bytes_of(token.maced, token.maced_len), of(&maced)));
    }
}

static void what_is_sealed_is_the_written_format(void **state)
{
    (void)state;
    static const uint8_t plaintext[PLAINTEXT_MAX] = "of every length";
    for (size_t n = 1; n <= sizeof plaintext; n++) {
        struct hex sealed;
        uint8_t expected[PLAINTEXT_MAX + 16];
        size_t header = 4 + strlen(key_id_text);
        assert_false(err_is(seal(FAMILY_V1, bytes_of(plaintext, n), &sealed)));
        assert_int_equal(sealed.len, header + 32 + n + 16);
        compute(bytes_of(sealed.data, header), bytes_of(sealed.data + header, 32),
                bytes_of(plaintext, n), expected);
        assert_memory_equal(sealed.data + header + 32, expected, n + 16);
    }
}

static void salts_differ(void **state)
{
    (void)state;
    struct hex first, second;
    size_t header = 4 + strlen(key_id_text);
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &first)));
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &second)));
    assert_memory_not_equal(first.data + header, second.data + header, 32);
    assert_memory_not_equal(first.data + header + 32, second.data + header + 32, sizeof dek);
}

static void every_bit_flip_and_truncation_is_refused(void **state)
{
    (void)state;
    struct hex raw, opened = {.len = 0};
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw)));
    size_t fields = 4 + strlen(key_id_text);
    for (size_t bit = 0; bit < raw.len * 8; bit++) {
        struct hex flipped = raw;
        flipped.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct err e = open_raw(of(&flipped), &opened);
        assert_true(e.code == ERR_AUTH || (bit / 8 < 4 && e.code == ERR_INVALID));
    }
    for (size_t len = fields; len < raw.len; len++)
        assert_int_equal(open_raw(bytes_of(raw.data, len), &opened).code,
                         len < fields + 32 + 1 + 16 ? ERR_INVALID : ERR_AUTH);
    assert_int_equal(opened.len, 0);
}

static void a_failed_open_leaves_no_plaintext(void **state)
{
    (void)state;
    static const uint8_t nothing[sizeof dek];
    struct hex raw, opened = {.len = 0};
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw)));
    raw.data[raw.len - 1] ^= 1;
    assert_int_equal(open_raw(of(&raw), &opened).code, ERR_AUTH);
    assert_memory_equal(opened.data, nothing, sizeof dek);
}

/* Or its key would be one that everybody knows. */
static void a_token_that_gives_no_mac_seals_nothing(void **state)
{
    (void)state;
    struct hex sealed;
    size_t header = 4 + strlen(key_id_text);
    for (int kind = 0; kind < 5; kind++) {
        (void)reset(state);
        token.init_rv = kind == 0 ? CKR_KEY_HANDLE_INVALID : CKR_OK;
        token.sign_rv = kind == 1 ? CKR_DEVICE_ERROR : CKR_OK;
        token.len = kind == 2 ? 31 : kind == 3 ? 33 : 32;
        token.blank = kind == 4;
        struct err e = seal(FAMILY_V2, bytes_of(dek, sizeof dek), &sealed);
        assert_int_equal(e.kind, ERR_KIND_CKR);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_int_equal(sealed.len, header);
    }
}

/* On every way out of a seal or open, once for each key that was derived. */
static void the_derived_key_is_wiped(void **state)
{
    struct hex raw, opened;
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw)));
    assert_int_equal(token.wiped, 1);
    assert_false(err_is(open_raw(of(&raw), &opened)));
    assert_int_equal(token.wiped, 2);
    raw.data[raw.len - 1] ^= 1;
    assert_int_equal(open_raw(of(&raw), &opened).code, ERR_AUTH);
    assert_int_equal(token.wiped, 3);
    (void)reset(state);
    token.sign_rv = CKR_DEVICE_ERROR;
    assert_true(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw)));
    assert_int_equal(token.wiped, 1);
    (void)reset(state);
    token.len = 31;
    assert_true(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw)));
    assert_int_equal(token.wiped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(vectors_open, reset),
        cmocka_unit_test_setup(what_is_sealed_is_the_written_format, reset),
        cmocka_unit_test_setup(salts_differ, reset),
        cmocka_unit_test_setup(every_bit_flip_and_truncation_is_refused, reset),
        cmocka_unit_test_setup(a_failed_open_leaves_no_plaintext, reset),
        cmocka_unit_test_setup(a_token_that_gives_no_mac_seals_nothing, reset),
        cmocka_unit_test_setup(the_derived_key_is_wiped, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
