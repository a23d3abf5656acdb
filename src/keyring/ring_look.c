/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_look.h"

#include "cleanup.h"

#include <stdarg.h>
#include <string.h>

/* An agent is not trusted with our memory or our time. */
enum { LOOK_KEYS_MAX = 65536, LOOK_MS_MAX = 600000 };

void ring_look_clear(struct ring_look *look)
{
    free(look->keys);
    *look = (struct ring_look){.n = 0};
}

/* What the label of a managed ring's KEK says. False when the object only looks like one, which
 * anybody can make as a public one. */
static bool read_managed(const struct ring_rules *rules, struct kek *key)
{
    return !key_attributes_public(&key->attributes) &&
           !err_is(key_label_parse(bytes_of_string(key->name), &key->label)) &&
           strcmp(key->label.ring, rules->name) == 0 &&
           !err_is(key_id_make(rules->name, &key->id, &key->key_id));
}

/* An external ring's labels are the operator's. The key's type says the scheme; state and
 * generation come from what was adopted (ring_external.h). */
static bool read_external(const struct ring_rules *rules, struct kek *key)
{
    key->external = true;
    key->label = (struct key_label){.scheme = key_type_scheme(key->attributes.type),
                                    .state = KEY_PRE_ACTIVE};
    memcpy(key->label.ring, rules->name, sizeof key->label.ring);
    return !err_is(key_id_make_external(rules->name, &key->id, &key->key_id));
}

static bool kek_from(const struct listed_key *listed, const struct ring_rules *rules,
                     struct kek *ret)
{
    struct kek key = {.id = listed->id, .attributes = listed->attributes};
    memcpy(key.name, listed->label, sizeof key.name);
    if (!(rules->external ? read_external : read_managed)(rules, &key))
        return false;
    uint32_t wrong = key_attributes_wrong(key.label.scheme, key.label.role, &listed->attributes);
    key.waived = wrong & key_attributes_waivable(key.label.scheme, rules->waive);
    key.wrong = wrong & ~key.waived;
    key.ambiguous = listed->ambiguous;
    *ret = key;
    return true;
}

/* Doubles: thousands of keys come a page at a time. */
static struct err make_room(struct ring_look *look, size_t *room, size_t n)
{
    size_t wanted = *room ? *room : LANE_LIST_PAGE;
    while (wanted < n)
        wanted *= 2;
    if (wanted == *room)
        return ERR_OK;
    struct kek *grown = reallocarray(look->keys, wanted, sizeof *grown);
    if (!grown)
        return err_make(ERR_EXHAUSTED, "ring_look_take");
    look->keys = grown;
    *room = wanted;
    return ERR_OK;
}

static struct err add_page(struct ring_look *look, size_t *room, const struct lane_reply *page,
                           const struct ring_rules *rules)
{
    struct bytes records = page->u.list.records;
    TRY(make_room(look, room, look->n + page->u.list.count));
    for (uint32_t i = 0; i < page->u.list.count; i++) {
        struct listed_key listed;
        TRY(lane_next_key(&records, &listed));
        if (kek_from(&listed, rules, &look->keys[look->n])) {
            look->n++;
            continue;
        }
        look->foreign++;
        look->publics += key_attributes_public(&listed.attributes);
    }
    if (records.len != 0)
        return err_make(ERR_INTERNAL, "ring_look_take");
    return ERR_OK;
}

/* Public ones come after others of their key_id. */
static int by_key_id(const void *a, const void *b)
{
    const struct kek *x = a, *y = b;
    int order = strcmp(x->key_id.text, y->key_id.text);
    return order ? order
                 : key_attributes_public(&x->attributes) - key_attributes_public(&y->attributes);
}

/* In an external ring a public key is told, and refused. But anybody can make one with the CKA_ID
 * of a KEK: that one alone is told then. Keys are sorted. */
static void drop_shadows(struct ring_look *look)
{
    size_t kept = 0;
    for (size_t i = 0; i < look->n; i++) {
        const struct kek *key = &look->keys[i];
        bool shadow = kept > 0 && key_attributes_public(&key->attributes) &&
                      strcmp(key->key_id.text, look->keys[kept - 1].key_id.text) == 0;
        if (!shadow)
            look->keys[kept++] = *key;
    }
    look->publics += look->n - kept;
    look->n = kept;
}

