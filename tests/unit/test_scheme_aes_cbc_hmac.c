/* SPDX-License-Identifier: Apache-2.0 */
/* aes-cbc-hmac against the vectors of docs/envelope.md and against its format computed anew with
 * OpenSSL, by a token whose keys are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cbc_token.h"
#include "hex.h"

#include "open_proof.h"

#include <string.h>

enum { IV = CBC_TOKEN_IV, BLOCK = 16, MAC = CBC_TOKEN_MAC, PADDED_MAX = PLAINTEXT_MAX + BLOCK };

static const char key_id_text[] = "k8s.01890101-0101-7101-8101-010101010101";
static const size_t header_len = 4 + sizeof key_id_text - 1;
static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";
static const struct key_set keys = {
    .scheme = SCHEME_AES_CBC_HMAC,
    .handles = {CBC_TOKEN_CIPHER_KEY, CBC_TOKEN_MAC_KEY},
    .ids = {{.len = 6, .data = "cipher"}, {.len = 3, .data = "mac"}}};

/* Keys 00..1f and 20..3f, IV a0..af. */
static const struct vector {
    const char *plaintext; /* hex */
    const char *maced;
    const char *envelope;
} vectors[] = {
    {"404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f",
     "7031312d6b6d732f6165732d6362632d686d61632f763100010302286b38732e30313839"
     "303130312d303130312d373130312d383130312d303130313031303130313031a0a1a2a3"
     "a4a5a6a7a8a9aaabacadaeaff97d2631b54672f9e1e9e52f5c516485746add56f17ef4bc"
     "a393666f5dbb06c6feac974e0a3468c958ccbf6b3e3f33a8",
     "010302286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaabacadaeaff97d2631b54672f9e1e9e52f"
     "5c516485746add56f17ef4bca393666f5dbb06c6feac974e0a3468c958ccbf6b3e3f33a8"
     "5cdd6c12a7235ecb69caaa1cd4fd04c81825aa5cd1e65c559e4eed38de36adda"},
    {"70696e67",
     "7031312d6b6d732f6165732d6362632d686d61632f763100010301286b38732e30313839"
     "303130312d303130312d373130312d383130312d303130313031303130313031a0a1a2a3"
     "a4a5a6a7a8a9aaabacadaeafbc0344ea9e0ea3a01df4a7251b4c4d20",
     "010301286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaabacadaeafbc0344ea9e0ea3a01df4a725"
     "1b4c4d2087ce7f52722bc71c4bd075700af0b14785074a0ec31a8a8c607e658daacb820f"},
};

static int reset(void **state)
{
    (void)state;
    cbc_token_reset();
    return 0;
}

/* --- help -------------------------------------------------------------------------------- */

static struct err seal(enum family family, struct bytes plaintext, struct hex *ret)
{
    struct key_id key_id = {""};
    memcpy(key_id.text, key_id_text, sizeof key_id_text);
    struct writer w = writer_over(ret->data, sizeof ret->data);
    envelope_put_header(&w, SCHEME_AES_CBC_HMAC, family, &key_id);
    struct err e = scheme_seal(scheme_find(SCHEME_AES_CBC_HMAC), &cbc_token_session, &keys,
                               writer_bytes(&w), plaintext, &w);
    ret->len = w.len;
    return e;
}

static void seal_dek(struct hex *ret)
{
    (void)reset(NULL);
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), ret)));
    cbc_token.seen = 0;
}

static struct err open_raw(struct bytes raw, struct hex *ret)
{
    struct envelope envelope;
    TRY(envelope_parse(raw, &envelope));
    return scheme_open(scheme_find(SCHEME_AES_CBC_HMAC), &cbc_token_session, &keys, &envelope,
                       ret->data, &ret->len);
}

/* The fields of an envelope, from its header and IV alone, with this padded plaintext. Returns
 * their length. */
