/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_external.h"

#include <stdarg.h>
#include <string.h>

enum { LINE_MAX_BYTES = 400 };

/* --- what is wrong with a key ------------------------------------------------------------ */

/* What would help, for a key whose attributes are wrong. */
static const char *attribute_advice(const struct kek *kek, char *text, size_t size)
{
    enum scheme scheme = kek->label.scheme;
    char names[160];
    uint32_t firm = kek->wrong & ~key_attributes_waivable(scheme, WAIVE_USAGE | WAIVE_LOCAL);
    bool local = (kek->wrong & key_attributes_waivable(scheme, WAIVE_LOCAL)) != 0;
    bool usage = (kek->wrong & key_attributes_waivable(scheme, WAIVE_USAGE)) != 0;
    if ((firm & (ATTR_BIT(ATTR_KEY_TYPE) | ATTR_BIT(ATTR_VALUE_LEN))) != 0)
        (void)snprintf(text, size,
                       "it must be an AES or an HMAC key of 32 bytes: make another one");
    else if (firm != 0)
        (void)snprintf(text, size, "%s cannot be waived: make another one",
                       key_attributes_list(firm, names, sizeof names));
    else
        (void)snprintf(text, size, "it %s%s%s: name %s in ring.waive to accept that",
                       local ? "was not made on this token" : "", local && usage ? " and " : "",
                       usage ? "may be used for more than sealing" : "",
                       !usage   ? "local"
                       : !local ? "usage"
                                : "local and usage");
    return text;
}

const char *ring_external_refusal(const struct kek *kek, char *text, size_t size)
{
    char names[160], advice[240];
    if (kek->ambiguous)
        (void)snprintf(text, size,
                       "KEK %s (label \"%s\") is refused: another secret key on the token has the "
                       "same CKA_ID: give it one of its own",
                       kek->key_id.text, kek->name);
    else if (kek->wrong != 0)
        (void)snprintf(text, size,
                       "KEK %s (label \"%s\") is refused: the token reports %s otherwise than a "
                       "non-exportable KEK must have it; %s",
                       kek->key_id.text, kek->name,
                       key_attributes_list(kek->wrong, names, sizeof names),
                       attribute_advice(kek, advice, sizeof advice));
    else
        (void)snprintf(text, size,
                       "KEK %s (label \"%s\") is quarantined: other key material stands behind its "
                       "CKA_ID than before; restore the token",
                       kek->key_id.text, kek->name);
    return text;
}

const char *ring_external_waived(const struct kek *kek, char *text, size_t size)
{
    char names[160];
    text[0] = '\0';
    if (kek->waived != 0)
        (void)snprintf(text, size, " (waived: %s)",
                       key_attributes_list(kek->waived, names, sizeof names));
    return text;
}

/* --- which one seals --------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static enum verdict unfit(struct health *health,
                                                                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    *health = (struct health){.ok = false};
    (void)vsnprintf(health->text, sizeof health->text, format, arguments);
    va_end(arguments);
    return VERDICT_UNFIT;
}

/* The place of what has sealed here last. Where that is not remembered, the newest may have. */
static size_t known_place(const struct external_facts *f)
{
    return f->known.text[0] ? ring_adopted_place_of(f->adopted, &f->known) : f->adopted->n;
}

/* The place of what is to seal; 0: it was never adopted. */
static size_t wanted_place(const struct external_facts *f)
{
    return f->wanted.text[0] ? ring_adopted_place_of(f->adopted, &f->wanted) : f->adopted->n;
}

static void fill_in_states(struct ring_look *look, const struct ring_adopted *adopted,
                           size_t sealing)
{
    for (size_t i = 0; i < look->n; i++) {
        struct key_label *label = &look->keys[i].label;
        size_t place = adopted ? ring_adopted_place(adopted, &look->keys[i].id) : 0;
        label->generation = (uint32_t)place;
        label->state = KEY_PRE_ACTIVE;
        if (place != 0 && place <= sealing)
            label->state = place == sealing ? KEY_ACTIVE : KEY_DEACTIVATED;
    }
}

static size_t find_usable(const struct ring_look *look, size_t *ret_n)
{
    size_t first = SIZE_MAX;
    *ret_n = 0;
    for (size_t i = look->n; i-- > 0;)
        if (kek_usable(&look->keys[i])) {
            first = i;
            ++*ret_n;
        }
    return first;
}