/* Keys are sorted. NULL: object number role of this KEK is not among them. */
static const struct kek *find_role(const struct ring_look *look, const struct kek *first,
                                   uint32_t role)
{
    struct kek wanted = {.external = false};
    if (err_is(object_id_of_role(&first->id, first->label.scheme, role, &wanted.id)) ||
        err_is(key_id_make(first->label.ring, &wanted.id, &wanted.key_id)))
        return NULL;
    const struct kek *found = bsearch(&wanted, look->keys, look->n, sizeof *look->keys, by_key_id);
    return found && found->label.role == role && found->label.scheme == first->label.scheme &&
                   found->label.generation == first->label.generation
               ? found
               : NULL;
}

/* What the objects of a KEK are, all together. Not 0: the role of one that is not there, and so
 * neither is the KEK. */
static uint32_t join(const struct ring_look *look, struct kek *first)
{
    for (uint32_t i = 1; i < scheme_roles(first->label.scheme); i++) {
        const struct kek *other = find_role(look, first, i);
        if (!other)
            return i;
        first->wrong |= other->wrong;
        first->ambiguous |= other->ambiguous;
        if (other->label.state > first->label.state) /* a change that was done by half is done */
            first->label.state = other->label.state;
    }
    return 0;
}

static void note_broken(struct ring_look *look, const struct kek *first, uint32_t lacks)
{
    if (look->broken++ > 0 && !kek_newer(first, &look->newest_broken))
        return;
    look->newest_broken = *first;
    look->lacks = scheme_role_name(first->label.scheme, lacks);
}

/* Makes one KEK of all its objects. What is left over is no KEK. */
static void join_all(struct ring_look *look)
{
    size_t objects = 0, whole = 0;
    for (size_t i = 0; i < look->n; i++) {
        struct kek *key = &look->keys[i];
        if (key->label.role != 0)
            continue;
        uint32_t lacks = join(look, key);
        if (lacks == 0) {
            objects += scheme_roles(key->label.scheme);
        } else {
            note_broken(look, key, lacks);
            key->label.role = KEY_ROLES_MAX; /* no KEK's */
        }
    }
    look->foreign += look->n - objects - look->broken;
    for (size_t i = 0; i < look->n; i++)
        if (look->keys[i].label.role == 0)
            look->keys[whole++] = look->keys[i];
    look->n = whole;
}

struct err ring_look_take(int lane, int timeout_ms, const struct lane_watch *watch,
                          const struct ring_rules *rules, struct ring_look *ret,
                          struct lane_status *ret_status)
{
    CLEANUP(ring_look_clear) struct ring_look look = {.n = 0};
    struct lane_request request = {.op = LANE_LIST, .number = 1};
    AUTO_FREE uint8_t *memory = malloc(LANE_LIST_PACKET_MAX);
    int64_t end = clock_monotonic_ns() + (int64_t)LOOK_MS_MAX * 1000000;
    size_t room = 0;
    if (!memory || !bytes_to_string(bytes_of_string(rules->name), request.u.list.ring,
                                    sizeof request.u.list.ring))
        return err_make(ERR_EXHAUSTED, "ring_look_take");
    do {
        struct lane_reply reply;
        TRY(lane_call_watched(lane, &request, timeout_ms, watch, memory, LANE_LIST_PACKET_MAX,
                              &reply));
        if (reply.status.code != ERR_NONE) {
            *ret_status = reply.status;
            return lane_status_err(&reply);
        }
        TRY(add_page(&look, &room, &reply, rules));
        if (reply.u.list.next != 0 && (reply.u.list.next <= request.u.list.cursor ||
                                       look.n + look.foreign > LOOK_KEYS_MAX)) /* it never ends */
            return err_make(ERR_INTERNAL, "ring_look_take");
        if (reply.u.list.next != 0 && clock_monotonic_ns() >= end)
            return err_make(ERR_DEADLINE, "ring_look_take");
        if (rules->external && reply.u.list.next == 0)
            look.foreign += reply.u.list.nameless;
        request.u.list.cursor = reply.u.list.next;
        request.number++;
    } while (request.u.list.cursor != 0);
    if (look.n > 0)
        qsort(look.keys, look.n, sizeof *look.keys, by_key_id);
    drop_shadows(&look);
    join_all(&look);
    *ret = look;
    look.keys = NULL;
    return ERR_OK;
}

__attribute__((format(printf, 2, 3))) static void say(struct health *health, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    *health = (struct health){.ok = false};
    (void)vsnprintf(health->text, sizeof health->text, format, arguments);
    va_end(arguments);
}

size_t ring_look_newest_active(const struct ring_look *look)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < look->n; i++)
        if (look->keys[i].label.state == KEY_ACTIVE &&
            (best == SIZE_MAX || kek_newer(&look->keys[i], &look->keys[best])))
            best = i;
    return best;
}