static size_t compute(struct bytes header, struct bytes iv, struct bytes padded, uint8_t *ret)
{
    static const char domain[] = "p11-kms/aes-cbc-hmac/v1";
    uint8_t input[1024];
    struct writer w = writer_over(input, sizeof input);
    memcpy(ret, iv.data, IV);
    cbc_token_cipher(true, iv.data, padded, ret + IV);
    put_bytes(&w, bytes_of(domain, sizeof domain));
    put_bytes(&w, header);
    put_bytes(&w, bytes_of(ret, IV + padded.len));
    cbc_token_mac(writer_bytes(&w), ret + IV + padded.len);
    return IV + padded.len + MAC;
}

static size_t pad(const uint8_t *plaintext, size_t len, uint8_t *ret)
{
    size_t n = BLOCK - len % BLOCK;
    memcpy(ret, plaintext, len);
    memset(ret + len, (int)n, n);
    return len + n;
}

/* An envelope whose MAC is right and whose padded plaintext is this. */
static void make(struct bytes padded, struct hex *ret)
{
    seal_dek(ret); /* for its header and IV */
    struct bytes header = bytes_of(ret->data, header_len);
    uint8_t iv[IV];
    memcpy(iv, ret->data + header_len, IV);
    ret->len = header_len + compute(header, bytes_of(iv, IV), padded, ret->data + header_len);
}

/* As the agent does: opened, then proved. */
static struct err open_proved(struct bytes raw, struct hex *ret, struct advice *advice)
{
    static struct lane_room room;
    struct lane lane = {.session = cbc_token_session, .room = &room};
    struct envelope envelope;
    TRY(open_raw(raw, ret));
    TRY(envelope_parse(raw, &envelope));
    return open_prove(&lane, scheme_find(SCHEME_AES_CBC_HMAC), &keys, &envelope, of(ret), advice);
}

/* Fills what open writes to, so that what it left there is seen. */
static void foul(struct hex *h)
{
    memset(h, 0x5a, sizeof *h);
}

static bool holds_dek(const struct hex *h)
{
    for (size_t i = 0; i + 8 <= sizeof h->data; i++)
        if (memcmp(h->data + i, dek, 8) == 0)
            return true;
    return false;
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
        assert_true(bytes_equal(bytes_of(cbc_token.maced, cbc_token.maced_len), of(&maced)));
    }
}

static void what_is_sealed_is_the_written_format(void **state)
{
    static const uint8_t plaintext[PLAINTEXT_MAX] = "of every length";
    for (size_t n = 1; n <= sizeof plaintext; n++) {
        struct hex sealed, opened;
        uint8_t padded[PADDED_MAX], expected[IV + PADDED_MAX + MAC];
        (void)reset(state);
        assert_false(err_is(seal(FAMILY_V1, bytes_of(plaintext, n), &sealed)));
        size_t len =
            compute(bytes_of(sealed.data, header_len), bytes_of(sealed.data + header_len, IV),
                    bytes_of(padded, pad(plaintext, n, padded)), expected);
        assert_int_equal(sealed.len, header_len + len);
        assert_memory_equal(sealed.data + header_len, expected, len);
        foul(&opened);
        assert_false(err_is(open_raw(of(&sealed), &opened)));
        assert_true(bytes_equal(of(&opened), bytes_of(plaintext, n)));
    }
}

static void other_lengths_are_not_sealed(void **state)
{
    (void)state;
    static const uint8_t plaintext[PLAINTEXT_MAX + 1];
    struct hex sealed;
    assert_int_equal(seal(FAMILY_V2, bytes_of(plaintext, 0), &sealed).code, ERR_INTERNAL);
    assert_int_equal(seal(FAMILY_V2, bytes_of(plaintext, sizeof plaintext), &sealed).code,
                     ERR_INTERNAL);
}

static void ivs_differ(void **state)
{
    (void)state;
    struct hex first, second;
    seal_dek(&first);
    seal_dek(&second);
    assert_memory_not_equal(first.data + header_len, second.data + header_len, IV);
    for (size_t at = IV; at < IV + 3 * BLOCK + MAC; at += BLOCK)
        assert_memory_not_equal(first.data + header_len + at, second.data + header_len + at, BLOCK);
}

