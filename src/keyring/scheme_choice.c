/* SPDX-License-Identifier: Apache-2.0 */
#include "scheme_choice.h"

#include <string.h>

bool scheme_may_pass(struct err e)
{
    return e.code == ERR_UNAVAILABLE || e.code == ERR_INTERNAL || e.code == ERR_EXHAUSTED;
}

/* Tries a second time with a fresh agent where that may change something; where the token is away,
 * that agent does not start, which *lost then says. */
static struct err try_scheme(struct maker *m, enum scheme scheme, struct err *lost)
{
    struct err e = maker_self_test(m, scheme);
    *lost = scheme_may_pass(e) ? maker_fresh(m) : ERR_OK;
    return scheme_may_pass(e) && !err_is(*lost) ? maker_self_test(m, scheme) : e;
}

struct err scheme_require(struct maker *m, enum scheme scheme)
{
    char why[MAKER_TEXT_MAX + 1];
    struct err e = maker_self_test(m, scheme);
    if (!err_is(e))
        return e;
    if (e.code == ERR_UNSUPPORTED) /* the token's fault, whoever asked */
        e.code = ERR_TOKEN;
    memcpy(why, m->text, sizeof why);
    return maker_say(m, e, "the token does not pass for scheme %s: %.420s", scheme_name(scheme),
                     why);
}

static bool same_reason(const struct scheme_choice *c, size_t i)
{
    return i + 1 < c->n && strcmp(c->tried[i].why, c->tried[i + 1].why) == 0;
}

/* Yields ERR_TOKEN. A reason that several have in a row is told once. */
static struct err give_up(struct maker *m, const struct scheme_choice *c)
{
    char text[MAKER_TEXT_MAX + 1] = "";
    size_t len = 0;
    for (size_t i = 0; i < c->n && len < sizeof text; i++) {
        bool same = same_reason(c, i);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s%s",
                                scheme_name(c->tried[i].scheme), same ? ", " : ": ",
                                same ? "" : c->tried[i].why, same || i + 1 == c->n ? "" : "; ");
    }
    return maker_say(m, err_make(ERR_TOKEN, "scheme"), "the token passes for no scheme: %s", text);
}

struct err scheme_choose(struct maker *m, struct scheme_choice *ret)
{
    struct scheme_choice choice = {.scheme = SCHEME_NONE};
    while (choice.n < SCHEMES && choice.scheme == SCHEME_NONE) {
        struct scheme_trial *trial = &choice.tried[choice.n++];
        *trial = (struct scheme_trial){.scheme = scheme_by_preference(choice.n - 1)};
        struct err lost, e = try_scheme(m, trial->scheme, &lost);
        TRY(lost);
        if (err_is(e)) {
            (void)snprintf(trial->why, sizeof trial->why, "%.200s", m->text);
            TRY(maker_fresh(m)); /* the module may have been left in any state */
        } else {
            choice.scheme = trial->scheme;
        }
    }
    if (choice.scheme == SCHEME_NONE)
        return give_up(m, &choice);
    *ret = choice;
    return ERR_OK;
}
