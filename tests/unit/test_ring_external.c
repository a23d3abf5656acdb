/* SPDX-License-Identifier: Apache-2.0 */
/* Which key of an external ring seals, from what this host has adopted; and what is said of the
 * others. */
#include "ring_external.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 3 };

static const struct ring_rules rules = {.name = "k8s", .external = true};

/* Three fit keys, k8s.0a to k8s.0c, and the list of those adopted. */
struct scene {
    struct kek keys[KEYS];
    struct ring_look look;
    struct adopted_key list[KEYS + 1];
    struct ring_adopted adopted;
    struct external_facts facts;
    struct health health;
    size_t active;
};

static struct adopted_key adopted_key(const char *text)
{
    struct adopted_key key;
    char ring[RING_NAME_MAX + 1];
    (void)snprintf(key.key_id.text, sizeof key.key_id.text, "%s", text);
    assert_false(err_is(key_id_parse(bytes_of_string(text), ring, &key.id)));
    return key;
}

static void scene_make(struct scene *s)
{
    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < KEYS; i++) {
        struct kek *kek = &s->keys[i];
        const uint8_t raw = (uint8_t)(0x0a + i);
        assert_false(err_is(object_id_from(bytes_of(&raw, 1), &kek->id)));
        assert_false(err_is(key_id_make_external("k8s", &kek->id, &kek->key_id)));
        kek->label.scheme = SCHEME_AES_GCM;
        (void)snprintf(kek->name, sizeof kek->name, "customer-%u", i);
    }
    s->look = (struct ring_look){.keys = s->keys, .n = KEYS};
    s->adopted = (struct ring_adopted){s->list, 0};
    s->facts = (struct external_facts){.rules = &rules, .adopted = &s->adopted};
}

static void adopt(struct scene *s, const char *text)
{
    s->list[s->adopted.n++] = adopted_key(text);
}

static void set(struct key_id *key_id, const char *text)
{
    (void)snprintf(key_id->text, sizeof key_id->text, "%s", text);
}

static enum verdict judge(struct scene *s)
{
    s->active = SIZE_MAX;
    return ring_external_judge(&s->look, &s->facts, &s->active, &s->health);
}

static void expect_seals(struct scene *s, size_t index)
{
    if (judge(s) != VERDICT_SEALS)
        fail_msg("%s", s->health.text);
    assert_int_equal(s->active, index);
}

static void expect_not(struct scene *s, enum verdict verdict, const char *says)
{
    assert_int_equal(judge(s), verdict);
    assert_int_equal(s->active, SIZE_MAX);
    assert_false(s->health.ok || s->health.failed);
    if (!strstr(s->health.text, says))
        fail_msg("\"%s\" does not say \"%s\"", s->health.text, says);
}

static void expect_states(const struct scene *s, enum key_state a, enum key_state b,
                          enum key_state c)
{
    assert_int_equal(s->keys[0].label.state, a);
    assert_int_equal(s->keys[1].label.state, b);
    assert_int_equal(s->keys[2].label.state, c);
}

#define SCENE                                                                                      \
    struct scene s;                                                                                \
    (void)state;                                                                                   \
    scene_make(&s)

static void the_last_adopted_seals(void **state)
{
    SCENE;
    adopt(&s, "k8s.0b");
    expect_seals(&s, 1);
    expect_states(&s, KEY_PRE_ACTIVE, KEY_ACTIVE, KEY_PRE_ACTIVE);
    adopt(&s, "k8s.0a");
    expect_seals(&s, 0);
    expect_states(&s, KEY_ACTIVE, KEY_DEACTIVATED, KEY_PRE_ACTIVE);
    assert_int_equal(s.keys[0].label.generation, 2);
    assert_int_equal(s.keys[1].label.generation, 1);
    assert_int_equal(s.keys[2].label.generation, 0);
}

static void nothing_seals_before_an_adoption(void **state)
{
    SCENE;
    expect_not(&s, VERDICT_UNFIT, "for one of the 3");
    s.look.n = 1;
    expect_not(&s, VERDICT_UNFIT, "run `p11-kms keys adopt k8s.0a`");
    s.keys[0].wrong = ATTR_BIT(ATTR_EXTRACTABLE);
    expect_not(&s, VERDICT_UNFIT, "\"customer-0\") is refused: the token reports EXTRACTABLE");
    s.look.n = 0;
    expect_not(&s, VERDICT_EMPTY, "ring.select finds none");
    s.look.foreign = 2;
    expect_not(&s, VERDICT_EMPTY, "finds 2 without a CKA_ID");
}

static void ring_active_chooses_among_the_adopted(void **state)
{
    SCENE;
    adopt(&s, "k8s.0a");
    adopt(&s, "k8s.0b");
    set(&s.facts.known, "k8s.0a");
    set(&s.facts.wanted, "k8s.0a"); /* the second is adopted, and waits for ring.active */
    expect_seals(&s, 0);
    expect_states(&s, KEY_ACTIVE, KEY_PRE_ACTIVE, KEY_PRE_ACTIVE);
    set(&s.facts.wanted, "k8s.0b");
    expect_seals(&s, 1);
    expect_states(&s, KEY_DEACTIVATED, KEY_ACTIVE, KEY_PRE_ACTIVE);
    set(&s.facts.wanted, "k8s.0c");
    expect_not(&s, VERDICT_UNFIT, "run `p11-kms keys adopt k8s.0c`");
}

