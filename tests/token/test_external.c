/* SPDX-License-Identifier: Apache-2.0 */
/* An external ring on a live token: keys that an operator made with pkcs11-tool, which are found by
 * ring.select, checked, and never made or changed by us. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";
static const struct key_id first = {"k8s.0a01"}, second = {"k8s.0a02"};

/* Without --private the tool makes a key that is used, and by some tokens stored, without the PIN.
 */
#define KEYGEN "--keygen", "--private", "--key-type"

static void make_key(struct fixture *f, const char *id, const char *label, const char *type)
{
    const char *const words[] = {KEYGEN, type, "--sensitive", "--label", label, "--id", id, NULL};
    fixture_pkcs11_tool(f, words);
}

/* Lists the ring into keys. */
static uint32_t list(struct fixture *f, struct listed_key *keys, uint32_t room)
{
    struct lane_request request = {.op = LANE_LIST, .u.list.ring = "k8s"};
    assert_int_equal(fixture_call(f, &request), ERR_NONE);
    struct bytes records = f->reply.u.list.records;
    assert_true(f->reply.u.list.count <= room);
    for (uint32_t i = 0; i < f->reply.u.list.count; i++)
        assert_false(err_is(lane_next_key(&records, &keys[i])));
    return f->reply.u.list.count;
}

static const char *wrong_with(const struct fixture *f, const struct listed_key *key,
                              uint32_t waivers)
{
    enum scheme scheme = f->scheme->scheme;
    static char text[160];
    uint32_t wrong = key_attributes_wrong(scheme, 0, &key->attributes);
    return key_attributes_list(wrong & ~key_attributes_waivable(scheme, waivers), text,
                               sizeof text);
}

static enum err_code seal(struct fixture *f, const struct key_id *key, uint8_t *sealed, size_t *len)
{
    return fixture_seal(f, FAMILY_V2, key, bytes_of(dek, sizeof dek), sealed, len);
}

static void expect_refused(struct fixture *f, const struct key_id *key, const char *part)
{
    uint8_t sealed[ENVELOPE_MAX];
    size_t len;
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(seal(f, key, sealed, &len), ERR_TOKEN);
    assert_int_equal(f->reply.status.remedy, REMEDY_HUMAN);
    if (!strstr(f->reply.status.text, part))
        fail_msg("\"%s\" does not say \"%s\"", f->reply.status.text, part);
}

static void excess_usages_are_listed_and_refused_without_the_waiver(void **state)
{
    struct fixture *f = *state;
    struct listed_key key;
    make_key(f, "0a01", "customer-1", f->scheme->tool_type);
    fixture_external(f, "label:customer-*", 0);
    expect_refused(f, &first, "WRAP,UNWRAP");
    assert_int_equal(list(f, &key, 1), 1);
    assert_string_equal(key.label, "customer-1");
    assert_int_equal(key_type_scheme(key.attributes.type), f->scheme->scheme);
    assert_int_equal(key.attributes.length, 32);
    assert_non_null(strstr(wrong_with(f, &key, 0), "WRAP,UNWRAP"));
    assert_string_equal(wrong_with(f, &key, WAIVE_USAGE), "");
}

static void a_waived_key_seals_and_opens(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    size_t len;
    make_key(f, "0a01", "customer-1", f->scheme->tool_type);
    fixture_external(f, "label:customer-*", WAIVE_USAGE);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(seal(f, &first, sealed, &len), ERR_NONE);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(sealed, len)), ERR_NONE);
    assert_memory_equal(f->reply.u.plaintext.data, dek, sizeof dek);
}

static void what_lets_a_key_out_is_never_waived(void **state)
{
    struct fixture *f = *state;
    const char *const extractable[] = {
        KEYGEN,    f->scheme->tool_type, "--sensitive", "--extractable",
        "--label", "customer-1",         "--id",        "0a01",
        NULL};
    const char *const plain[] = {
        KEYGEN, f->scheme->tool_type, "--label", "customer-2", "--id", "0a02", NULL};
    const char *const open[] = {"--keygen",    "--key-type", f->scheme->tool_type,
                                "--sensitive", "--label",    "customer-3",
                                "--id",        "0a03",       NULL};
    const struct key_id third = {"k8s.0a03"};
    fixture_pkcs11_tool(f, extractable);
    fixture_pkcs11_tool(f, plain);
    fixture_pkcs11_tool(f, open);
    fixture_external(f, "label:customer-*", WAIVE_LOCAL | WAIVE_USAGE);
    expect_refused(f, &first, ": EXTRACTABLE,NEVER_EXTRACTABLE is not");
    expect_refused(f, &second, ": SENSITIVE,ALWAYS_SENSITIVE is not");
    expect_refused(f, &third, ": PRIVATE is not");
}

static void only_a_schemes_type_of_256_bits_is_taken(void **state)
{
    struct fixture *f = *state;
    struct listed_key keys[3];
    uint8_t sealed[ENVELOPE_MAX];
    size_t len;
    make_key(f, "0a01", "customer-1", f->scheme->tool_short_type);
    make_key(f, "0a02", "customer-2", f->scheme->tool_other_type);
    fixture_external(f, "label:customer-*", WAIVE_LOCAL | WAIVE_USAGE);
    expect_refused(f, &first, "VALUE_LEN");
    assert_int_equal(seal(f, &second, sealed, &len), ERR_AUTH);
    assert_non_null(strstr(f->reply.status.text, "the key is one of "));
    assert_int_equal(list(f, keys, 3), 2);
}

