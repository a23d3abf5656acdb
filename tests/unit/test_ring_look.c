/* SPDX-License-Identifier: Apache-2.0 */
/* Listing a ring over a lane, and which KEK seals. */
#include "fake_agent.h"
#include "io.h"
#include "pool_jobs.h"
#include "ring_look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 60000, MANY = 2000 };

static const struct ring_rules rules = {.name = "k8s"};

static struct err take(const struct listed_key *keys, size_t n, size_t page, struct ring_look *ret)
{
    int lane;
    struct lane_status status;
    struct fake_agent *agent = fake_agent_new(1, &lane);
    fake_agent_keys(agent, keys, n, page);
    struct err e = ring_look_take(lane, TIMEOUT_MS, NULL, &rules, ret, &status);
    (void)close(lane);
    fake_agent_free(agent);
    return e;
}

/* What a host remembers of a key: its generation as well. */
static struct ring_memory memory_of(const struct ring_look *look, const char *known)
{
    struct ring_memory memory = {.generation = 0};
    (void)snprintf(memory.key_id.text, sizeof memory.key_id.text, "%s", known);
    for (size_t i = 0; i < look->n; i++)
        if (strcmp(look->keys[i].key_id.text, known) == 0)
            memory.generation = look->keys[i].label.generation;
    return memory;
}

static enum verdict judge(const struct listed_key *keys, size_t n, const char *known,
                          char *ret_active, struct health *health)
{
    struct ring_look look = {.n = 0};
    size_t active = SIZE_MAX;
    assert_false(err_is(take(keys, n, 2, &look)));
    const struct ring_memory before = memory_of(&look, known);
    enum verdict verdict = ring_look_judge(&look, "k8s", &before, &active, health);
    if (verdict == VERDICT_SEALS)
        memcpy(ret_active, look.keys[active].key_id.text, sizeof look.keys[active].key_id.text);
    else
        assert_int_equal(active, SIZE_MAX);
    ring_look_clear(&look);
    return verdict;
}

static void expect_seals(const struct listed_key *keys, size_t n, const char *known, uint16_t tail)
{
    struct health health;
    char active[KEY_ID_MAX + 1];
    assert_int_equal(judge(keys, n, known, active, &health), VERDICT_SEALS);
    assert_string_equal(active, fake_key_id(tail).text);
}

static void expect_not(const struct listed_key *keys, size_t n, const char *known,
                       enum verdict verdict, const char *word)
{
    struct health health = {.ok = true};
    assert_int_equal(judge(keys, n, known, NULL, &health), verdict);
    assert_false(health.ok);
    if (!strstr(health.text, word))
        fail_msg("\"%s\" does not say \"%s\"", health.text, word);
}

static void the_highest_generation_among_active_seals(void **state)
{
    (void)state;
    const struct listed_key keys[] = {fake_key(2, KEY_ACTIVE, 1), fake_key(10, KEY_ACTIVE, 2),
                                      fake_key(9, KEY_ACTIVE, 3), fake_key(12, KEY_PRE_ACTIVE, 4),
                                      fake_key(11, KEY_DEACTIVATED, 5)};
    expect_seals(keys, 5, "", 2);
}

static void ties_go_to_the_highest_id(void **state)
{
    (void)state;
    const struct listed_key keys[] = {fake_key(2, KEY_ACTIVE, 7), fake_key(2, KEY_ACTIVE, 9),
                                      fake_key(2, KEY_ACTIVE, 8)};
    expect_seals(keys, 3, "", 9);
    expect_seals(keys, 3, fake_key_id(8).text, 9);
}

static void an_empty_token_asks_for_init(void **state)
{
    (void)state;
    expect_not(NULL, 0, "", VERDICT_EMPTY, "p11-kms init");
}

static void an_empty_token_that_had_a_kek_misses_it(void **state)
{
    (void)state;
    expect_not(NULL, 0, fake_key_id(1).text, VERDICT_MISSING, fake_key_id(1).text);
}

static void a_known_kek_is_missed_though_others_are_active(void **state)
{
    (void)state;
    const struct listed_key keys[] = {fake_key(9, KEY_ACTIVE, 2)};
    expect_not(keys, 1, fake_key_id(1).text, VERDICT_MISSING, "nothing is made in its place");
}

