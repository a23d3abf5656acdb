/* SPDX-License-Identifier: Apache-2.0 */
/* KEKs in the real agent, when somebody without the PIN destroys the public objects of key pairs,
 * or puts public ones of any class beside a KEK's own. */
#include "fixture.h"
#include "ring_look.h"
#include "stranger_point.h"

#include <p11-kit/p11-kit.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROLES = 2, STRANGERS = 4, FOUND_MAX = 16, TWICE = 2 };

static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";
static const struct scheme_row pairs = {.scheme = SCHEME_RSA_OAEP_SIGN};

/* --- what anybody can do ------------------------------------------------------------------- */

/* A session in which nobody logs in. */
static CK_SESSION_HANDLE come_in(CK_FUNCTION_LIST *module)
{
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_SESSION_HANDLE session = 0;
    if (module->C_Initialize(NULL) != CKR_OK ||
        module->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK || n < 1 ||
        module->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                              &session) != CKR_OK)
        _exit(1);
    return session;
}

/* Destroys all public keys of the token; how many there were. */
static CK_ULONG destroy_publics(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE found[FOUND_MAX];
    CK_ULONG n = 0;
    if (module->C_FindObjectsInit(session, &wanted, 1) != CKR_OK ||
        module->C_FindObjects(session, found, FOUND_MAX, &n) != CKR_OK ||
        module->C_FindObjectsFinal(session) != CKR_OK)
        _exit(2);
    for (CK_ULONG i = 0; i < n; i++)
        if (module->C_DestroyObject(session, found[i]) != CKR_OK)
            _exit(3);
    return n;
}

/* An object that anybody may use. */
struct stranger {
    CK_OBJECT_CLASS class;
    struct object_id id;
    char label[KEY_LABEL_MAX + 1];
    bool stays; /* nobody can destroy it */
};

/* Of P-256, whose private key is 1, or an AES key. */
static void create_stranger(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                            const struct stranger *stranger)
{
    struct stranger copy = *stranger;
    bool secret = copy.class == CKO_SECRET_KEY;
    CK_KEY_TYPE type = secret ? CKK_AES : CKK_EC;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE, goes = !copy.stays;
    uint8_t value[32] = {[31] = 1};
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &copy.class, sizeof copy.class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_PRIVATE, &no, sizeof no},
        {CKA_DESTROYABLE, &goes, sizeof goes},
        {CKA_ID, copy.id.data, copy.id.len},
        {CKA_LABEL, copy.label, strlen(copy.label)},
        copy.class == CKO_PUBLIC_KEY
            ? (CK_ATTRIBUTE){CKA_EC_POINT, stranger_point, sizeof stranger_point}
            : (CK_ATTRIBUTE){CKA_VALUE, value, sizeof value},
        {CKA_EC_PARAMS, stranger_params, sizeof stranger_params}};
    CK_ULONG n = sizeof template / sizeof *template - secret;
    if (module->C_CreateObject(session, template, n, &made) != CKR_OK)
        _exit(4);
}

/* Some tokens, SoftHSM among them, let anybody have them make a key, too. */
static void generate_stranger(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                              const struct stranger *stranger)
{
    struct stranger copy = *stranger;
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG length = 32;
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE template[] = {{CKA_VALUE_LEN, &length, sizeof length},
                               {CKA_TOKEN, &yes, sizeof yes},
                               {CKA_PRIVATE, &no, sizeof no},
                               {CKA_SENSITIVE, &yes, sizeof yes},
                               {CKA_EXTRACTABLE, &no, sizeof no},
                               {CKA_ID, copy.id.data, copy.id.len},
                               {CKA_LABEL, copy.label, strlen(copy.label)}};
    if (module->C_GenerateKey(session, &mechanism, template, sizeof template / sizeof *template,
                              &made) != CKR_OK)
        _exit(6);
}