static void an_active_key_never_goes_back(void **state)
{
    SCENE;
    adopt(&s, "k8s.0a");
    adopt(&s, "k8s.0b");
    set(&s.facts.wanted, "k8s.0a");
    set(&s.facts.known, "k8s.0b");
    expect_not(&s, VERDICT_UNFIT, "k8s.0a, which KEK k8s.0b superseded");
    set(&s.facts.known, ""); /* nobody remembers: then the newest may have sealed */
    expect_not(&s, VERDICT_UNFIT, "k8s.0a, which KEK k8s.0b superseded");
}

static void what_sealed_outside_the_list_bars_it(void **state)
{
    SCENE;
    set(&s.facts.known, "k8s.01890101-0101-7101-8101-010101010101");
    expect_not(&s, VERDICT_UNFIT, "sealed on this host before, and no key is adopted here");
    adopt(&s, "k8s.0a"); /* as a ring that was external, managed, and is external again */
    expect_not(&s, VERDICT_UNFIT, "after the keys that are adopted here");
    expect_states(&s, KEY_DEACTIVATED, KEY_PRE_ACTIVE, KEY_PRE_ACTIVE);
}

static void a_missing_key_is_missing_and_no_other_seals(void **state)
{
    SCENE;
    adopt(&s, "k8s.0a");
    adopt(&s, "k8s.0f");
    expect_not(&s, VERDICT_MISSING, "KEK k8s.0f, adopted on this host, is not among");
}

static void a_faulty_key_seals_nothing(void **state)
{
    SCENE;
    adopt(&s, "k8s.0a");
    adopt(&s, "k8s.0b");
    s.keys[1].wrong = ATTR_BIT(ATTR_WRAP) | ATTR_BIT(ATTR_UNWRAP);
    expect_not(&s, VERDICT_UNFIT, "name usage in ring.waive");
    s.keys[1].wrong = ATTR_BIT(ATTR_LOCAL);
    expect_not(&s, VERDICT_UNFIT, "name local in ring.waive");
    s.keys[1].wrong = ATTR_BIT(ATTR_LOCAL) | ATTR_BIT(ATTR_SIGN);
    expect_not(&s, VERDICT_UNFIT, "name local and usage in ring.waive");
    s.keys[1].wrong = ATTR_BIT(ATTR_SENSITIVE) | ATTR_BIT(ATTR_SIGN);
    expect_not(&s, VERDICT_UNFIT,
               "SENSITIVE,SIGN otherwise than a non-exportable KEK must have it; SENSITIVE cannot");
    s.keys[1].wrong = ATTR_BIT(ATTR_VALUE_LEN);
    expect_not(&s, VERDICT_UNFIT, "an AES or an HMAC key of 32 bytes");
    s.keys[1].wrong = 0;
    s.keys[1].ambiguous = true;
    expect_not(&s, VERDICT_UNFIT, "the same CKA_ID");
    s.keys[1].ambiguous = false;
    s.keys[1].quarantined = true;
    expect_not(&s, VERDICT_UNFIT, "is quarantined");
    s.keys[1].quarantined = false;
    s.keys[1].waived = ATTR_BIT(ATTR_WRAP);
    expect_seals(&s, 1);
}

static void a_damaged_list_is_told_and_nothing_seals(void **state)
{
    SCENE;
    s.facts.adopted = NULL;
    set(&s.facts.known, "k8s.0b");
    expect_not(&s, VERDICT_UNFIT, "ring-k8s.adopted in stateDir is damaged");
    expect_not(&s, VERDICT_UNFIT, "first the key that sealed last: k8s.0b");
    expect_states(&s, KEY_PRE_ACTIVE, KEY_PRE_ACTIVE, KEY_PRE_ACTIVE);
}

/* After a ring became external, its list begins with the KEK that it had. */
static void a_managed_kek_in_the_list_is_known_in_both_forms(void **state)
{
    SCENE;
    const struct adopted_key old = adopted_key("k8s.01890101-0101-7101-8101-010101010101");
    adopt(&s, old.key_id.text);
    adopt(&s, "k8s.0b");
    s.facts.known = old.key_id;
    s.keys[0].id = old.id;
    expect_seals(&s, 1);
    expect_states(&s, KEY_DEACTIVATED, KEY_ACTIVE, KEY_PRE_ACTIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_adopted_seals),
        cmocka_unit_test(nothing_seals_before_an_adoption),
        cmocka_unit_test(ring_active_chooses_among_the_adopted),
        cmocka_unit_test(an_active_key_never_goes_back),
        cmocka_unit_test(what_sealed_outside_the_list_bars_it),
        cmocka_unit_test(a_missing_key_is_missing_and_no_other_seals),
        cmocka_unit_test(a_faulty_key_seals_nothing),
        cmocka_unit_test(a_damaged_list_is_told_and_nothing_seals),
        cmocka_unit_test(a_managed_kek_in_the_list_is_known_in_both_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