static void none_active_is_unfit(void **state)
{
    (void)state;
    const struct listed_key keys[] = {fake_key(1, KEY_PRE_ACTIVE, 1),
                                      fake_key(2, KEY_COMPROMISED, 2)};
    expect_not(keys, 2, "", VERDICT_UNFIT, "none is active");
}

static void the_active_kek_never_regresses(void **state)
{
    (void)state;
    const enum key_state worse[] = {KEY_DEACTIVATED, KEY_COMPROMISED};
    for (size_t i = 0; i < 2; i++) {
        const struct listed_key keys[] = {fake_key(1, KEY_ACTIVE, 1), fake_key(2, worse[i], 2)};
        expect_not(keys, 2, fake_key_id(2).text, VERDICT_UNFIT, key_state_name(worse[i]));
    }
}

static void a_known_kek_yields_to_a_newer_one_whatever_its_state(void **state)
{
    (void)state;
    const struct listed_key keys[] = {fake_key(1, KEY_COMPROMISED, 1), fake_key(2, KEY_ACTIVE, 2)};
    expect_seals(keys, 2, fake_key_id(1).text, 2);
}

static void a_wrong_attribute_is_named(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < ATTR_SIGN_RECOVER; bit++) { /* which no secret key has */
        struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
        key.attributes.value ^= ATTR_BIT(bit);
        if (bit != ATTR_PRIVATE) /* test_ring_public.c */
            expect_not(&key, 1, "", VERDICT_UNFIT, key_attribute_name((enum key_attribute)bit));
        key = fake_key(1, KEY_ACTIVE, 1);
        key.attributes.known ^= ATTR_BIT(bit);
        expect_not(&key, 1, "", VERDICT_UNFIT, key_attribute_name((enum key_attribute)bit));
    }
}

static void an_unfit_newest_is_not_replaced_by_an_older(void **state)
{
    (void)state;
    struct listed_key keys[] = {fake_key(1, KEY_ACTIVE, 1), fake_key(2, KEY_ACTIVE, 2)};
    keys[1].attributes.value ^= ATTR_BIT(ATTR_EXTRACTABLE);
    expect_not(keys, 2, "", VERDICT_UNFIT, "EXTRACTABLE");
}

static void an_ambiguous_kek_is_unfit(void **state)
{
    (void)state;
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    key.ambiguous = true;
    expect_not(&key, 1, "", VERDICT_UNFIT, "two keys");
}

enum { PAIR = 2 };

/* A KEK of two objects, told in either order. */
static void make_pair(enum key_state first, enum key_state second, bool turned,
                      struct listed_key ret[static PAIR])
{
    struct listed_key a = fake_key(3, first, 1), b = fake_key(3, second, 1);
    ret[turned] = fake_key_object(&a, SCHEME_AES_CBC_HMAC, 0);
    ret[!turned] = fake_key_object(&b, SCHEME_AES_CBC_HMAC, 1);
}

static void two_objects_are_one_kek(void **state)
{
    (void)state;
    for (int turned = 0; turned < 2; turned++) {
        struct listed_key keys[PAIR];
        struct ring_look look = {.n = 0};
        make_pair(KEY_ACTIVE, KEY_ACTIVE, turned, keys);
        expect_seals(keys, PAIR, "", 1);
        assert_false(err_is(take(keys, PAIR, 1, &look)));
        assert_int_equal(look.n, 1);
        assert_int_equal(look.foreign, 0);
        assert_int_equal(look.keys[0].label.scheme, SCHEME_AES_CBC_HMAC);
        ring_look_clear(&look);
    }
}

/* A relabelling that was done by half is done: states only worsen. */
static void the_worse_state_of_two_objects_counts(void **state)
{
    (void)state;
    for (int first = KEY_PRE_ACTIVE; first <= KEY_COMPROMISED; first++) {
        for (int second = KEY_PRE_ACTIVE; second <= KEY_COMPROMISED; second++) {
            struct listed_key keys[PAIR];
            struct ring_look look = {.n = 0};
            make_pair((enum key_state)first, (enum key_state)second, first > second, keys);
            assert_false(err_is(take(keys, PAIR, PAIR, &look)));
            assert_int_equal(look.n, 1);
            assert_int_equal(look.keys[0].label.state, first > second ? first : second);
            ring_look_clear(&look);
        }
    }
}