/* The command to run, or why there is none. */
static void say_adopt(const struct ring_look *look, char *text, size_t size)
{
    size_t n = 0, first = find_usable(look, &n);
    if (n == 1)
        (void)snprintf(text, size, "run `p11-kms keys adopt %s`", look->keys[first].key_id.text);
    else if (n > 1)
        (void)snprintf(text, size,
                       "run `p11-kms keys adopt KEY_ID` for one of the %zu that ring.select finds; "
                       "`p11-kms init` lists them",
                       n);
    else if (look->n > 0)
        (void)ring_external_refusal(&look->keys[0], text, size);
    else if (look->foreign > 0)
        (void)snprintf(text, size,
                       "ring.select finds %zu without a CKA_ID of 1 to 64 bytes: give each one of "
                       "its own",
                       look->foreign);
    else
        (void)snprintf(text, size, "ring.select finds none on the token");
}

static enum verdict none_adopted(const struct ring_look *look, const struct external_facts *f,
                                 struct health *health)
{
    char adopt[LINE_MAX_BYTES];
    say_adopt(look, adopt, sizeof adopt);
    if (f->known.text[0] && f->adopted->n == 0)
        return unfit(health,
                     "KEK %s sealed on this host before, and no key is adopted here: adopt the one "
                     "that is to seal; %s",
                     f->known.text, adopt);
    if (f->known.text[0])
        return unfit(health,
                     "KEK %s sealed on this host after the keys that are adopted here: adopt a "
                     "newer one",
                     f->known.text);
    (void)unfit(health, "ring %s has no key adopted on this host yet: %s", f->rules->name, adopt);
    return look->n == 0 ? VERDICT_EMPTY : VERDICT_UNFIT;
}

static size_t find_adopted(const struct ring_look *look, const struct adopted_key *key)
{
    for (size_t i = 0; i < look->n; i++)
        if (object_id_equal(&look->keys[i].id, &key->id))
            return i;
    return SIZE_MAX;
}

static enum verdict judge_sealer(const struct ring_look *look, const struct adopted_key *key,
                                 size_t *ret_active, struct health *health)
{
    char refusal[LINE_MAX_BYTES];
    size_t at = find_adopted(look, key);
    if (at == SIZE_MAX) {
        (void)unfit(health,
                    "KEK %s, adopted on this host, is not among the keys that ring.select finds on "
                    "the token: restore the token, or mend ring.select",
                    key->key_id.text);
        return VERDICT_MISSING;
    }
    if (!kek_usable(&look->keys[at]))
        return unfit(health, "%s", ring_external_refusal(&look->keys[at], refusal, sizeof refusal));
    *ret_active = at;
    return VERDICT_SEALS;
}

enum verdict ring_external_judge(struct ring_look *look, const struct external_facts *f,
                                 size_t *ret_active, struct health *ret_health)
{
    fill_in_states(look, NULL, 0);
    if (!f->adopted)
        return unfit(ret_health,
                     "ring-%s.adopted in stateDir is damaged or cannot be read, and nothing is "
                     "sealed: put it back, or remove it and adopt again, first the key that sealed "
                     "last%s%s",
                     f->rules->name, f->known.text[0] ? ": " : "", f->known.text);
    size_t known = known_place(f), wanted = wanted_place(f), sealing = f->adopted->n + 1;
    if (known != 0)
        sealing = wanted > known ? wanted : known;
    fill_in_states(look, f->adopted, sealing);
    if (f->adopted->n == 0 || known == 0)
        return none_adopted(look, f, ret_health);
    if (wanted == 0)
        return unfit(ret_health,
                     "ring.active names KEK %s, which is not adopted on this host: run `p11-kms "
                     "keys adopt %s`",
                     f->wanted.text, f->wanted.text);
    if (wanted < known)
        return unfit(ret_health,
                     "ring.active names KEK %s, which KEK %s superseded on this host: an active "
                     "key never goes back; name that one, or adopt a newer one",
                     f->wanted.text, f->adopted->keys[known - 1].key_id.text);
    return judge_sealer(look, &f->adopted->keys[wanted - 1], ret_active, ret_health);
}

enum verdict ring_external_look(struct ring_look *look, const char *state_dir,
                                const struct ring_rules *rules, const struct key_id *wanted,
                                const struct key_id *known, size_t *ret_active,
                                struct health *ret_health)
{
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = {NULL, 0};
    struct err e = ring_adopted_load(state_dir, rules->name, &adopted);
    const struct external_facts facts = {
        .rules = rules, .adopted = err_is(e) ? NULL : &adopted, .wanted = *wanted, .known = *known};
    return ring_external_judge(look, &facts, ret_active, ret_health);
}