/* The agent itself holds to ring.select: whoever can write to its lanes reaches no other key. */
static void a_key_that_is_not_selected_is_refused(void **state)
{
    struct fixture *f = *state;
    struct listed_key keys[2];
    make_key(f, "0a01", "customer-1", f->scheme->tool_type);
    make_key(f, "0a02", "somebody's", f->scheme->tool_type);
    fixture_external(f, "id:0a01", WAIVE_USAGE);
    expect_refused(f, &second, "ring.select");
    assert_int_equal(list(f, keys, 2), 1);
    assert_int_equal(keys[0].id.data[1], 1);
}

static void keys_without_an_id_are_counted(void **state)
{
    struct fixture *f = *state;
    struct listed_key key;
    const char *const words[] = {KEYGEN,    f->scheme->tool_type, "--sensitive",
                                 "--label", "customer-1",         NULL};
    fixture_pkcs11_tool(f, words);
    fixture_external(f, "label:customer-*", WAIVE_USAGE);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(list(f, &key, 1), 0);
    assert_int_equal(f->reply.u.list.nameless, 1);
}

static void labels_are_made_plain(void **state)
{
    struct fixture *f = *state;
    struct listed_key keys[2];
    char label[101];
    memset(label, 'x', 100);
    label[100] = '\0';
    make_key(f, "0a01", "x\x1b[31m\xc3\xa4", f->scheme->tool_type);
    fixture_external(f, "label:x*", WAIVE_USAGE);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(list(f, keys, 2), 1);
    assert_string_equal(keys[0].label, "x?[31m??");
    make_key(f, "0a02", label, f->scheme->tool_type);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(list(f, keys, 2), 2);
    assert_int_equal(strlen(keys[keys[0].id.data[1] == 2 ? 0 : 1].label), KEY_LABEL_MAX);
}

static void two_keys_of_one_id_are_refused(void **state)
{
    struct fixture *f = *state;
    struct listed_key keys[2];
    make_key(f, "0a01", "customer-1", f->scheme->tool_type);
    make_key(f, "0a01", "customer-2", f->scheme->tool_type);
    fixture_external(f, "label:customer-1", WAIVE_USAGE);
    expect_refused(f, &first, "two secret keys");
    assert_int_equal(list(f, keys, 2), 1);
    assert_true(keys[0].ambiguous);
}

/* The maker agent of an external ring may look and prove, nothing else. */
static void nothing_is_made_or_changed(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_GENERATE};
    struct listed_key key;
    make_key(f, "0a01", "p11-kms/k8s/1/aes-gcm/active", f->scheme->tool_type);
    fixture_external(f, "label:*", WAIVE_USAGE);
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(list(f, &key, 1), 1);
    request.u.generate.label = (struct key_label){"k8s", 2, f->scheme->scheme, 0, KEY_PRE_ACTIVE};
    assert_int_equal(fixture_call(f, &request), ERR_REFUSED);
    assert_non_null(strstr(f->reply.status.text, "never makes or changes"));
    request = (struct lane_request){.op = LANE_RELABEL};
    request.u.relabel.id = key.id;
    request.u.relabel.label = (struct key_label){"k8s", 1, f->scheme->scheme, 0, KEY_COMPROMISED};
    assert_int_equal(fixture_call(f, &request), ERR_REFUSED);
    request = (struct lane_request){.op = LANE_SELFTEST, .u.selftest.scheme = f->scheme->scheme};
    assert_int_equal(fixture_call(f, &request), ERR_REFUSED);
    assert_int_equal(list(f, &key, 1), 1);
    assert_string_equal(key.label, "p11-kms/k8s/1/aes-gcm/active");
    request = (struct lane_request){.op = LANE_PROBE};
    request.u.probe.scheme = f->scheme->scheme;
    request.u.probe.key_id = first;
    assert_int_equal(fixture_call(f, &request), ERR_NONE);
}

/* A ring that becomes external keeps its keys: what it sealed under RING.UUID opens, and what it
 * seals from then on says RING.HEX. */
static void a_managed_ring_that_becomes_external_opens_all(void **state)
{
    struct fixture *f = *state;
    uint8_t managed[ENVELOPE_MAX], external[ENVELOPE_MAX];
    char ring[RING_NAME_MAX + 1];
    struct key_id uuid, hex;
    struct object_id id;
    size_t managed_len, external_len;
    fixture_make_key(f, 1, &uuid);
    assert_int_equal(seal(f, &uuid, managed, &managed_len), ERR_NONE);
    assert_false(err_is(key_id_parse(bytes_of_string(uuid.text), ring, &id)));
    assert_false(err_is(key_id_make_external("k8s", &id, &hex)));
    fixture_external(f, "label:p11-kms/k8s/*", 0);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(managed, managed_len)), ERR_NONE);
    assert_memory_equal(f->reply.u.plaintext.data, dek, sizeof dek);
    assert_int_equal(seal(f, &hex, external, &external_len), ERR_NONE);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(external, external_len)), ERR_NONE);

    f->config.external = false; /* and back */
    f->config.select[0] = '\0';
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(managed, managed_len)), ERR_NONE);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(external, external_len)), ERR_NONE);
    assert_memory_equal(f->reply.u.plaintext.data, dek, sizeof dek);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(excess_usages_are_listed_and_refused_without_the_waiver),
        FRESH(a_waived_key_seals_and_opens),
        FRESH(what_lets_a_key_out_is_never_waived),
        FRESH(only_a_schemes_type_of_256_bits_is_taken),
        FRESH(a_key_that_is_not_selected_is_refused),
        FRESH(keys_without_an_id_are_counted),
        FRESH(labels_are_made_plain),
        FRESH(two_keys_of_one_id_are_refused),
        FRESH(nothing_is_made_or_changed),
        FRESH(a_managed_ring_that_becomes_external_opens_all),
    };
    if (system("command -v pkcs11-tool >/dev/null") != 0)
        return SKIPPED;
    return FIXTURE_RUN_EXTERNAL("external", tests);
}