/* With half of it nothing opens: it is as good as gone. */
static void half_a_kek_is_none(void **state)
{
    (void)state;
    struct listed_key keys[PAIR];
    struct ring_look look = {.n = 0};
    make_pair(KEY_ACTIVE, KEY_ACTIVE, false, keys);
    for (size_t i = 0; i < PAIR; i++) {
        expect_not(&keys[i], 1, fake_key_id(1).text, VERDICT_MISSING, fake_key_id(1).text);
        assert_false(err_is(take(&keys[i], 1, 1, &look)));
        assert_int_equal(look.n, 0);
        assert_int_equal(look.broken, i == 0); /* the other alone may be one in the making */
        assert_int_equal(look.foreign, i);
        ring_look_clear(&look);
    }
    struct listed_key later = fake_key(4, KEY_ACTIVE, 1); /* of another generation */
    keys[1] = fake_key_object(&later, SCHEME_AES_CBC_HMAC, 1);
    expect_not(keys, PAIR, fake_key_id(1).text, VERDICT_MISSING, fake_key_id(1).text);
}

/* On a host that knows of none it is no empty ring, whatever the object's label says. */
static void a_first_object_alone_is_told(void **state)
{
    (void)state;
    char text[KEY_ID_MAX + 64];
    for (int at = KEY_PRE_ACTIVE; at <= KEY_COMPROMISED; at++) {
        struct listed_key keys[PAIR];
        make_pair((enum key_state)at, (enum key_state)at, false, keys);
        (void)snprintf(text, sizeof text, "KEK %s on the token lacks its mac", fake_key_id(1).text);
        expect_not(keys, 1, "", VERDICT_UNFIT, text);
        expect_not(keys, 1, fake_key_id(1).text, VERDICT_MISSING, text);
        expect_not(keys, 1, fake_key_id(1).text, VERDICT_MISSING, "not whole on the token");
        expect_not(&keys[1], 1, "", VERDICT_EMPTY, "p11-kms init");
    }
    struct listed_key key = fake_key(1, KEY_ACTIVE, 2);
    key = fake_key_object(&key, SCHEME_RSA_OAEP_SIGN, 0);
    expect_not(&key, 1, "", VERDICT_UNFIT, "lacks its sign object");
}

static void the_newest_of_broken_keks_is_told_where_none_is_active(void **state)
{
    (void)state;
    struct listed_key keys[4];
    make_pair(KEY_ACTIVE, KEY_ACTIVE, false, keys); /* of generation 3 */
    for (uint32_t i = 1; i <= 2; i++) {
        keys[i] = fake_key(i, KEY_ACTIVE, (uint16_t)(i + 1));
        keys[i] = fake_key_object(&keys[i], SCHEME_AES_CBC_HMAC, 0);
    }
    keys[3] = fake_key(4, KEY_PRE_ACTIVE, 4);
    expect_not(keys, 4, "", VERDICT_UNFIT, "none is active; KEK ");
    expect_not(keys, 4, "", VERDICT_UNFIT, fake_key_id(1).text);
    expect_not(keys, 4, "", VERDICT_UNFIT, "(the newest of 3 such KEKs)");
    keys[3] = fake_key(4, KEY_ACTIVE, 4);
    expect_seals(keys, 4, "", 4);
}

static void what_is_wrong_with_either_object_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIR; i++) {
        struct listed_key keys[PAIR];
        make_pair(KEY_ACTIVE, KEY_ACTIVE, false, keys);
        keys[i].attributes.value ^= ATTR_BIT(ATTR_EXTRACTABLE);
        expect_not(keys, PAIR, "", VERDICT_UNFIT, "EXTRACTABLE");
        make_pair(KEY_ACTIVE, KEY_ACTIVE, false, keys);
        keys[i].ambiguous = true;
        expect_not(keys, PAIR, "", VERDICT_UNFIT, "two keys");
    }
}

