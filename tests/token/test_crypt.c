/* SPDX-License-Identifier: Apache-2.0 */
/* Seal, open and probe on a live token. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";

static size_t sealed_len(const struct fixture *f, const struct key_id *key, size_t n)
{
    size_t block = f->scheme->block, padded = block > 0 ? n + block - n % block : n;
    return 4 + strlen(key->text) + padded + f->scheme->overhead;
}

static void every_length_comes_back(void **state)
{
    struct fixture *f = *state;
    uint8_t plaintext[PLAINTEXT_MAX], sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    for (size_t i = 0; i < sizeof plaintext; i++)
        plaintext[i] = (uint8_t)(i * 7);
    for (size_t n = 1; n <= sizeof plaintext; n++) {
        struct bytes from = bytes_of(plaintext, n);
        assert_int_equal(fixture_seal(f, FAMILY_V2, &key, from, sealed, &len), ERR_NONE);
        assert_int_equal(len, sealed_len(f, &key, n));
        assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_NONE);
        assert_true(bytes_equal(f->reply.u.plaintext, from));
    }
}

static void lengths_out_of_range_are_invalid(void **state)
{
    struct fixture *f = *state;
    uint8_t plaintext[PLAINTEXT_MAX + 1] = {0}, sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(plaintext, 0), sealed, &len),
                     ERR_INVALID);
    assert_int_equal(
        fixture_seal(f, FAMILY_V2, &key, bytes_of(plaintext, sizeof plaintext), sealed, &len),
        ERR_INVALID);
}

static void equal_plaintexts_differ_sealed(void **state)
{
    struct fixture *f = *state;
    uint8_t first[ENVELOPE_MAX], second[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V1, &key, bytes_of(dek, 32), first, &len), ERR_NONE);
    assert_int_equal(fixture_seal(f, FAMILY_V1, &key, bytes_of(dek, 32), second, &len), ERR_NONE);
    assert_memory_not_equal(first, second, len);
}

static void refused_as_the_callers(const struct fixture *f)
{
    enum err_code code = f->reply.status.code;
    assert_true(code == ERR_INVALID || code == ERR_AUTH || code == ERR_NOT_FOUND);
    assert_int_equal(f->reply.status.remedy, REMEDY_CALLER);
}

static void every_bit_flip_and_truncation_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, 32), sealed, &len), ERR_NONE);
    for (size_t bit = 0; bit < len * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1U << bit % 8);
        (void)fixture_open(f, FAMILY_V2, bytes_of(sealed, len));
        refused_as_the_callers(f);
        sealed[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t shorter = 0; shorter < len; shorter++) {
        (void)fixture_open(f, FAMILY_V2, bytes_of(sealed, shorter));
        refused_as_the_callers(f);
    }
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_NONE);
}

static void altered_ciphertext_is_an_authentication_failure(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, 32), sealed, &len), ERR_NONE);
    sealed[len - 1] ^= 1;
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_AUTH);
}

static void families_do_not_mix(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, 32), sealed, &len), ERR_NONE);
    assert_int_equal(fixture_open(f, FAMILY_V1, bytes_of(sealed, len)), ERR_INVALID);
    sealed[2] = FAMILY_V1;
    assert_int_equal(fixture_open(f, FAMILY_V1, bytes_of(sealed, len)), ERR_AUTH);
    assert_int_equal(fixture_seal(f, FAMILY_CANARY, &key, bytes_of(dek, 32), sealed, &len),
                     ERR_INVALID);
    assert_int_equal(fixture_open(f, FAMILY_CANARY, bytes_of(sealed, len)), ERR_INVALID);
}

static void another_rings_envelope_is_invalid(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, 32), sealed, &len), ERR_NONE);
    sealed[4] = 'x'; /* k8s -> x8s */
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_INVALID);
    assert_non_null(strstr(f->reply.status.text, "ring x8s"));
}

static void unknown_key_is_not_found(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    const struct key_id nobody = {"k8s.01890000-0000-7000-8000-000000000000"};
    size_t len;
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &nobody, bytes_of(dek, 32), sealed, &len),
                     ERR_NOT_FOUND);
}

static void another_keys_envelope_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id first, second;
    size_t len;
    fixture_make_key(f, 1, &first);
    fixture_make_key(f, 2, &second);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &first, bytes_of(dek, 32), sealed, &len), ERR_NONE);
    memcpy(sealed + 4, second.text, strlen(second.text));
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_AUTH);
}

/* Nothing in an envelope is believed before it is authenticated: a scheme that is not the key's is
 * the caller's fault, on a key that was never used and on one that was. */
static void another_schemes_byte_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, 32), sealed, &len), ERR_NONE);
    fixture_up(f, AGENT_SERVE);
    for (int i = 0; i < 2; i++) {
        for (unsigned number = 0; number <= UINT8_MAX; number++) {
            sealed[1] = (uint8_t)number;
            if (number == (unsigned)f->scheme->scheme)
                continue;
            (void)fixture_open(f, FAMILY_V2, bytes_of(sealed, len));
            refused_as_the_callers(f);
        }
        sealed[1] = (uint8_t)f->scheme->scheme;
        assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_NONE);
    }
}

static enum err_code probe(struct fixture *f, const struct key_id *key, struct bytes canary)
{
    struct lane_request request = {.op = LANE_PROBE};
    request.u.probe.scheme = f->scheme->scheme;
    request.u.probe.key_id = *key;
    request.u.probe.canary = canary;
    return fixture_call_on(f, 0, &request);
}

static void canary_is_made_and_opened(void **state)
{
    struct fixture *f = *state;
    uint8_t canary[ENVELOPE_MAX];
    struct key_id key;
    fixture_make_key(f, 1, &key);
    assert_int_equal(probe(f, &key, bytes_of(NULL, 0)), ERR_NONE);
    size_t len = f->reply.u.envelope.len;
    assert_true(len > 0);
    memcpy(canary, f->reply.u.envelope.data, len);
    assert_int_equal(probe(f, &key, bytes_of(canary, len)), ERR_NONE);
    assert_int_equal(f->reply.u.envelope.len, 0);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(canary, len)), ERR_INVALID);
    canary[len - 1] ^= 1;
    assert_int_equal(probe(f, &key, bytes_of(canary, len)), ERR_AUTH);
}

static void canary_of_another_key_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t canary[ENVELOPE_MAX];
    struct key_id first, second;
    fixture_make_key(f, 1, &first);
    fixture_make_key(f, 2, &second);
    assert_int_equal(probe(f, &first, bytes_of(NULL, 0)), ERR_NONE);
    size_t len = f->reply.u.envelope.len;
    memcpy(canary, f->reply.u.envelope.data, len);
    assert_int_equal(probe(f, &second, bytes_of(canary, len)), ERR_INVALID);
    memcpy(canary + 4, second.text, strlen(second.text));
    assert_int_equal(probe(f, &second, bytes_of(canary, len)), ERR_AUTH);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(every_length_comes_back),
        FRESH(lengths_out_of_range_are_invalid),
        FRESH(equal_plaintexts_differ_sealed),
        FRESH(every_bit_flip_and_truncation_is_refused),
        FRESH(altered_ciphertext_is_an_authentication_failure),
        FRESH(families_do_not_mix),
        FRESH(another_rings_envelope_is_invalid),
        FRESH(unknown_key_is_not_found),
        FRESH(another_keys_envelope_is_refused),
        FRESH(another_schemes_byte_is_refused),
        FRESH(canary_is_made_and_opened),
        FRESH(canary_of_another_key_is_refused),
    };
    return FIXTURE_RUN_SCHEMES("seal and open", tests);
}