/* In a child, so that this process stays free of the module's threads and state. Its exit code. */
static int vandalise(const struct fixture *f, const struct key_id *key, CK_ULONG expected,
                     unsigned strangers)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id first, sign;
    int status = -1;
    assert_false(err_is(key_id_parse(bytes_of_string(key->text), ring, &first)));
    assert_false(err_is(object_id_of_role(&first, SCHEME_RSA_OAEP_SIGN, 1, &sign)));
    pid_t pid = fork();
    if (pid == 0) {
        CK_FUNCTION_LIST *module = p11_kit_module_load(f->config.module, P11_KIT_MODULE_UNMANAGED);
        CK_SESSION_HANDLE session = module ? come_in(module) : 0;
        if (!module || destroy_publics(module, session) != expected)
            _exit(5);
        for (unsigned i = 0; i < strangers; i++)
            create_stranger(module, session,
                            &(struct stranger){.class = CKO_PUBLIC_KEY, .id = sign});
        _exit(0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

/* Twice each: those alone are no two keys of one CKA_ID either. */
static void make_strangers(const struct fixture *f, const struct stranger *strangers, size_t n)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        CK_FUNCTION_LIST *module = p11_kit_module_load(f->config.module, P11_KIT_MODULE_UNMANAGED);
        CK_SESSION_HANDLE session = module ? come_in(module) : 0;
        for (size_t i = 0; module && i < n * TWICE; i++)
            create_stranger(module, session, &strangers[i / TWICE]);
        if (module && strangers[0].class == CKO_SECRET_KEY)
            generate_stranger(module, session, &strangers[0]);
        _exit(module ? 0 : 5);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

/* --- tests --------------------------------------------------------------------------------- */

static void opens(struct fixture *f, struct bytes envelope)
{
    if (fixture_open(f, FAMILY_V2, envelope) != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
    assert_true(bytes_equal(f->reply.u.plaintext, bytes_of(dek, sizeof dek)));
}

/* First they are destroyed, then four others hide the place, then these go as well. */
static void no_ciphertext_is_lost_with_public_objects(void **state)
{
    static const unsigned strangers[] = {0, STRANGERS, 0};
    struct fixture *f = *state;
    uint8_t old[ENVELOPE_MAX], sealed[ENVELOPE_MAX];
    struct key_id key;
    size_t old_len, len;
    CK_ULONG publics = ROLES;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, sizeof dek), old, &old_len),
                     ERR_NONE);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        fixture_stop(f);
        assert_int_equal(vandalise(f, &key, publics, strangers[i]), 0);
        publics = strangers[i];
        fixture_up(f, AGENT_SERVE);
        opens(f, bytes_of(old, old_len));
        assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, sizeof dek), sealed, &len),
                         ERR_NONE);
        fixture_up(f, AGENT_SERVE);
        opens(f, bytes_of(sealed, len));
    }
}

/* --- strangers that look like KEKs ---------------------------------------------------------- */

static struct object_id id_of(const struct key_id *key, enum scheme scheme, size_t role)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id first, id;
    assert_false(err_is(key_id_parse(bytes_of_string(key->text), ring, &first)));
    assert_false(err_is(object_id_of_role(&first, scheme, role, &id)));
    return id;
}

static struct stranger stranger_of(CK_OBJECT_CLASS class, struct object_id id, const char *label)
{
    struct stranger ret = {.class = class, .id = id};
    (void)snprintf(ret.label, sizeof ret.label, "%s", label);
    return ret;
}

/* Of both classes: with the CKA_ID of each object of the KEK, and as KEKs of their own. */
static void surround(const struct fixture *f, const struct key_id *key, enum key_state state)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_SECRET_KEY, CKO_PRIVATE_KEY};
    struct stranger strangers[4 * (ROLES + 1)];
    size_t n = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct object_id own = {UUID_BYTES, {1, [6] = 0x70, [8] = 0x80, [15] = (uint8_t)i}};
        for (size_t role = 0; role < scheme_roles(f->scheme->scheme); role++) {
            const struct object_id id = id_of(key, f->scheme->scheme, role);
            strangers[n++] = stranger_of(classes[i], id, fixture_label(f, 1, role, state));
            strangers[n++] =
                stranger_of(classes[i], id, fixture_label(f, GENERATION_MAX, role, state));
        }
        strangers[n++] = stranger_of(classes[i], own, fixture_label(f, GENERATION_MAX, 0, state));
        strangers[n++] = stranger_of(classes[i], own, fixture_label(f, 2, 0, KEY_PRE_ACTIVE));
    }
    make_strangers(f, strangers, n);
}

