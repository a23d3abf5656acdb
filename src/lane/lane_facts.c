/* SPDX-License-Identifier: Apache-2.0 */
#include "lane_facts.h"

static void put_text(struct writer *w, const char *text)
{
    put_sized(w, bytes_of_string(text));
}

static bool get_text(struct reader *r, char *ret, size_t size)
{
    return bytes_to_string(get_sized(r), ret, size);
}

static void put_version(struct writer *w, struct fact_version version)
{
    put_u8(w, version.major);
    put_u8(w, version.minor);
}

static struct fact_version get_version(struct reader *r)
{
    struct fact_version version = {.major = get_u8(r)};
    version.minor = get_u8(r);
    return version;
}

static void put_module(struct writer *w, const struct module_facts *module)
{
    put_version(w, module->cryptoki);
    put_version(w, module->library);
    put_text(w, module->manufacturer);
    put_text(w, module->description);
}

static bool get_module(struct reader *r, struct module_facts *ret)
{
    ret->cryptoki = get_version(r);
    ret->library = get_version(r);
    return get_text(r, ret->manufacturer, sizeof ret->manufacturer) &&
           get_text(r, ret->description, sizeof ret->description);
}

static void put_token(struct writer *w, const struct token_facts *token)
{
    put_u64(w, token->slot);
    put_version(w, token->hardware);
    put_version(w, token->firmware);
    put_u32(w, token->flags);
    put_u32(w, token->quirks);
    put_u64(w, token->max_sessions);
    put_u64(w, token->open_sessions);
    put_text(w, token->slot_description);
    put_text(w, token->label);
    put_text(w, token->manufacturer);
    put_text(w, token->model);
    put_text(w, token->serial);
}

static bool get_token(struct reader *r, struct token_facts *ret)
{
    ret->slot = get_u64(r);
    ret->hardware = get_version(r);
    ret->firmware = get_version(r);
    ret->flags = get_u32(r);
    ret->quirks = get_u32(r);
    ret->max_sessions = get_u64(r);
    ret->open_sessions = get_u64(r);
    return get_text(r, ret->slot_description, sizeof ret->slot_description) &&
           get_text(r, ret->label, sizeof ret->label) &&
           get_text(r, ret->manufacturer, sizeof ret->manufacturer) &&
           get_text(r, ret->model, sizeof ret->model) &&
           get_text(r, ret->serial, sizeof ret->serial);
}

static void put_mechanism(struct writer *w, const struct mechanism_facts *mechanism)
{
    put_u8(w, mechanism->listed);
    put_u8(w, mechanism->told);
    put_u32(w, mechanism->uses);
    put_u64(w, mechanism->least);
    put_u64(w, mechanism->most);
}

static void get_mechanism(struct reader *r, struct mechanism_facts *ret)
{
    ret->listed = get_u8(r) != 0;
    ret->told = get_u8(r) != 0;
    ret->uses = get_u32(r);
    ret->least = get_u64(r);
    ret->most = get_u64(r);
}

void lane_put_facts(struct writer *w, const struct facts *facts)
{
    put_u8(w, (uint8_t)facts->part);
    switch (facts->part) {
    case FACTS_MODULE:
        put_module(w, &facts->u.module);
        return;
    case FACTS_TOKEN:
        put_token(w, &facts->u.token);
        return;
    case FACTS_MECHANISMS:
        for (unsigned i = 0; i < MECHANISMS; i++)
            put_mechanism(w, &facts->u.mechanism[i]);
        return;
    }
    w->full = true;
}

bool lane_get_facts(struct reader *r, struct facts *ret)
{
    ret->part = (enum facts_part)get_u8(r);
    switch (ret->part) {
    case FACTS_MODULE:
        return get_module(r, &ret->u.module);
    case FACTS_TOKEN:
        return get_token(r, &ret->u.token);
    case FACTS_MECHANISMS:
        for (unsigned i = 0; i < MECHANISMS; i++)
            get_mechanism(r, &ret->u.mechanism[i]);
        return true;
    }
    return false;
}
