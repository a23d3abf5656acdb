/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gcm_vectors.h"

#include "envelope.h"

#include <string.h>

static struct key_id known_key_id(void)
{
    struct key_id id = {""};
    memcpy(id.text, key_id_text, sizeof key_id_text);
    return id;
}

/* The scheme's fields. */
static void put_fields(struct writer *w, struct bytes aad, struct bytes plaintext)
{
    uint8_t iv[12], sealed[PLAINTEXT_MAX + 16];
    for (unsigned i = 0; i < sizeof iv; i++)
        iv[i] = (uint8_t)(0xa0 + i);
    gcm_compute(iv, aad, plaintext, sealed);
    put_bytes(w, bytes_of(iv, sizeof iv));
    put_bytes(w, bytes_of(sealed, plaintext.len + 16));
}

static void vectors_hold(void **state)
{
    (void)state;
    struct key_id key_id = known_key_id();
    for (size_t i = 0; i < GCM_VECTORS; i++) {
        struct hex plaintext = unhex(gcm_vectors[i].plaintext), aad = unhex(gcm_vectors[i].aad),
                   envelope = unhex(gcm_vectors[i].envelope);
        uint8_t made[ENVELOPE_MAX], authenticated[ENVELOPE_AAD_MAX];
        struct writer w = writer_over(made, sizeof made),
                      a = writer_over(authenticated, sizeof authenticated);
        envelope_put_header(&w, SCHEME_AES_GCM, gcm_vectors[i].family, &key_id);
        envelope_put_aad(&a, writer_bytes(&w));
        assert_true(bytes_equal(writer_bytes(&a), of(&aad)));
        put_fields(&w, writer_bytes(&a), of(&plaintext));
        assert_true(bytes_equal(writer_bytes(&w), of(&envelope)));
    }
}

static void parse_yields_its_parts(void **state)
{
    (void)state;
    struct hex raw = unhex(gcm_vectors[0].envelope);
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
        struct hex raw = unhex(gcm_vectors[0].envelope);
        struct envelope e;
        raw.data[places[i]] = 9;
        assert_int_equal(envelope_parse(of(&raw), &e).code, ERR_INVALID);
    }
}

static void short_headers_are_invalid(void **state)
{
    (void)state;
    struct hex raw = unhex(gcm_vectors[0].envelope);
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
