/* SPDX-License-Identifier: Apache-2.0 */
/* aes-gcm against the vectors of docs/envelope.md and against its format computed anew, and by a
 * token that lies. The token's key is that of the vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gcm_token.h"
#include "gcm_vectors.h"

#include "open_proof.h"

#include <string.h>

enum { IV = GCM_TOKEN_IV, TAG = GCM_TOKEN_TAG };

static const size_t header_len = 4 + sizeof key_id_text - 1;
static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";
static const struct key_set keys = {
    .scheme = SCHEME_AES_GCM, .handles = {GCM_TOKEN_KEY}, .ids = {{.len = 3, .data = "kek"}}};

static int reset(void **state)
{
    (void)state;
    gcm_token_reset();
    return 0;
}

/* --- help -------------------------------------------------------------------------------- */

static struct err seal(struct bytes plaintext, struct hex *ret)
{
    struct key_id key_id = {""};
    memcpy(key_id.text, key_id_text, sizeof key_id_text);
    struct writer w = writer_over(ret->data, sizeof ret->data);
    envelope_put_header(&w, SCHEME_AES_GCM, FAMILY_V1, &key_id);
    struct err e = scheme_seal(scheme_find(SCHEME_AES_GCM), &gcm_token_session, &keys,
                               writer_bytes(&w), plaintext, &w);
    ret->len = w.len;
    return e;
}

static void seal_dek(struct hex *ret)
{
    assert_false(err_is(seal(bytes_of(dek, sizeof dek), ret)));
}

static struct err open_raw(struct bytes raw, struct hex *ret)
{
    struct envelope envelope;
    TRY(envelope_parse(raw, &envelope));
    return scheme_open(scheme_find(SCHEME_AES_GCM), &gcm_token_session, &keys, &envelope, ret->data,
                       &ret->len);
}

/* As the agent does: opened, then proved. */
static struct err open_proved(struct bytes raw, struct hex *ret, struct advice *advice)
{
    static struct lane_room room;
    struct lane lane = {.session = gcm_token_session, .room = &room};
    struct envelope envelope;
    TRY(open_raw(raw, ret));
    TRY(envelope_parse(raw, &envelope));
    return open_prove(&lane, scheme_find(SCHEME_AES_GCM), &keys, &envelope, of(ret), advice);
}

/* That the dek is opened and proved, by so many calls of the token. */
static void expect_proved(const struct hex *raw, unsigned encrypts, unsigned decrypts)
{
    struct hex opened;
    struct advice advice = {.text = ""};
    gcm_token.encrypts = gcm_token.decrypts = 0;
    assert_false(err_is(open_proved(of(raw), &opened, &advice)));
    assert_true(bytes_equal(of(&opened), bytes_of(dek, sizeof dek)));
    assert_int_equal(gcm_token.encrypts, encrypts);
    assert_int_equal(gcm_token.decrypts, decrypts);
}

/* An outage, for which the agent is replaced: never the ciphertext's fault. */
static void expect_found_out(const struct hex *raw)
{
    struct hex opened;
    struct advice advice = {.text = ""};
    gcm_token.decrypts = 0;
    gcm_token.flips = true;
    assert_int_equal(open_proved(of(raw), &opened, &advice).code, ERR_UNAVAILABLE);
    assert_int_equal(advice.remedy, REMEDY_AGENT);
    gcm_token.flips = false;
}

/* --- tests ------------------------------------------------------------------------------- */

static void vectors_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < GCM_VECTORS; i++) {
        struct hex plaintext = unhex(gcm_vectors[i].plaintext), aad = unhex(gcm_vectors[i].aad),
                   envelope = unhex(gcm_vectors[i].envelope), opened;
        assert_false(err_is(open_raw(of(&envelope), &opened)));
        assert_true(bytes_equal(of(&opened), of(&plaintext)));
        assert_true(bytes_equal(bytes_of(gcm_token.aad, gcm_token.aad_len), of(&aad)));
    }
}

static void what_is_sealed_is_the_written_format(void **state)
{
    (void)state;
    static const char domain[] = "p11-kms/envelope/v1";
    static const uint8_t plaintext[PLAINTEXT_MAX] = "of every length";
    for (size_t n = 1; n <= sizeof plaintext; n++) {
        struct hex sealed, like = unhex(gcm_vectors[1].envelope); /* of the same family */
        uint8_t expected[PLAINTEXT_MAX + TAG], aad_room[ENVELOPE_AAD_MAX];
        struct writer aad = writer_over(aad_room, sizeof aad_room);
        assert_false(err_is(seal(bytes_of(plaintext, n), &sealed)));
        assert_int_equal(sealed.len, header_len + IV + n + TAG);
        assert_memory_equal(sealed.data, like.data, header_len);
        put_bytes(&aad, bytes_of(domain, sizeof domain));
        put_bytes(&aad, bytes_of(sealed.data, header_len));
        gcm_compute(sealed.data + header_len, writer_bytes(&aad), bytes_of(plaintext, n), expected);
        assert_memory_equal(sealed.data + header_len + IV, expected, n + TAG);
    }
}

/* A KEK that repeats an IV gives away what it sealed under it. */
static void ivs_differ(void **state)
{
    (void)state;
    struct hex first, second;
    seal_dek(&first);
    seal_dek(&second);
    assert_memory_not_equal(first.data + header_len, second.data + header_len, IV);
}