static void labels_that_only_look_like_ours_are_foreign(void **state)
{
    (void)state;
    static const char *const labels[] = {
        "p11-kms/k8s/1/aes-gcm/activ",   "p11-kms/k8s/01/aes-gcm/active",
        "p11-kms/k8s/0/aes-gcm/active",  "p11-kms/k8s/1/aes-gcm/active/",
        "p11-kms/k8s/1/aes-gcm/ACTIVE",  "p11-kms/k8s/1000000/aes-gcm/active",
        "p11-kms/k8s/1/des/active",      "p11-kms/k8s/",
        "p11-kms/k8s2/1/aes-gcm/active", "p11-kms/other/1/aes-gcm/active"};
    enum { N = sizeof labels / sizeof *labels };
    struct listed_key keys[N + 2];
    struct ring_look look = {.n = 0};
    for (size_t i = 0; i < N; i++) {
        keys[i] = fake_key(9, KEY_ACTIVE, (uint16_t)i);
        (void)snprintf(keys[i].label, sizeof keys[i].label, "%s", labels[i]);
    }
    keys[N] = fake_key(9, KEY_ACTIVE, N); /* a CKA_ID that is no UUID */
    keys[N].id.len = 15;
    keys[N + 1] = fake_key(1, KEY_ACTIVE, N + 1);
    assert_false(err_is(take(keys, N + 2, 5, &look)));
    assert_int_equal(look.foreign, N + 1);
    assert_int_equal(look.n, 1);
    assert_string_equal(look.keys[0].key_id.text, fake_key_id(N + 1).text);
    ring_look_clear(&look);
    expect_seals(keys, N + 2, "", N + 1);
}

static void many_pages_make_one_look(void **state)
{
    (void)state;
    static struct listed_key keys[MANY];
    struct ring_look look = {.n = 0};
    for (uint16_t i = 0; i < MANY; i++)
        keys[i] = fake_key(i + 1, KEY_ACTIVE, i);
    assert_false(err_is(take(keys, MANY, LANE_LIST_PAGE, &look)));
    assert_int_equal(look.n, MANY);
    for (uint16_t i = 0; i < MANY; i++)
        assert_string_equal(look.keys[i].key_id.text, fake_key_id(i).text);
    ring_look_clear(&look);
    expect_seals(keys, MANY, fake_key_id(3).text, MANY - 1);
}

static void an_error_of_the_token_is_told(void **state)
{
    (void)state;
    int lane;
    struct ring_look look = {.foreign = 7};
    struct lane_status status = {.code = ERR_NONE};
    struct fake_agent *agent = fake_agent_new(1, &lane);
    fake_agent_fail(agent, LANE_LIST, ERR_TOKEN, REMEDY_HUMAN, "the PIN is locked");
    struct err e = ring_look_take(lane, TIMEOUT_MS, NULL, &rules, &look, &status);
    assert_int_equal(e.code, ERR_TOKEN);
    assert_string_equal(status.text, "the PIN is locked");
    assert_int_equal(look.foreign, 7);
    (void)close(lane);
    fake_agent_free(agent);
}