static struct ring_look look_at(struct fixture *f, bool external)
{
    const struct ring_rules rules = {.name = "k8s", .external = external, .waive = WAIVE_USAGE};
    struct ring_look look = {.n = 0};
    struct lane_status status = {.text = ""};
    if (err_is(ring_look_take(f->agent.lane[0], CALL_MS, NULL, &rules, &look, &status)))
        fail_msg("%s", status.text);
    return look;
}

/* The KEK alone is the ring's, and seals: its successor will be generation 2. */
static void expect_kek_alone(struct fixture *f, const struct key_id *key)
{
    static const struct ring_memory none = {.generation = 0};
    struct ring_look look = look_at(f, false);
    struct health health;
    size_t active;
    assert_int_equal(look.n, 1);
    assert_string_equal(look.keys[0].key_id.text, key->text);
    assert_int_equal(look.keys[0].label.generation, 1);
    assert_int_equal(look.broken, 0);
    assert_true(look.publics > 0);
    assert_int_equal(ring_look_judge(&look, "k8s", &none, &active, &health), VERDICT_SEALS);
    ring_look_clear(&look);
}

static void works_on(struct fixture *f, const struct key_id *key, struct bytes old)
{
    uint8_t sealed[ENVELOPE_MAX];
    size_t len;
    opens(f, old);
    if (fixture_seal(f, FAMILY_V2, key, bytes_of(dek, sizeof dek), sealed, &len) != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
    opens(f, bytes_of(sealed, len));
}

/* An agent that has listed the ring, and one that has to search. */
static void public_keys_harm_no_kek(void **state)
{
    struct fixture *f = *state;
    uint8_t old[ENVELOPE_MAX];
    struct key_id key;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, sizeof dek), old, &len),
                     ERR_NONE);
    fixture_stop(f);
    surround(f, &key, KEY_ACTIVE);
    fixture_up(f, AGENT_SERVE);
    works_on(f, &key, bytes_of(old, len));
    expect_kek_alone(f, &key);
    works_on(f, &key, bytes_of(old, len));
    fixture_up(f, AGENT_SERVE);
    expect_kek_alone(f, &key);
    works_on(f, &key, bytes_of(old, len));
}

static enum err_code relabel(struct fixture *f, const struct key_id *key, enum key_state to)
{
    struct lane_request request = {.op = LANE_RELABEL};
    request.u.relabel.id = id_of(key, f->scheme->scheme, 0);
    request.u.relabel.seen = KEY_ACTIVE;
    request.u.relabel.label = (struct key_label){"k8s", 1, f->scheme->scheme, 0, to};
    fixture_up(f, AGENT_MAKE);
    return fixture_call(f, &request);
}

static enum err_code destroy(struct fixture *f, const struct key_id *key)
{
    f->config.doomed = id_of(key, f->scheme->scheme, 0);
    fixture_start(f, AGENT_DESTROY);
    f->config.doomed.len = 0;
    return f->reply.status.code;
}

/* Whoever destroys a KEK destroys what is the KEK's: the strangers are still there, are taken for
 * no rest of it, and nobody relabels them either. */
static void a_kek_goes_alone(void **state)
{
    struct fixture *f = *state;
    struct key_id key;
    fixture_make_key(f, 1, &key);
    fixture_stop(f);
    surround(f, &key, KEY_DEACTIVATED);
    if (destroy(f, &key) != ERR_REFUSED)
        fail_msg("%s", f->reply.status.text);
    assert_non_null(strstr(f->reply.status.text, "deactivate it first"));
    assert_int_equal(relabel(f, &key, KEY_DEACTIVATED), ERR_NONE);
    struct ring_look look = look_at(f, false);
    const size_t publics = look.publics;
    assert_int_equal(look.n, 1);
    assert_int_equal(look.keys[0].label.state, KEY_DEACTIVATED);
    ring_look_clear(&look);
    for (size_t i = 0; i < 2; i++) { /* and then it is gone already */
        if (destroy(f, &key) != ERR_NONE)
            fail_msg("%s", f->reply.status.text);
        assert_int_equal(relabel(f, &key, KEY_COMPROMISED), ERR_REFUSED);
        assert_non_null(strstr(f->reply.status.text, "no key of ring k8s"));
        look = look_at(f, false);
        assert_int_equal(look.n, 0);
        assert_int_equal(look.publics, publics);
        ring_look_clear(&look);
    }
}