static void what_is_sealed_opens(void **state)
{
    (void)state;
    struct hex raw, opened;
    seal_dek(&raw);
    assert_int_equal(raw.len, header_len + IV + sizeof dek + TAG);
    assert_false(err_is(open_raw(of(&raw), &opened)));
    assert_true(bytes_equal(of(&opened), bytes_of(dek, sizeof dek)));
    assert_int_equal(gcm_token.decrypts, 1);
}

/* What was on the stack would be sent out as the ciphertext. */
static void a_token_that_writes_nothing_seals_nothing(void **state)
{
    (void)state;
    struct hex raw;
    gcm_token.silent = true;
    struct err e = seal(bytes_of(dek, sizeof dek), &raw);
    assert_int_equal(e.native, CKR_GENERAL_ERROR);
    assert_int_equal(raw.len, header_len);
}

/* What an earlier call left there would be the plaintext. */
static void a_token_that_writes_nothing_opens_nothing(void **state)
{
    (void)state;
    struct hex raw, opened;
    seal_dek(&raw);
    memcpy(opened.data, dek, sizeof dek);
    gcm_token.silent = true;
    assert_int_equal(open_raw(of(&raw), &opened).native, CKR_GENERAL_ERROR);
    assert_memory_not_equal(opened.data, dek, sizeof dek);
}

static void zeros_are_a_plaintext(void **state)
{
    (void)state;
    static const uint8_t zeros[PLAINTEXT_MAX];
    for (size_t n = 1; n <= sizeof zeros; n *= 8) {
        struct hex raw, opened;
        assert_false(err_is(seal(bytes_of(zeros, n), &raw)));
        assert_false(err_is(open_raw(of(&raw), &opened)));
        assert_true(bytes_equal(of(&opened), bytes_of(zeros, n)));
    }
}

static void what_a_lying_token_opens_is_not_believed(void **state)
{
    (void)state;
    struct hex raw;
    seal_dek(&raw);
    expect_proved(&raw, 1, 1);
    expect_found_out(&raw);
}

/* Then it opens twice. */
static void a_token_that_does_not_seal_again_opens_twice(void **state)
{
    (void)state;
    static const CK_RV answers[] = {CKR_KEY_FUNCTION_NOT_PERMITTED,
                                    CKR_MECHANISM_PARAM_INVALID,
                                    CKR_ARGUMENTS_BAD,
                                    CKR_ENCRYPTED_DATA_INVALID,
                                    CKR_BUFFER_TOO_SMALL,
                                    CKR_GENERAL_ERROR,
                                    CKR_FUNCTION_FAILED,
                                    CKR_VENDOR_DEFINED + 0x136};
    struct hex raw;
    seal_dek(&raw);
    gcm_token.right = 1;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        gcm_token.encrypt_init = answers[i];
        expect_proved(&raw, 0, 2);
        expect_found_out(&raw);
    }
}

static void a_token_with_ivs_of_its_own_opens_twice(void **state)
{
    (void)state;
    struct hex raw;
    seal_dek(&raw);
    gcm_token.right = 1;
    gcm_token.own_iv = true;
    expect_proved(&raw, 1, 2); /* it has to be seen */
    expect_found_out(&raw);
    gcm_token_session.quirks = 1U << QUIRK_OWN_GCM_IV;
    expect_proved(&raw, 0, 2);
    expect_found_out(&raw);
}

/* As one of the module's own, so that what the agent mends is mended. */
static void an_outage_while_proving_is_told_as_that(void **state)
{
    (void)state;
    static const CK_RV answers[] = {CKR_DEVICE_ERROR, CKR_SESSION_HANDLE_INVALID,
                                    CKR_OBJECT_HANDLE_INVALID, CKR_HOST_MEMORY};
    struct hex raw, opened;
    struct advice advice = {.text = ""};
    seal_dek(&raw);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        gcm_token.encrypt = answers[i];
        assert_int_equal(open_proved(of(&raw), &opened, &advice).native, answers[i]);
        assert_string_equal(advice.text, "");
    }
}

static void a_token_that_fails_is_told_as_that(void **state)
{
    CK_RV *const answers[] = {&gcm_token.encrypt_init, &gcm_token.encrypt, &gcm_token.decrypt_init,
                              &gcm_token.decrypt};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct hex raw, opened;
        (void)reset(state);
        seal_dek(&raw);
        *answers[i] = CKR_DEVICE_ERROR;
        struct err e = i < 2 ? seal(bytes_of(dek, sizeof dek), &raw) : open_raw(of(&raw), &opened);
        assert_int_equal(e.kind, ERR_KIND_CKR);
        assert_int_equal(e.native, CKR_DEVICE_ERROR);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(vectors_open, reset),
        cmocka_unit_test_setup(what_is_sealed_is_the_written_format, reset),
        cmocka_unit_test_setup(ivs_differ, reset),
        cmocka_unit_test_setup(what_is_sealed_opens, reset),
        cmocka_unit_test_setup(a_token_that_writes_nothing_seals_nothing, reset),
        cmocka_unit_test_setup(a_token_that_writes_nothing_opens_nothing, reset),
        cmocka_unit_test_setup(zeros_are_a_plaintext, reset),
        cmocka_unit_test_setup(what_a_lying_token_opens_is_not_believed, reset),
        cmocka_unit_test_setup(a_token_that_does_not_seal_again_opens_twice, reset),
        cmocka_unit_test_setup(a_token_with_ivs_of_its_own_opens_twice, reset),
        cmocka_unit_test_setup(an_outage_while_proving_is_told_as_that, reset),
        cmocka_unit_test_setup(a_token_that_fails_is_told_as_that, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
