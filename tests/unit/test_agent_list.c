/* SPDX-License-Identifier: Apache-2.0 */
/* Listing a ring from a token that is slow, loses keys meanwhile, or gives handles away: a module
 * of a few functions stands in for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keys.h"
#include "ops.h"
#include "p11_call.h"

#include <poll.h>
#include <string.h>

enum { OBJECTS = 8, SLOW_MS = 60 };

struct object {
    unsigned long handle; /* 0: not there */
    uint8_t id;           /* the last byte of its CKA_ID */
    const char *label;
    bool wrap;
    bool public; /* it is there for whoever is not logged in, too */
};

/* The token. */
static struct {
    struct object objects[OBJECTS];
    int slow_ms; /* every read takes so long */
    unsigned finds, reads;
    size_t found; /* by the search under way */
    bool logged_out;
    void (*on_read)(void); /* called before each read */
    uint8_t wanted;        /* CKA_ID that the search names; 0: all */
    CK_OBJECT_CLASS of;    /* all are secret keys */
} token;

static struct agent agent;
static struct lane lane;
static struct lane_reply reply;
static struct advice advice;

static const char *const labels[] = {"p11-kms/k8s/1/aes-gcm/active", "p11-kms/k8s/2/aes-gcm/active",
                                     "p11-kms/k8s/3/aes-gcm/active", "somebody's"};

/* --- the module -------------------------------------------------------------------------- */

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *wanted, CK_ULONG n)
{
    (void)session;
    token.finds++;
    token.found = 0;
    token.of = *(const CK_OBJECT_CLASS *)wanted[0].pValue;
    token.wanted = n == 3 ? ((const uint8_t *)wanted[2].pValue)[UUID_BYTES - 1] : 0;
    return CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *handles, CK_ULONG room, CK_ULONG *n)
{
    (void)session;
    for (*n = 0; token.found < OBJECTS && *n < room; token.found++) {
        const struct object *o = &token.objects[token.found];
        if (o->handle && token.of == CKO_SECRET_KEY && (o->public || !token.logged_out) &&
            (!token.wanted || token.wanted == o->id))
            handles[(*n)++] = o->handle;
    }
    return CKR_OK;
}

static CK_RV find_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static void set_value(CK_ATTRIBUTE *a, const void *value, size_t len)
{
    assert_true(len <= a->ulValueLen);
    memcpy(a->pValue, value, len);
    a->ulValueLen = len;
}

static void set_attribute(const struct object *o, CK_ATTRIBUTE *a)
{
    const uint8_t id[UUID_BYTES] = {1, [6] = 0x70, [8] = 0x80, [15] = o->id};
    const CK_KEY_TYPE type = CKK_AES;
    const CK_ULONG length = 32;
    CK_BBOOL flag = a->type == CKA_TOKEN || a->type == CKA_SENSITIVE ||
                    a->type == CKA_ALWAYS_SENSITIVE || a->type == CKA_NEVER_EXTRACTABLE ||
                    a->type == CKA_LOCAL || a->type == CKA_ENCRYPT || a->type == CKA_DECRYPT ||
                    (a->type == CKA_WRAP && o->wrap) || (a->type == CKA_PRIVATE && !o->public);
    if (a->type == CKA_ID)
        set_value(a, id, sizeof id);
    else if (a->type == CKA_LABEL)
        set_value(a, o->label, strlen(o->label));
    else if (a->type == CKA_KEY_TYPE)
        set_value(a, &type, sizeof type);
    else if (a->type == CKA_VALUE_LEN)
        set_value(a, &length, sizeof length);
    else
        set_value(a, &flag, sizeof flag);
}

static CK_RV read_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *a,
                         CK_ULONG n)
{
    (void)session;
    token.reads++;
    if (token.on_read)
        token.on_read();
    (void)poll(NULL, 0, token.slow_ms);
    for (size_t i = 0; i < OBJECTS; i++) {
        if (token.objects[i].handle != handle)
            continue;
        for (CK_ULONG k = 0; k < n; k++)
            set_attribute(&token.objects[i], &a[k]);
        return CKR_OK;
    }
    return CKR_OBJECT_HANDLE_INVALID;
}

