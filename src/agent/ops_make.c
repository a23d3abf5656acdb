/* SPDX-License-Identifier: Apache-2.0 */
/* Generating and relabelling: only in an agent started for that. */
#include "ops.h"
#include "p11_key.h"
#include "scheme.h"

#include <string.h>

struct err op_generate(struct lane *lane, const struct lane_request *request,
                       struct lane_reply *ret, struct advice *advice)
{
    const struct key_label *label = &request->u.generate.label;
    const struct scheme_ops *scheme = scheme_find(label->scheme);
    char text[KEY_LABEL_MAX + 1];
    uint8_t uuid[UUID_BYTES];
    struct object_id id;
    unsigned long handle;
    if (!scheme || strcmp(label->ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_INVALID, "generate"), REMEDY_CALLER,
                      "this agent makes keys of ring %s alone", lane->agent->config.ring);
    TRY(key_label_format(label, text));
    TRY(uuid_make(uuid));
    TRY(object_id_from(bytes_of(uuid, sizeof uuid), &id));
    TRY(scheme_generate(scheme, &lane->session, &id, text, &handle));
    ret->u.made = id;
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

static struct err set_label(const struct p11_session *session, unsigned long handle,
                            const char *text, struct advice *advice)
{
    struct p11_key key;
    TRY(p11_key_relabel(session, handle, text));
    TRY(p11_key_read(session, handle, &key));
    if (strcmp(key.label, text) != 0)
        return advise(advice, err_make(ERR_TOKEN, "relabel"), REMEDY_HUMAN,
                      "the token said yes to a new label and did not keep it: %s", text);
    return ERR_OK;
}

struct err op_relabel(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                      struct advice *advice)
{
    struct key_label now;
    struct p11_key key;
    char text[KEY_LABEL_MAX + 1];
    unsigned long handle;
    (void)ret;
    TRY(key_label_format(&request->u.relabel.label, text));
    TRY(p11_key_find(&lane->session, &request->u.relabel.id, &handle));
    TRY(p11_key_read(&lane->session, handle, &key));
    if (err_is(key_label_parse(bytes_of_string(key.label), &now)) ||
        strcmp(now.ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_REFUSED, "relabel"), REMEDY_CALLER,
                      "the object is no key of ring %s", lane->agent->config.ring);
    TRY(check_change(&now, &request->u.relabel.label, advice));
    return set_label(&lane->session, handle, text, advice);
}
