/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs on a real token, run by a script in-*: what p11_pair.h says of them, and that
 * rsa-oaep-sign believes no public object, and needs none.
 *
 *   pairs TOKEN
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io.h"
#include "local_pk.h"
#include "p11_call.h"
#include "p11_login.h"
#include "p11_pair.h"
#include "scheme.h"
#include "stranger_point.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
    const char *token;
    enum oaep_hash hash;
    bool local; /* CKA_LOCAL */
    bool ec;
} rows[] = {
    {"softhsm", OAEP_SHA1, true, true},         {"nss", OAEP_SHA256, false, true},
    {"opencryptoki", OAEP_SHA256, true, false}, {"tpm", OAEP_SHA256, true, true},
    {"p11-kit", OAEP_SHA1, true, true},
};

static const char label[] = "p11-kms/k8s/1/rsa-oaep-sign/unwrap/active";

static const struct row *row;
static struct p11_session session;
static struct key_set keys;

/* --- the token ----------------------------------------------------------------------------- */

static void read_file(const char *name, char *ret, size_t size)
{
    char path[PATH_MAX];
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/%s", getenv("TOKEN_DIR"), name);
    assert_false(err_is(file_read(path, (uint8_t *)ret, size - 1, &len)));
    ret[len] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

static int log_in(void **state)
{
    char path[PATH_MAX], uri[256], pin[64];
    struct advice advice = {.text = ""};
    struct p11_module *module;
    struct p11_token token;
    enum login_end end;
    (void)state;
    read_file("module", path, sizeof path);
    read_file("uri", uri, sizeof uri);
    read_file("pin", pin, sizeof pin);
    assert_false(err_is(p11_module_load(path, &module, &advice)));
    assert_false(err_is(p11_token_find(module, uri, &token, &advice)));
    assert_false(err_is(p11_session_open(module, &token, true, &session)));
    assert_false(err_is(p11_session_login(&session, bytes_of_string(pin), &end)));
    return 0;
}

static void works(struct err e)
{
    char text[160];
    if (err_is(e))
        fail_msg("%s", err_format(e, text, sizeof text));
}

/* --- help ---------------------------------------------------------------------------------- */

static size_t publics_of(unsigned role, CK_OBJECT_HANDLE *ret)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_OBJECT_HANDLE found[4];
    CK_ULONG n = 0;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class},
                             {CKA_ID, keys.ids[role].data, keys.ids[role].len}};
    works(P11_CALL(session.module, C_FindObjectsInit, session.handle, wanted, 2));
    works(P11_CALL(session.module, C_FindObjects, session.handle, found, 4, &n));
    works(P11_CALL(session.module, C_FindObjectsFinal, session.handle));
    *ret = found[0];
    return n;
}

static int make_pairs(void **state)
{
    char labels[KEY_ROLES_MAX][KEY_LABEL_MAX + 1];
    uint8_t uuid[UUID_BYTES];
    (void)state;
    keys = (struct key_set){.scheme = SCHEME_RSA_OAEP_SIGN};
    for (unsigned role = 0; role < 2; role++)
        (void)snprintf(labels[role], sizeof labels[role], "%s", label);
    works(uuid_make(uuid));
    works(object_id_from(bytes_of(uuid, sizeof uuid), &keys.ids[0]));
    works(key_set_generate(&session, &keys, labels));
    assert_int_equal(keys.types[0], KEY_TYPE_RSA);
    assert_int_equal(keys.types[1], row->ec ? KEY_TYPE_EC : KEY_TYPE_RSA);
    return 0;
}

/* Leaves neither half of any. */
static int destroy_pairs(void **state)
{
    CK_OBJECT_HANDLE unused;
    unsigned long handle;
    (void)state;
    works(key_set_destroy(&session, &keys));
    for (unsigned role = 0; role < 2; role++) {
        assert_int_equal(publics_of(role, &unused), 0);
        assert_int_equal(p11_key_find(&session, KEY_CLASS_PRIVATE, &keys.ids[role], &handle).code,
                         ERR_NOT_FOUND);
    }
    return 0;
}

/* What the object says of an attribute, as an error where it says nothing. */
static struct err ask(unsigned long handle, CK_ATTRIBUTE_TYPE type, void *memory, size_t size,
                      size_t *ret_len)
{
    CK_ATTRIBUTE attribute = {type, memory, size};
    TRY(P11_CALL(session.module, C_GetAttributeValue, session.handle, handle, &attribute, 1));
    *ret_len = attribute.ulValueLen;
    return ERR_OK;
}