static void a_hung_or_broken_lane_is_an_error(void **state)
{
    (void)state;
    const struct {
        enum fake_act act;
        enum err_code code;
    } rows[] = {{FAKE_HOLD, ERR_DEADLINE},     {FAKE_CLOSE, ERR_UNAVAILABLE},
                {FAKE_GARBAGE, ERR_INTERNAL},  {FAKE_WRONG_NUMBER, ERR_INTERNAL},
                {FAKE_WRONG_OP, ERR_INTERNAL}, {FAKE_TOO_LONG, ERR_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int lane;
        struct ring_look look;
        struct lane_status status = {.code = ERR_NONE};
        struct fake_agent *agent = fake_agent_new(1, &lane);
        fake_agent_rule(agent, LANE_LIST, rows[i].act);
        int patience_ms = rows[i].act == FAKE_HOLD ? 50 : 10000;
        assert_int_equal(ring_look_take(lane, patience_ms, NULL, &rules, &look, &status).code,
                         rows[i].code);
        assert_int_equal(status.code, ERR_NONE);
        (void)close(lane);
        fake_agent_free(agent);
    }
}

/* Answers one page by hand: what no writer of ours would send. */
static enum err_code page_code(uint32_t next, uint32_t count, struct bytes records)
{
    int pair[2];
    uint8_t packet[LANE_LIST_PACKET_MAX];
    struct ring_look look;
    struct lane_status status;
    struct lane_reply reply = {.op = LANE_LIST, .number = 1};
    reply.u.list.next = next;
    reply.u.list.count = count;
    reply.u.list.records = records;
    assert_false(err_is(packet_pair(pair)));
    for (unsigned i = 0; i < 2; i++, reply.number++) {
        struct writer w = writer_over(packet, sizeof packet);
        lane_put_reply(&w, &reply);
        assert_false(err_is(packet_send(pair[1], writer_bytes(&w), NULL, 0)));
    }
    enum err_code code = ring_look_take(pair[0], TIMEOUT_MS, NULL, &rules, &look, &status).code;
    (void)close(pair[0]);
    (void)close(pair[1]);
    return code;
}

/* A slow token: nothing to tell yet. */
static void empty_pages_are_waited_for(void **state)
{
    (void)state;
    int pair[2];
    uint8_t packet[LANE_LIST_PACKET_MAX], records[256];
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    struct writer one = writer_over(records, sizeof records);
    struct ring_look look;
    struct lane_status status;
    lane_put_key(&one, &key);
    assert_false(err_is(packet_pair(pair)));
    for (uint32_t i = 1; i <= 3; i++) {
        struct lane_reply reply = {.op = LANE_LIST, .number = i};
        struct writer w = writer_over(packet, sizeof packet);
        reply.u.list.next = i < 3 ? i : 0;
        reply.u.list.count = i == 3;
        reply.u.list.records = i == 3 ? writer_bytes(&one) : bytes_of(NULL, 0);
        lane_put_reply(&w, &reply);
        assert_false(err_is(packet_send(pair[1], writer_bytes(&w), NULL, 0)));
    }
    assert_false(err_is(ring_look_take(pair[0], TIMEOUT_MS, NULL, &rules, &look, &status)));
    assert_int_equal(look.n, 1);
    ring_look_clear(&look);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void pages_that_lie_are_refused(void **state)
{
    (void)state;
    uint8_t memory[1024];
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    struct writer w = writer_over(memory, sizeof memory);
    lane_put_key(&w, &key);
    struct bytes one = writer_bytes(&w);
    assert_int_equal(page_code(0, 2, one), ERR_INTERNAL); /* fewer records than told */
    assert_int_equal(page_code(0, 0, one), ERR_INTERNAL); /* more than told */
    assert_int_equal(page_code(0, LANE_LIST_PAGE + 1, one), ERR_INTERNAL);
    assert_int_equal(page_code(1, 1, one), ERR_INTERNAL); /* the second page leads to itself */
    for (size_t len = 1; len < one.len; len++)
        assert_int_equal(page_code(0, 1, bytes_of(one.data, len)), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_generation_among_active_seals),
        cmocka_unit_test(ties_go_to_the_highest_id),
        cmocka_unit_test(an_empty_token_asks_for_init),
        cmocka_unit_test(an_empty_token_that_had_a_kek_misses_it),
        cmocka_unit_test(a_known_kek_is_missed_though_others_are_active),
        cmocka_unit_test(none_active_is_unfit),
        cmocka_unit_test(the_active_kek_never_regresses),
        cmocka_unit_test(a_known_kek_yields_to_a_newer_one_whatever_its_state),
        cmocka_unit_test(a_wrong_attribute_is_named),
        cmocka_unit_test(an_unfit_newest_is_not_replaced_by_an_older),
        cmocka_unit_test(an_ambiguous_kek_is_unfit),
        cmocka_unit_test(two_objects_are_one_kek),
        cmocka_unit_test(the_worse_state_of_two_objects_counts),
        cmocka_unit_test(half_a_kek_is_none),
        cmocka_unit_test(a_first_object_alone_is_told),
        cmocka_unit_test(the_newest_of_broken_keks_is_told_where_none_is_active),
        cmocka_unit_test(what_is_wrong_with_either_object_is_told),
        cmocka_unit_test(labels_that_only_look_like_ours_are_foreign),
        cmocka_unit_test(many_pages_make_one_look),
        cmocka_unit_test(empty_pages_are_waited_for),
        cmocka_unit_test(an_error_of_the_token_is_told),
        cmocka_unit_test(a_hung_or_broken_lane_is_an_error),
        cmocka_unit_test(pages_that_lie_are_refused),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
