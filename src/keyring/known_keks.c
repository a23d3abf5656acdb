/* SPDX-License-Identifier: Apache-2.0 */
#include "known_keks.h"

#include <stdlib.h>
#include <string.h>

void known_keks_clear(struct known_keks *known)
{
    free(known->ids);
    *known = (struct known_keks){NULL, 0, 0};
}

/* Where it is, or where it belongs. */
static size_t position(const struct known_keks *known, const struct key_id *id, bool *ret_found)
{
    size_t low = 0, high = known->n;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(known->ids[middle].text, id->text);
        *ret_found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

bool known_keks_has(const struct known_keks *known, const struct key_id *id)
{
    bool found;
    (void)position(known, id, &found);
    return found;
}

static struct err make_room(struct known_keks *known)
{
    if (known->n < known->room)
        return ERR_OK;
    size_t room = known->room > 0 ? 2 * known->room : 16;
    struct key_id *grown = realloc(known->ids, room * sizeof *grown);
    if (!grown)
        return err_make(ERR_EXHAUSTED, "known_keks");
    known->ids = grown;
    known->room = room;
    return ERR_OK;
}

struct err known_keks_add(struct known_keks *known, const struct key_id *id)
{
    bool found;
    size_t at = position(known, id, &found);
    if (found)
        return ERR_OK;
    TRY(make_room(known));
    memmove(&known->ids[at + 1], &known->ids[at], (known->n - at) * sizeof *known->ids);
    known->ids[at] = *id;
    known->n++;
    return ERR_OK;
}

void known_keks_remove(struct known_keks *known, const struct key_id *id)
{
    bool found;
    size_t at = position(known, id, &found);
    if (!found)
        return;
    known->n--;
    memmove(&known->ids[at], &known->ids[at + 1], (known->n - at) * sizeof *known->ids);
}

struct loading {
    struct known_keks known;
    struct err e;
};

static void append(void *context, const struct key_id *id)
{
    struct loading *loading = context;
    if (err_is(loading->e) || err_is(loading->e = make_room(&loading->known)))
        return;
    loading->known.ids[loading->known.n++] = *id;
}

static int by_text(const void *a, const void *b)
{
    const struct key_id *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* Takes over what a function of ring_state.h has listed, and how that ended. */
static struct err take(struct loading loading, struct err e, struct known_keks *ret)
{
    if (!err_is(e))
        e = loading.e;
    if (err_is(e)) {
        known_keks_clear(&loading.known);
        return e;
    }
    if (loading.known.n > 0)
        qsort(loading.known.ids, loading.known.n, sizeof *loading.known.ids, by_text);
    *ret = loading.known;
    return ERR_OK;
}

struct err known_keks_load(const char *state_dir, const char *ring, struct known_keks *ret)
{
    struct loading loading = {{NULL, 0, 0}, ERR_OK};
    struct err e = ring_state_known(state_dir, ring, append, &loading);
    return take(loading, e, ret);
}

struct err known_keks_load_lost(const char *state_dir, const char *ring, struct known_keks *ret)
{
    struct loading loading = {{NULL, 0, 0}, ERR_OK};
    struct err e = ring_state_lost(state_dir, ring, append, &loading);
    return take(loading, e, ret);
}

static int by_key_id(const void *a, const void *b)
{
    const struct kek *kek = b;
    return strcmp(a, kek->key_id.text);
}

/* A ring that changed its mode names its KEKs in another form now, and they are none the less
 * there. */
static bool has_other_form(const struct ring_look *look, const struct key_id *key_id)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    struct key_id forms[2];
    if (look->n == 0 || err_is(key_id_parse(bytes_of_string(key_id->text), ring, &id)))
        return false;
    bool hex = !err_is(key_id_make_external(ring, &id, &forms[0])) &&
               bsearch(forms[0].text, look->keys, look->n, sizeof *look->keys, by_key_id);
    return hex || (!err_is(key_id_make(ring, &id, &forms[1])) &&
                   bsearch(forms[1].text, look->keys, look->n, sizeof *look->keys, by_key_id));
}

struct err known_keks_missing(const struct known_keks *known, const struct ring_look *look,
                              struct known_keks *ret)
{
    size_t at = 0;
    for (size_t i = 0; i < known->n; i++) {
        const char *id = known->ids[i].text;
        while (at < look->n && strcmp(look->keys[at].key_id.text, id) < 0)
            at++;
        bool found = at < look->n && strcmp(look->keys[at].key_id.text, id) == 0;
        if (!found && !has_other_form(look, &known->ids[i]))
            TRY(known_keks_add(ret, &known->ids[i]));
    }
    return ERR_OK;
}