static void says(unsigned long handle, CK_ATTRIBUTE_TYPE type, bool value)
{
    CK_BBOOL told = 2;
    size_t len = 0;
    struct err e = ask(handle, type, &told, sizeof told, &len);
    if (err_is(e) || len != sizeof told || told != (value ? CK_TRUE : CK_FALSE))
        fail_msg("attribute 0x%lx is %d (0x%lx), not %d", type, told, e.native, value);
}

static struct bytes half(const struct key_set *of, unsigned role)
{
    return bytes_of(of->publics[role].der, of->publics[role].len);
}

static struct err seal(struct bytes plaintext, uint8_t *raw, size_t *ret_len)
{
    struct key_id key_id;
    struct writer w = writer_over(raw, ENVELOPE_MAX);
    works(key_id_make("k8s", &keys.ids[0], &key_id));
    envelope_put_header(&w, SCHEME_RSA_OAEP_SIGN, FAMILY_V2, &key_id);
    TRY(scheme_rsa_oaep_sign.seal(&session, &keys, writer_bytes(&w), plaintext, &w));
    *ret_len = w.len;
    return ERR_OK;
}

static struct err open_raw(struct bytes raw, uint8_t *ret, size_t *ret_len)
{
    struct envelope envelope;
    TRY(envelope_parse(raw, &envelope));
    return scheme_rsa_oaep_sign.open(&session, &keys, &envelope, ret, ret_len);
}

/* --- tests --------------------------------------------------------------------------------- */

static void private_halves_say_what_is_written(void **state)
{
    (void)state;
    for (unsigned role = 0; role < 2; role++) {
        unsigned long handle = keys.handles[role];
        says(handle, CKA_TOKEN, true);
        says(handle, CKA_PRIVATE, true);
        says(handle, CKA_SENSITIVE, true);
        says(handle, CKA_ALWAYS_SENSITIVE, true);
        says(handle, CKA_EXTRACTABLE, false);
        says(handle, CKA_NEVER_EXTRACTABLE, true);
        says(handle, CKA_LOCAL, row->local);
        says(handle, CKA_DECRYPT, role == 0);
        says(handle, CKA_SIGN, role == 1);
        says(handle, CKA_UNWRAP, false);
        says(handle, CKA_DERIVE, false);
        says(handle, CKA_SIGN_RECOVER, false);
    }
}

static void the_agent_reads_them_as_demanded(void **state)
{
    (void)state;
    for (unsigned role = 0; role < 2; role++) {
        uint32_t expected = row->local ? 0 : ATTR_BIT(ATTR_LOCAL);
        struct p11_key key;
        works(p11_key_read(&session, KEY_CLASS_PRIVATE, keys.handles[role], &key));
        assert_int_equal(key_attributes_wrong(keys.scheme, role, &key.attributes), expected);
        assert_int_equal(key.attributes.type, keys.types[role]);
        assert_int_equal(key.attributes.length, role == 1 && row->ec ? 32
                                                : row->ec            ? RSA_MODULUS_MAX
                                                                     : RSA_MODULUS_MIN);
        assert_int_not_equal(key_attributes_wrong(keys.scheme, 1 - role, &key.attributes),
                             expected);
    }
}

static void both_halves_have_id_and_label(void **state)
{
    (void)state;
    for (unsigned role = 0; role < 2; role++) {
        CK_OBJECT_HANDLE halves[2] = {keys.handles[role]};
        assert_int_equal(publics_of(role, &halves[1]), 1);
        for (unsigned i = 0; i < 2; i++) {
            char text[128];
            size_t len = 0;
            works(ask(halves[i], CKA_LABEL, text, sizeof text, &len));
            assert_true(bytes_equal(bytes_of(text, len), bytes_of_string(label)));
            works(p11_key_check_id(&session, halves[i], &keys.ids[role]));
        }
    }
}

static void seals_and_opens(void **state)
{
    uint8_t raw[ENVELOPE_MAX], opened[ENVELOPE_MAX], plaintext[PLAINTEXT_MAX] = "a DEK";
    size_t len = 0, opened_len = 0;
    (void)state;
    works(scheme_rsa_oaep_sign.prepare(&session, &keys));
    assert_int_equal(keys.choice, row->hash);
    for (size_t n = 1; n <= 436; n = n * 3 + 29) {
        works(seal(bytes_of(plaintext, n), raw, &len));
        works(open_raw(bytes_of(raw, len), opened, &opened_len));
        assert_true(bytes_equal(bytes_of(opened, opened_len), bytes_of(plaintext, n)));
        raw[len - 1] ^= 1;
        assert_int_equal(open_raw(bytes_of(raw, len), opened, &opened_len).code, ERR_AUTH);
    }
}