/* By CKA_ID: the ring's mode may have changed since, and with it the form of its key_ids. */
static const struct kek *find_key(const struct ring_look *look, const struct key_id *key_id)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    if (err_is(key_id_parse(bytes_of_string(key_id->text), ring, &id)))
        return NULL;
    for (size_t i = 0; i < look->n; i++)
        if (object_id_equal(&look->keys[i].id, &id))
            return &look->keys[i];
    return NULL;
}

static bool is_fit(const struct kek *key, struct health *health)
{
    char names[256];
    if (key->ambiguous) {
        say(health,
            "KEK %s: two keys on the token have its CKA_ID; remove the one that "
            "is not from p11-kms",
            key->key_id.text);
        return false;
    }
    if (key->wrong != 0) {
        say(health,
            "KEK %s is refused: the token reports these attributes otherwise than a "
            "non-exportable KEK must have them: %s",
            key->key_id.text, key_attributes_list(key->wrong, names, sizeof names));
        return false;
    }
    return true;
}

void ring_look_add_broken(const struct ring_look *look, char *text, size_t size)
{
    char more[48] = "";
    size_t len = strlen(text);
    if (look->broken == 0)
        return;
    if (look->broken > 1)
        (void)snprintf(more, sizeof more, " (the newest of %zu such KEKs)", look->broken);
    (void)snprintf(text + len, size - len,
                   "%sKEK %s on the token lacks its %s object%s: restore it, or, if nothing sealed "
                   "with it is needed any more, destroy what is left",
                   len > 0 ? "; " : "", look->newest_broken.key_id.text, look->lacks, more);
}

const char *ring_look_how_gone(const struct ring_look *look, const struct key_id *key_id)
{
    bool left = look->broken > 0 && strcmp(look->newest_broken.key_id.text, key_id->text) == 0;
    return left ? "whole " : "";
}

static enum verdict missing(const struct ring_look *look, const struct ring_memory *known,
                            struct health *ret_health)
{
    say(ret_health,
        "KEK %s, active on this host before, is not %son the token any more: "
        "restore the token, nothing is made in its place",
        known->key_id.text, ring_look_how_gone(look, &known->key_id));
    ring_look_add_broken(look, ret_health->text, sizeof ret_health->text);
    return VERDICT_MISSING;
}

static enum verdict none_active(const struct ring_look *look, const char *ring,
                                struct health *ret_health)
{
    if (look->n == 0 && look->broken == 0) {
        say(ret_health, "ring %s has no KEK on this token yet: run `p11-kms init`", ring);
        return VERDICT_EMPTY;
    }
    say(ret_health,
        look->n == 0 ? "ring %s has no whole KEK on this token"
                     : "ring %s has KEKs on this token, but none is active",
        ring);
    ring_look_add_broken(look, ret_health->text, sizeof ret_health->text);
    return VERDICT_UNFIT;
}

/* The KEK that was active here before is not the newest active one. */
static enum verdict regressed(const struct ring_look *look, const struct ring_memory *known,
                              struct health *ret_health)
{
    const struct kek *before = find_key(look, &known->key_id);
    if (before)
        say(ret_health,
            "KEK %s, active on this host before, is %s now, and its predecessor must "
            "not become active again: make a successor with `p11-kms keys rotate`",
            known->key_id.text, key_state_name(before->label.state));
    else
        say(ret_health,
            "KEK %s, active on this host before, was acknowledged as lost, and its predecessor "
            "must not become active again: make a successor with `p11-kms keys rotate`",
            known->key_id.text);
    return VERDICT_UNFIT;
}

int ring_look_compare(const struct kek *kek, const struct ring_memory *known)
{
    if (kek->label.generation != known->generation)
        return kek->label.generation < known->generation ? -1 : 1;
    return strcmp(kek->key_id.text, known->key_id.text);
}

enum verdict ring_look_judge(const struct ring_look *look, const char *ring,
                             const struct ring_memory *known, size_t *ret_active,
                             struct health *ret_health)
{
    size_t best = ring_look_newest_active(look);
    bool knows = known->key_id.text[0] != '\0';
    if (knows && !known->lost && !find_key(look, &known->key_id))
        return missing(look, known, ret_health);
    if (best == SIZE_MAX)
        return none_active(look, ring, ret_health);
    if (knows && ring_look_compare(&look->keys[best], known) < 0)
        return regressed(look, known, ret_health);
    if (!is_fit(&look->keys[best], ret_health))
        return VERDICT_UNFIT;
    *ret_active = best;
    return VERDICT_SEALS;
}