/* They look like what self-tests and trials have left, and cannot be removed. */
static void public_keys_keep_no_self_test_from_passing(void **state)
{
    struct fixture *f = *state;
    const struct object_id old = {UUID_BYTES, {1, [6] = 0x70, [8] = 0x80}};
    struct stranger strangers[] = {
        stranger_of(CKO_SECRET_KEY, old, "p11-kms-selftest/00000000-0000-7000-8000-000000000000"),
        stranger_of(CKO_PRIVATE_KEY, old, "p11-kms-selftest/00000000-0000-7000-8000-000000000000"),
        stranger_of(CKO_PUBLIC_KEY, old, "")};
    struct lane_request selftest = {.op = LANE_SELFTEST}, trial = {.op = LANE_TRIAL};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        strangers[i].stays = true;
    make_strangers(f, strangers, sizeof strangers / sizeof *strangers);
    fixture_up(f, AGENT_MAKE);
    selftest.u.selftest.scheme = f->scheme->scheme;
    if (fixture_call(f, &selftest) != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
    trial.u.trial.step = TRIAL_REMOVE;
    trial.u.trial.trial = (struct object_id){UUID_BYTES, {[6] = 0x70, [8] = 0x80}};
    if (fixture_call(f, &trial) != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
    assert_int_equal(f->reply.u.trial.count, 0);
}

/* --- an operator's own key ----------------------------------------------------------------- */

static void public_keys_harm_no_key_of_an_operator(void **state)
{
    static const char *const words[] = {"--keygen", "--private", "--key-type",  "AES:32",
                                        "--label",  "customer",  "--sensitive", "--id",
                                        "0a01",     NULL};
    static const struct key_id key = {"k8s.0a01"};
    const struct object_id id = {2, {0x0a, 0x01}}, other = {2, {0x0a, 0x02}};
    const struct stranger strangers[] = {stranger_of(CKO_SECRET_KEY, id, "customer"),
                                         stranger_of(CKO_SECRET_KEY, id, "customer-2"),
                                         stranger_of(CKO_SECRET_KEY, other, "customer-3")};
    struct fixture *f = *state;
    uint8_t sealed[ENVELOPE_MAX];
    size_t len;
    f->scheme = &fixture_schemes[0];
    fixture_pkcs11_tool(f, words);
    make_strangers(f, strangers, sizeof strangers / sizeof *strangers);
    fixture_external(f, "label:customer*", WAIVE_USAGE);
    for (size_t i = 0; i < 2; i++) {
        fixture_up(f, AGENT_SERVE);
        if (fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, sizeof dek), sealed, &len) != ERR_NONE)
            fail_msg("%s", f->reply.status.text);
        opens(f, bytes_of(sealed, len));
        struct ring_look look = look_at(f, true);
        assert_int_equal(look.n, 2);
        assert_string_equal(look.keys[0].key_id.text, key.text);
        assert_true(kek_usable(&look.keys[0]));
        assert_true((look.keys[1].wrong & ATTR_BIT(ATTR_PRIVATE)) != 0);
        ring_look_clear(&look);
        opens(f, bytes_of(sealed, len));
    }
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

/* Of key pairs. */
static int setup_pairs(void **state)
{
    int failed = fixture_setup(state);
    if (failed)
        return failed;
    ((struct fixture *)*state)->scheme = &pairs;
    return 0;
}

#define PAIRS(test) cmocka_unit_test_setup_teardown(test, setup_pairs, fixture_teardown)

int main(void)
{
    const struct CMUnitTest schemes[] = {FRESH(public_keys_harm_no_kek), FRESH(a_kek_goes_alone),
                                         FRESH(public_keys_keep_no_self_test_from_passing)};
    const struct CMUnitTest tests[] = {
        FRESH(public_keys_harm_no_key_of_an_operator),
        PAIRS(no_ciphertext_is_lost_with_public_objects),
        PAIRS(public_keys_harm_no_kek),
        PAIRS(a_kek_goes_alone),
    };
    int failed = FIXTURE_RUN_SCHEMES("public keys", schemes);
    return failed ? failed : FIXTURE_RUN("public objects", tests);
}