static struct err create_rsa(const struct object_id *id)
{
    static uint8_t modulus[256], exponent[] = {1, 0, 1};
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    CK_BBOOL yes = CK_TRUE;
    struct object_id copy = *id;
    CK_OBJECT_HANDLE made;
    works(random_fill(modulus, sizeof modulus));
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_TOKEN, &yes, sizeof yes},
                               {CKA_VERIFY, &yes, sizeof yes},
                               {CKA_ID, copy.data, copy.len},
                               {CKA_MODULUS, modulus, sizeof modulus},
                               {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};
    return P11_CALL(session.module, C_CreateObject, session.handle, template,
                    sizeof template / sizeof *template, &made);
}

static struct err create_ec(const struct object_id *id)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_BBOOL yes = CK_TRUE;
    struct object_id copy = *id;
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_TOKEN, &yes, sizeof yes},
                               {CKA_VERIFY, &yes, sizeof yes},
                               {CKA_ID, copy.data, copy.len},
                               {CKA_EC_PARAMS, stranger_params, sizeof stranger_params},
                               {CKA_EC_POINT, stranger_point, sizeof stranger_point}};
    return P11_CALL(session.module, C_CreateObject, session.handle, template,
                    sizeof template / sizeof *template, &made);
}

/* Leaves that many strangers' objects in the place of both halves' own, as anybody can without the
 * PIN. */
static void replace_publics(unsigned strangers)
{
    for (unsigned role = 0; role < 2; role++) {
        works(p11_pair_destroy_public(&session, &keys.ids[role]));
        for (unsigned i = 0; i < strangers; i++) {
            /* tpm2-pkcs11 1.9.0 would give it the handle of a private key */
            if (strcmp(row->token, "tpm") == 0)
                continue;
            struct err made =
                role == 1 && row->ec ? create_ec(&keys.ids[role]) : create_rsa(&keys.ids[role]);
            if (err_is(made))
                print_message("%s makes no public objects: 0x%lx\n", row->token, made.native);
        }
    }
}

/* As another agent does, which knows no handles. */
static void find_again(void)
{
    memset(keys.publics, 0, sizeof keys.publics);
    for (unsigned role = 0; role < 2; role++)
        works(p11_key_find(&session, KEY_CLASS_PRIVATE, &keys.ids[role], &keys.handles[role]));
}

/* What is proved then is what was proved before, and what was sealed before opens. */
static void public_objects_are_not_needed(void **state)
{
    static const unsigned strangers[] = {0, PUBLICS_MAX};
    static const uint8_t dek[32] = "a DEK";
    static struct key_set before;
    uint8_t raw[ENVELOPE_MAX], opened[ENVELOPE_MAX];
    size_t len = 0, opened_len = 0;
    (void)state;
    works(scheme_rsa_oaep_sign.prepare(&session, &keys));
    works(seal(bytes_of(dek, sizeof dek), raw, &len));
    before = keys;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        replace_publics(strangers[i]);
        find_again();
        works(scheme_rsa_oaep_sign.prepare(&session, &keys));
        for (unsigned role = 0; role < 2; role++)
            assert_true(bytes_equal(half(&keys, role), half(&before, role)));
        works(open_raw(bytes_of(raw, len), opened, &opened_len));
        assert_true(bytes_equal(bytes_of(opened, opened_len), bytes_of(dek, sizeof dek)));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define ROW(test) cmocka_unit_test_setup_teardown(test, make_pairs, destroy_pairs)
        ROW(private_halves_say_what_is_written), ROW(the_agent_reads_them_as_demanded),
        ROW(both_halves_have_id_and_label),      ROW(seals_and_opens),
        ROW(public_objects_are_not_needed),
    };
    for (size_t i = 0; argc == 2 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].token, argv[1]) == 0)
            row = &rows[i];
    if (!row) {
        (void)fputs("usage: pairs TOKEN\n", stderr);
        return 2;
    }
    return cmocka_run_group_tests_name(argv[1], tests, log_in, NULL);
}