static CK_RV session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    (void)session;
    info->state = token.logged_out ? CKS_RO_PUBLIC_SESSION : CKS_RO_USER_FUNCTIONS;
    return CKR_OK;
}

static CK_FUNCTION_LIST functions = {.C_FindObjectsInit = find_init,
                                     .C_FindObjects = find,
                                     .C_FindObjectsFinal = find_final,
                                     .C_GetAttributeValue = read_object,
                                     .C_GetSessionInfo = session_info};
static struct p11_module module = {.functions = &functions};

/* --- the agent --------------------------------------------------------------------------- */

/* Three KEKs and a key of somebody else. */
static int set_up(void **state)
{
    (void)state;
    memset(&token, 0, sizeof token);
    for (uint8_t i = 0; i < 4; i++)
        token.objects[i] = (struct object){100UL + i, (uint8_t)(i + 1), labels[i], false, false};
    agent = (struct agent){.config = {.role = AGENT_SERVE, .ring = "k8s"}};
    agent.token.pin.login_required = true;
    lane = (struct lane){.agent = &agent, .session = {.module = &module, .open = true}};
    return err_is(key_cache_new(&agent.keys)) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    key_cache_free(agent.keys);
    listing_free(lane.listing);
    return 0;
}

/* One request; its cursor becomes that of the next. */
static enum err_code request(uint32_t *cursor)
{
    struct lane_request q = {.op = LANE_LIST, .u.list = {.ring = "k8s", .cursor = *cursor}};
    reply = (struct lane_reply){.op = LANE_LIST};
    advice.text[0] = '\0';
    struct err e = op_list(&lane, &q, &reply, &advice);
    *cursor = reply.u.list.next;
    return e.code;
}

struct told {
    size_t n;
    struct listed_key keys[OBJECTS];
};

/* From a cursor to the end, or to an error. */
static enum err_code list_from(uint32_t cursor, struct told *ret)
{
    *ret = (struct told){.n = 0};
    do {
        enum err_code code = request(&cursor);
        if (code != ERR_NONE)
            return code;
        struct bytes records = reply.u.list.records;
        for (uint32_t i = 0; i < reply.u.list.count; i++)
            assert_false(err_is(lane_next_key(&records, &ret->keys[ret->n++])));
    } while (cursor != 0);
    return ERR_NONE;
}

static struct told list(void)
{
    struct told told;
    assert_int_equal(list_from(0, &told), ERR_NONE);
    return told;
}

static struct object_id id_of(uint8_t id)
{
    return (struct object_id){UUID_BYTES, {1, [6] = 0x70, [8] = 0x80, [15] = id}};
}

/* The handle that seals and opens would use without asking the token; 0: none. */
static unsigned long known_handle(uint8_t id)
{
    struct key_set keys;
    struct object_id object = id_of(id);
    return key_cache_find(agent.keys, &object, &keys) ? keys.handles[0] : 0;
}

/* --- the listing ------------------------------------------------------------------------- */

static void each_key_is_read_once(void **state)
{
    (void)state;
    struct told told = list();
    assert_int_equal(told.n, 3);
    assert_int_equal(token.finds, 2); /* of secret and of private keys */
    assert_int_equal(token.reads, 4);
    assert_false(told.keys[0].ambiguous);
}

/* A request that is held up before it reads reads nothing. */
static void a_slow_token_is_asked_for_little_at_a_time(void **state)
{
    (void)state;
    uint32_t cursor = 0;
    token.slow_ms = SLOW_MS;
    for (unsigned i = 0; i < 8 && token.reads < 4; i++) {
        unsigned reads = token.reads;
        assert_int_equal(request(&cursor), ERR_NONE);
        assert_in_range(token.reads, reads, reads + 1);
        assert_int_equal(reply.u.list.count, 0);
        assert_int_not_equal(cursor, 0);
    }
    assert_int_equal(token.reads, 4);
    struct told told;
    assert_int_equal(list_from(cursor, &told), ERR_NONE);
    assert_int_equal(told.n, 3);
}