/* And nothing of it is decrypted, nor begun to be. */
static void every_bit_flip_and_truncation_is_refused(void **state)
{
    (void)state;
    struct hex raw, opened = {.len = 0};
    seal_dek(&raw);
    for (size_t bit = 0; bit < raw.len * 8; bit++) {
        struct hex flipped = raw;
        flipped.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cbc_token.seen = 0;
        struct err e = open_raw(of(&flipped), &opened);
        assert_true(e.code == ERR_AUTH || (bit / 8 < 4 && e.code == ERR_INVALID));
        assert_int_equal(cbc_token_unwiped(), 0);
    }
    for (size_t len = 0; len < raw.len; len++) {
        cbc_token.seen = 0;
        size_t fields = len < header_len ? 0 : len - header_len;
        bool possible = fields > IV + MAC && (fields - IV - MAC) % BLOCK == 0;
        assert_int_equal(open_raw(bytes_of(raw.data, len), &opened).code,
                         possible ? ERR_AUTH : ERR_INVALID);
    }
    cbc_token.seen = 0;
    raw.data[raw.len] = 0;
    assert_int_equal(open_raw(bytes_of(raw.data, raw.len + 1), &opened).code, ERR_INVALID);
    assert_int_equal(cbc_token.decrypts, 0);
    assert_int_equal(opened.len, 0);
    assert_false(err_is(open_raw(of(&raw), &opened)));
    assert_int_equal(cbc_token.decrypts, 2); /* the count does count */
}

static struct err authenticate(struct bytes raw)
{
    struct envelope envelope;
    TRY(envelope_parse(raw, &envelope));
    return scheme_authenticate(scheme_find(SCHEME_AES_CBC_HMAC), &cbc_token_session, &keys,
                               &envelope);
}

/* So that the agent need not ask whether the token is well; but for one that is not. */
static void a_wrong_mac_is_told_without_decrypting(void **state)
{
    (void)state;
    struct hex raw;
    seal_dek(&raw);
    assert_false(err_is(authenticate(of(&raw))));
    raw.data[raw.len - 1] ^= 1;
    cbc_token.seen = 0;
    assert_int_equal(authenticate(of(&raw)).code, ERR_AUTH);
    assert_int_equal(cbc_token_unwiped(), 0);
    cbc_token.fickle = true;
    cbc_token.seen = 0;
    assert_int_equal(authenticate(of(&raw)).code, ERR_TOKEN);
    assert_int_equal(cbc_token.decrypts, 0);
}

/* Blocks in another order, out of another envelope, more than there may be: all without a MAC. */
static void blocks_cannot_be_moved(void **state)
{
    (void)state;
    struct hex raw, other, moved, opened = {.len = 0};
    seal_dek(&raw);
    seal_dek(&other);
    size_t block = header_len + IV;
    moved = raw;
    memcpy(moved.data + block, raw.data + block + BLOCK, BLOCK);
    memcpy(moved.data + block + BLOCK, raw.data + block, BLOCK);
    assert_int_equal(open_raw(of(&moved), &opened).code, ERR_AUTH);
    moved = raw;
    memcpy(moved.data + block - IV, other.data + block - IV, IV + 3 * BLOCK);
    assert_int_equal(open_raw(of(&moved), &opened).code, ERR_AUTH);
    moved = raw;
    memcpy(moved.data + moved.len - MAC, other.data + other.len - MAC, MAC);
    assert_int_equal(open_raw(of(&moved), &opened).code, ERR_AUTH);
    memset(moved.data + block, 0, PADDED_MAX + BLOCK + MAC);
    moved.len = block + PADDED_MAX + BLOCK + MAC;
    assert_int_equal(open_raw(of(&moved), &opened).code, ERR_INVALID);
    assert_int_equal(cbc_token.decrypts, 0);
}

