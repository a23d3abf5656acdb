/* SPDX-License-Identifier: Apache-2.0 */
/* Generating and relabelling: only in an agent started for that. */
#include "keys.h"
#include "ops.h"
#include "p11_ckr.h"
#include "p11_key.h"
#include "scheme.h"

#include <string.h>

static struct err format_role(const struct key_label *of, uint32_t role,
                              char text[static KEY_LABEL_MAX + 1])
{
    struct key_label label = *of;
    label.role = role;
    return key_label_format(&label, text);
}

struct err explain_forbidden(const struct lane *lane, struct err e, const char *does,
                             struct advice *advice)
{
    if (e.kind != ERR_KIND_CKR || !p11_ckr_forbids(e.native))
        return e;
    if (err_is(key_check_login(lane, advice))) /* nobody is logged in: that is another matter */
        return e;
    e.code = ERR_TOKEN;
    return advise(advice, e, REMEDY_HUMAN,
                  "the token %s for this user (%s: %s): log in as one who may, or see ring.mode "
                  "external",
                  does, e.where, p11_ckr_find(e.native)->name);
}

struct err op_generate(struct lane *lane, const struct lane_request *request,
                       struct lane_reply *ret, struct advice *advice)
{
    const struct key_label *label = &request->u.generate.label;
    const struct scheme_ops *scheme = scheme_find(label->scheme);
    char texts[KEY_ROLES_MAX][KEY_LABEL_MAX + 1];
    struct key_set keys = {.scheme = label->scheme};
    uint8_t uuid[UUID_BYTES];
    if (!scheme || strcmp(label->ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_INVALID, "generate"), REMEDY_CALLER,
                      "this agent makes keys of ring %s alone", lane->agent->config.ring);
    for (uint32_t i = 0; i < scheme_roles(label->scheme); i++)
        TRY(format_role(label, i, texts[i]));
    TRY(uuid_make(uuid));
    TRY(object_id_from(bytes_of(uuid, sizeof uuid), &keys.ids[0]));
    struct err e = key_set_generate(&lane->session, &keys, texts);
    TRY(explain_forbidden(lane, e, "makes no key", advice));
    ret->u.made = keys.ids[0];
    return ERR_OK;
}

/* States only worsen, and nothing else in a label ever changes. */
static struct err check_change(const struct key_label *from, const struct key_label *to,
                               struct advice *advice)
{
    if (strcmp(from->ring, to->ring) != 0 || from->generation != to->generation ||
        from->scheme != to->scheme)
        return advise(advice, err_make(ERR_REFUSED, "relabel"), REMEDY_CALLER,
                      "a label's ring, generation and scheme never change");
    if (to->state < from->state)
        return advise(advice, err_make(ERR_REFUSED, "relabel"), REMEDY_CALLER,
                      "a %s key does not become %s again", key_state_name(from->state),
                      key_state_name(to->state));
    return ERR_OK;
}

/* Another replica may have changed the state since the asker looked. To deactivate a KEK that was
 * pre-active is no matter, and one that seals by now needs a successor first: whoever decided must
 * decide again. What is done already does no harm. */
static struct err check_seen(const struct key_label *now, enum key_state seen,
                             const struct key_label *to, struct advice *advice)
{
    if (now->state <= seen || now->state == to->state)
        return ERR_OK;
    return advise(advice, err_make(ERR_REFUSED, "relabel"), REMEDY_CALLER,
                  "the key is %s by now, and was %s when it was looked at: look again, and order "
                  "again what is still wanted",
                  key_state_name(now->state), key_state_name(seen));
}

static struct err set_label(const struct lane *lane, const struct key_set *keys, size_t role,
                            const char *text, struct advice *advice)
{
    struct p11_key key;
    struct err e = p11_key_relabel(&lane->session, keys->handles[role], text);
    TRY(explain_forbidden(lane, e, "changes no label", advice));
    TRY(p11_key_read(&lane->session, key_role_class(keys->scheme, role), keys->handles[role],
                     &key));
    if (strcmp(key.label, text) != 0)
        return advise(advice, err_make(ERR_TOKEN, "relabel"), REMEDY_HUMAN,
                      "the token said yes to a new label and did not keep it: %s", text);
    return ERR_OK;
}

/* Labels one of the objects. The state of the KEK is the worst that they say, so that one change
 * half done is done. */
static struct err relabel_role(struct lane *lane, const struct key_set *keys, uint32_t role,
                               const struct lane_request *request, struct advice *advice)
{
    const struct key_label *to = &request->u.relabel.label;
    struct key_label now;
    struct p11_key key;
    char text[KEY_LABEL_MAX + 1];
    TRY(format_role(to, role, text));
    TRY(p11_key_read(&lane->session, key_role_class(keys->scheme, role), keys->handles[role],
                     &key));
    if (key_attributes_public(&key.attributes) ||
        err_is(key_label_parse(bytes_of_string(key.label), &now)) ||
        strcmp(now.ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_REFUSED, "relabel"), REMEDY_CALLER,
                      "the object is no key of ring %s", lane->agent->config.ring);
    TRY(check_change(&now, to, advice));
    TRY(check_seen(&now, request->u.relabel.seen, to, advice));
    return set_label(lane, keys, role, text, advice);
}

struct err op_relabel(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                      struct advice *advice)
{
    struct key_set keys = {.scheme = request->u.relabel.label.scheme,
                           .ids = {request->u.relabel.id}};
    (void)ret;
    TRY(key_find(lane, &keys, advice));
    for (uint32_t i = 0; i < scheme_roles(keys.scheme); i++)
        TRY(relabel_role(lane, &keys, i, request, advice));
    return ERR_OK;
}