static void an_id_is_ambiguous_whoever_has_it_and_wherever(void **state)
{
    (void)state;
    token.slow_ms = SLOW_MS;
    token.objects[3].id = 1; /* the last one read is not the ring's */
    struct told told = list();
    assert_int_equal(told.n, 3);
    for (size_t i = 0; i < told.n; i++)
        assert_int_equal(told.keys[i].ambiguous, told.keys[i].id.data[15] == 1);
    assert_int_equal(known_handle(1), 0);
    assert_int_equal(known_handle(2), 101);
}

static void cursors_out_of_turn_are_invalid(void **state)
{
    (void)state;
    uint32_t cursor = 1;
    assert_int_equal(request(&cursor), ERR_INVALID);
    (void)list();
    cursor = 1;
    assert_int_equal(request(&cursor), ERR_INVALID);
}

static void lose_the_second(void)
{
    if (token.reads == 2)
        token.objects[1].handle = 0;
}

static void a_key_that_vanishes_meanwhile_is_not_told(void **state)
{
    (void)state;
    token.on_read = lose_the_second;
    struct told told = list();
    assert_int_equal(told.n, 2);
    assert_string_equal(told.keys[0].label, labels[0]);
    assert_string_equal(told.keys[1].label, labels[2]);
    assert_int_equal(token.finds, 4); /* all of it anew: the others were seen at one moment */
}

static void give_new_handles(void)
{
    for (size_t i = 0; i < OBJECTS; i++)
        if (token.objects[i].handle)
            token.objects[i].handle += 100;
}

static void keys_that_always_vanish_are_an_outage(void **state)
{
    (void)state;
    struct told told;
    token.on_read = give_new_handles;
    assert_int_equal(list_from(0, &told), ERR_UNAVAILABLE);
    assert_int_equal(advice.remedy, REMEDY_AGENT);
}

static void log_out(void)
{
    token.logged_out = true;
}

static void keys_that_a_logout_hides_are_not_gone(void **state)
{
    (void)state;
    struct told told;
    token.on_read = log_out;
    assert_int_equal(list_from(0, &told), ERR_UNAVAILABLE);
    assert_int_equal(advice.remedy, REMEDY_LOGIN);
}

/* Handles are what they were, and name others. */
static void shuffle_handles(void)
{
    unsigned long first = token.objects[0].handle;
    token.objects[0].handle = token.objects[1].handle;
    token.objects[1].handle = token.objects[2].handle;
    token.objects[2].handle = first;
}

static void a_login_meanwhile_makes_it_begin_anew(void **state)
{
    (void)state;
    uint32_t cursor = 0;
    struct told told;
    token.slow_ms = SLOW_MS;
    assert_int_equal(request(&cursor), ERR_NONE);
    token.slow_ms = 0;
    shuffle_handles();
    key_cache_clear(agent.keys);
    assert_int_equal(list_from(cursor, &told), ERR_NONE);
    assert_int_equal(told.n, 3);
    assert_int_equal(known_handle(1), 101);
    assert_int_equal(known_handle(3), 100);
}

/* --- what seals and opens make of it ----------------------------------------------------- */

static struct err check_task(struct lane *on, const struct scheme_ops *scheme,
                             const struct key_set *keys, void *context, struct advice *unused)
{
    (void)scheme, (void)unused;
    *(unsigned long *)context = keys->handles[0];
    return key_set_check(&on->session, keys);
}

static enum err_code use(uint8_t id, unsigned long *ret_handle)
{
    struct key_id key_id;
    struct object_id object = id_of(id);
    assert_false(err_is(key_id_make("k8s", &object, &key_id)));
    return key_use(&lane, SCHEME_AES_GCM, bytes_of_string(key_id.text), check_task, ret_handle,
                   &advice)
        .code;
}

static void listed_keys_are_used_without_a_search(void **state)
{
    (void)state;
    unsigned long handle = 0;
    (void)list();
    for (uint8_t id = 1; id <= 3; id++) {
        assert_int_equal(use(id, &handle), ERR_NONE);
        assert_int_equal(handle, 99 + id);
    }
    assert_int_equal(token.finds, 2); /* of secret and of private keys */
}