/* Only who has the MAC key can make one, so that the token is at fault. */
static void bad_padding_under_a_good_mac_is_refused(void **state)
{
    (void)state;
    for (unsigned last = 0; last < 256; last++) {
        struct hex raw, opened;
        uint8_t padded[3 * BLOCK];
        memcpy(padded, dek, sizeof dek);
        memset(padded + sizeof dek, 0x10, BLOCK);
        padded[sizeof padded - 1] = (uint8_t)last;
        make(bytes_of(padded, sizeof padded), &raw);
        foul(&opened);
        opened.len = 77;
        struct err e = open_raw(of(&raw), &opened);
        if (last == 0x10 || last == 1) { /* 1 is a padding of its own */
            assert_false(err_is(e));
            assert_int_equal(opened.len, last == 1 ? sizeof padded - 1 : sizeof dek);
            continue;
        }
        assert_int_equal(e.code, ERR_AUTH);
        assert_int_equal(opened.len, 77);
        assert_false(holds_dek(&opened));
    }
}

static void padding_alone_is_no_plaintext(void **state)
{
    (void)state;
    struct hex raw, opened = {.len = 0};
    uint8_t padded[PADDED_MAX];
    memset(padded, 0x10, sizeof padded);
    make(bytes_of(padded, BLOCK), &raw);
    assert_int_equal(open_raw(of(&raw), &opened).code, ERR_AUTH);
    memset(padded, 1, sizeof padded); /* longer by 15 than any that is sealed */
    make(bytes_of(padded, sizeof padded), &raw);
    assert_int_equal(open_raw(of(&raw), &opened).code, ERR_AUTH);
    assert_int_equal(opened.len, 0);
}

/* Shorter, longer, or nothing written at all: and nothing of the memory's past is taken for it. */
static void a_token_that_answers_wrong_lengths_opens_nothing(void **state)
{
    static const int wrong[] = {-48, -17, -16, -1, 1, 16, 4096};
    struct hex raw, opened;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        seal_dek(&raw);
        foul(&opened);
        opened.len = 77;
        cbc_token.off_by = wrong[i];
        assert_int_equal(open_raw(of(&raw), &opened).code, ERR_AUTH);
        assert_int_equal(opened.len, 77);
        assert_false(holds_dek(&opened));
        cbc_token.seen = 0;
        assert_int_equal(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw).code, ERR_UNSUPPORTED);
        assert_int_equal(raw.len, header_len);
        assert_int_equal(cbc_token_unwiped(), 0);
    }
    (void)reset(state);
    seal_dek(&raw);
    assert_int_equal(pad(dek, sizeof dek, opened.data), 3 * BLOCK);
    cbc_token.silent = true;
    assert_int_equal(open_raw(of(&raw), &opened).code, ERR_AUTH);
    assert_false(holds_dek(&opened));
}

/* What was on the stack would be sent out as the ciphertext, under a good MAC. */
static void a_token_that_writes_nothing_seals_nothing(void **state)
{
    (void)state;
    struct hex raw;
    cbc_token.silent = true;
    struct err e = seal(FAMILY_V1, bytes_of(dek, sizeof dek), &raw);
    assert_int_equal(e.native, CKR_GENERAL_ERROR);
    assert_int_equal(raw.len, header_len);
    assert_int_equal(cbc_token_unwiped(), 0);
}

/* Nothing else would tell: the MAC is over the ciphertext, and the padding is right. */
static void what_a_lying_token_opens_is_not_believed(void **state)
{
    (void)state;
    struct hex raw, opened;
    struct advice advice = {.text = ""};
    seal_dek(&raw);
    assert_false(err_is(open_proved(of(&raw), &opened, &advice)));
    assert_true(bytes_equal(of(&opened), bytes_of(dek, sizeof dek)));
    cbc_token.seen = 0;
    cbc_token.flips = true;
    assert_int_equal(open_proved(of(&raw), &opened, &advice).code, ERR_UNAVAILABLE);
    assert_int_equal(advice.remedy, REMEDY_AGENT);
    assert_int_equal(cbc_token_unwiped(), 0);
}

/* Then it opens twice. */
static void a_key_that_does_not_encrypt_opens_still(void **state)
{
    (void)state;
    struct hex raw, opened;
    struct advice advice = {.text = ""};
    seal_dek(&raw);
    cbc_token.encrypt_init = CKR_KEY_FUNCTION_NOT_PERMITTED;
    assert_false(err_is(open_proved(of(&raw), &opened, &advice)));
    assert_true(bytes_equal(of(&opened), bytes_of(dek, sizeof dek)));
    assert_int_equal(cbc_token.decrypts, 4); /* each begun and done */
}

/* As the module's own, so that the agent looks whether the token is well. */
static void a_token_that_fails_is_told_as_that(void **state)
{
    CK_RV *const answers[] = {
        &cbc_token.encrypt_init, &cbc_token.encrypt,      &cbc_token.sign_init,
        &cbc_token.sign,         &cbc_token.decrypt_init, &cbc_token.decrypt,
        &cbc_token.sign_init,    &cbc_token.sign,         &cbc_token.id};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct hex raw, opened;
        seal_dek(&raw);
        foul(&opened);
        *answers[i] = CKR_DEVICE_ERROR;
        struct err e =
            i < 4 ? seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw) : open_raw(of(&raw), &opened);
        assert_int_equal(e.kind, ERR_KIND_CKR);
        assert_int_equal(e.native, CKR_DEVICE_ERROR);
        assert_false(holds_dek(&opened));
        assert_int_equal(cbc_token_unwiped(), 0);
    }
    (void)reset(state);
}

/* Its CKA_ID says it: what it decrypts to is padded well once in 256. */
static void another_key_at_the_handle_opens_nothing(void **state)
{
    (void)state;
    struct hex raw, opened;
    unsigned padded_well = 0;
    for (unsigned n = 0; n < 2000; n++) {
        seal_dek(&raw);
        foul(&opened);
        cbc_token.first_byte = 0x77;
        padded_well += !err_is(open_raw(of(&raw), &opened));
        cbc_token.seen = 0;
        cbc_token.cka_id = "another";
        struct err e = open_raw(of(&raw), &opened);
        assert_int_equal(e.native, CKR_OBJECT_HANDLE_INVALID);
    }
    assert_in_range(padded_well, 1, 100); /* why it is read */
}

static void all_that_is_secret_is_wiped(void **state)
{
    (void)state;
    struct hex raw, opened;
    seal_dek(&raw);
    assert_false(err_is(seal(FAMILY_V2, bytes_of(dek, sizeof dek), &raw)));
    assert_int_equal(cbc_token.seen, 2); /* the padded plaintext, the MAC */
    assert_int_equal(cbc_token_unwiped(), 0);
    cbc_token.seen = 0;
    assert_false(err_is(open_raw(of(&raw), &opened)));
    assert_int_equal(cbc_token.seen, 1);
    assert_int_equal(cbc_token_unwiped(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(vectors_open, reset),
        cmocka_unit_test_setup(what_is_sealed_is_the_written_format, reset),
        cmocka_unit_test_setup(other_lengths_are_not_sealed, reset),
        cmocka_unit_test_setup(ivs_differ, reset),
        cmocka_unit_test_setup(every_bit_flip_and_truncation_is_refused, reset),
        cmocka_unit_test_setup(a_wrong_mac_is_told_without_decrypting, reset),
        cmocka_unit_test_setup(blocks_cannot_be_moved, reset),
        cmocka_unit_test_setup(bad_padding_under_a_good_mac_is_refused, reset),
        cmocka_unit_test_setup(padding_alone_is_no_plaintext, reset),
        cmocka_unit_test_setup(a_token_that_answers_wrong_lengths_opens_nothing, reset),
        cmocka_unit_test_setup(a_token_that_writes_nothing_seals_nothing, reset),
        cmocka_unit_test_setup(what_a_lying_token_opens_is_not_believed, reset),
        cmocka_unit_test_setup(a_key_that_does_not_encrypt_opens_still, reset),
        cmocka_unit_test_setup(a_token_that_fails_is_told_as_that, reset),
        cmocka_unit_test_setup(another_key_at_the_handle_opens_nothing, reset),
        cmocka_unit_test_setup(all_that_is_secret_is_wiped, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