static void a_handle_that_is_another_keys_now_is_not_used(void **state)
{
    (void)state;
    unsigned long handle = 0;
    (void)list();
    token.objects[0].handle = 300;
    token.objects[1].handle = 100;
    assert_int_equal(use(1, &handle), ERR_NONE);
    assert_int_equal(handle, 300);
    token.objects[2].handle = 0;
    token.objects[3].handle = 102;
    assert_int_equal(use(3, &handle), ERR_UNAVAILABLE); /* in use before: not "never heard of" */
}

static void a_listed_key_that_must_not_be_used_is_forgotten(void **state)
{
    (void)state;
    unsigned long handle = 0;
    (void)list();
    assert_int_equal(use(2, &handle), ERR_NONE);
    token.objects[1].wrap = true; /* attributes that can change are seen by the next look */
    (void)list();
    assert_int_equal(known_handle(2), 0);
    assert_int_equal(use(2, &handle), ERR_TOKEN);
    assert_non_null(strstr(advice.text, "WRAP"));
}

/* --- public objects, which anybody can make ---------------------------------------------- */

enum { STRANGERS = 3 };

/* Some with the CKA_ID of one of the keys, before and after
 * it. */
static void add_strangers(uint8_t id)
{
    for (size_t i = 0; i < STRANGERS; i++)
        token.objects[4 + i] =
            (struct object){104UL + i, id, "p11-kms/k8s/999999/aes-gcm/active", false, true};
    const struct object key = token.objects[id - 1];
    token.objects[id - 1] = token.objects[4];
    token.objects[4] = key;
}

static void a_public_object_makes_no_id_ambiguous(void **state)
{
    (void)state;
    add_strangers(1);
    struct told told = list();
    assert_int_equal(told.n, 3 + STRANGERS); /* what is public is for who asks to see */
    for (size_t i = 0; i < told.n; i++)
        assert_false(told.keys[i].ambiguous);
    assert_int_equal(known_handle(1), 100);
}

static void a_public_object_does_not_hide_a_key(void **state)
{
    (void)state;
    unsigned long handle = 0;
    add_strangers(2);
    assert_int_equal(use(2, &handle), ERR_NONE); /* nothing was listed: it is searched for */
    assert_int_equal(handle, 101);
    token.objects[0].id = 2;
    key_cache_clear(agent.keys);
    assert_int_equal(use(2, &handle), ERR_TOKEN);
    assert_non_null(strstr(advice.text, "two secret keys"));
}

static void a_public_object_alone_is_refused(void **state)
{
    (void)state;
    unsigned long handle = 0;
    for (size_t i = 0; i < 2; i++) {
        token.objects[4 + i] = (struct object){104UL + i, 7, labels[0], false, true};
        assert_int_equal(use(7, &handle), ERR_TOKEN);
        assert_int_equal(advice.remedy, REMEDY_HUMAN);
        assert_non_null(strstr(advice.text, ": PRIVATE is not as a KEK must have it"));
        (void)list();
        assert_int_equal(known_handle(7), 0);
    }
    assert_int_equal(handle, 0);
}

static void a_key_that_a_logout_hides_is_not_what_is_public(void **state)
{
    (void)state;
    unsigned long handle = 0;
    add_strangers(1);
    token.logged_out = true;
    assert_int_equal(use(1, &handle), ERR_UNAVAILABLE);
    assert_int_equal(advice.remedy, REMEDY_LOGIN);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_key_is_read_once),
        TEST(a_slow_token_is_asked_for_little_at_a_time),
        TEST(an_id_is_ambiguous_whoever_has_it_and_wherever),
        TEST(cursors_out_of_turn_are_invalid),
        TEST(a_key_that_vanishes_meanwhile_is_not_told),
        TEST(keys_that_always_vanish_are_an_outage),
        TEST(keys_that_a_logout_hides_are_not_gone),
        TEST(a_login_meanwhile_makes_it_begin_anew),
        TEST(listed_keys_are_used_without_a_search),
        TEST(a_handle_that_is_another_keys_now_is_not_used),
        TEST(a_listed_key_that_must_not_be_used_is_forgotten),
        TEST(a_public_object_makes_no_id_ambiguous),
        TEST(a_public_object_does_not_hide_a_key),
        TEST(a_public_object_alone_is_refused),
        TEST(a_key_that_a_logout_hides_is_not_what_is_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
