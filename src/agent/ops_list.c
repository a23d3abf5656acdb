/* SPDX-License-Identifier: Apache-2.0 */
/* Listing a ring, some of it a request. No request may keep a slow token busy for longer than
 * token.timeout, however many keys it holds: so the handles are collected first, then their objects
 * are read for a while in each request, with no keys in the reply, and only then, when every CKA_ID
 * on the token is known, the keys are told, a page a request. The keys are remembered for seals
 * and opens too: looking one up by its CKA_ID costs a token as much as all the handles.
 *
 * All attributes are read in every look, though few can change: telling from the CKA_ID and the
 * label alone that a key is one seen before saves a third of the time on SoftHSM and nothing on a
 * token behind a network, where each object costs a round trip. */
#include "keys.h"
#include "ops.h"
#include "p11_ckr.h"
#include "ring_keys.h"

#include <stdlib.h>
#include <string.h>

enum {
    WORK_MS = 50,    /* of one request; token.timeout is at least 100 */
    COLLECTIONS = 4, /* how often keys may vanish under our hands */
    KEYS_MAX = 131072
};

/* A CKA_ID on the token that is not a public object's, and the ring's key that has it. */
struct sighting {
    struct object_id id;
    enum key_class of; /* keys of two classes may share one */
    uint32_t key;      /* index into keys; UINT32_MAX: not the ring's */
};

/* One of the ring's. */
struct ring_key {
    struct listed_key listed;
    unsigned long handle;
    struct key_fitness fit;
};

enum listing_phase { LISTING_COLLECT, LISTING_READ, LISTING_TELL, LISTING_TOLD };

struct listing {
    enum listing_phase phase;
    uint32_t cursor;     /* the request to come */
    unsigned long epoch; /* of the key cache, from before the handles were found */
    unsigned collections;
    bool vanished;            /* a handle was stale when it was read */
    unsigned long *handles;   /* those of secret keys, then those of private ones */
    size_t n_secret, n, next; /* how many handles, and the first that was not read */
    struct sighting *seen;
    size_t n_seen;
    struct ring_key *keys;
    uint32_t count, told;
    uint32_t nameless; /* keys of the ring without a CKA_ID that we carry */
    uint8_t page[LANE_LIST_PACKET_MAX];
};

/* Keeps the page, which a reply may point into. */
static void forget_keys(struct listing *listing)
{
    free(TAKE_PTR(listing->handles));
    free(TAKE_PTR(listing->seen));
    free(TAKE_PTR(listing->keys));
}

void listing_free(struct listing *listing)
{
    if (listing)
        forget_keys(listing);
    free(listing);
}

/* An operator's own KEKs are secret keys. */
static struct err find_handles(const struct lane *lane, struct listing *listing)
{
    AUTO_FREE unsigned long *private = NULL;
    size_t n = 0;
    TRY(p11_key_find_all(&lane->session, KEY_CLASS_SECRET, &listing->handles, &listing->n_secret));
    if (!lane->agent->config.external)
        TRY(p11_key_find_all(&lane->session, KEY_CLASS_PRIVATE, &private, &n));
    listing->n = listing->n_secret + n;
    if (n == 0)
        return ERR_OK;
    unsigned long *all = reallocarray(listing->handles, listing->n, sizeof *all);
    if (!all)
        return err_make(ERR_EXHAUSTED, "listing");
    memcpy(all + listing->n_secret, private, n * sizeof *all);
    listing->handles = all;
    return ERR_OK;
}

static struct err collect(struct lane *lane, struct listing *listing, struct advice *advice)
{
    if (listing->collections++ == COLLECTIONS)
        return advise(advice, err_make(ERR_UNAVAILABLE, "list keys"), REMEDY_AGENT,
                      "keys kept vanishing from the token while they were listed");
    forget_keys(listing);
    listing->epoch = key_cache_epoch(lane->agent->keys);
    listing->vanished = false;
    TRY(find_handles(lane, listing));
    if (listing->n > KEYS_MAX)
        return advise(advice, err_make(ERR_EXHAUSTED, "list keys"), REMEDY_HUMAN,
                      "the token holds %zu keys, more than %d: give the ring a token of its "
                      "own",
                      listing->n, KEYS_MAX);
    listing->seen = calloc(listing->n + 1, sizeof *listing->seen);
    listing->keys = calloc(listing->n + 1, sizeof *listing->keys);
    if (!listing->seen || !listing->keys)
        return err_make(ERR_EXHAUSTED, "listing");
    listing->next = listing->n_seen = 0;
    listing->count = listing->told = listing->nameless = 0;
    listing->phase = LISTING_READ;
    return ERR_OK;
}

/* Not of a public object: anybody can make one with the CKA_ID of any of a KEK's objects. */
static void note_sighting(struct listing *listing, enum key_class of, const struct p11_key *key,
                          uint32_t index)
{
    if (!key_attributes_public(&key->attributes))
        listing->seen[listing->n_seen++] = (struct sighting){.id = key->id, .of = of, .key = index};
}

/* Keys of other labels count for the ambiguity of ids alone. */
static void note(const struct agent *agent, struct listing *listing, enum key_class of,
                 const struct p11_key *key)
{
    bool selected = ring_selects(agent, key);
    if (key->id.len == 0) {
        listing->nameless += selected;
        return;
    }
    note_sighting(listing, of, key, selected ? listing->count : UINT32_MAX);
    if (!selected)
        return;
    struct ring_key *found = &listing->keys[listing->count++];
    found->listed = (struct listed_key){.id = key->id, .attributes = key->attributes};
    ring_show_label(key->label, found->listed.label);
    found->handle = key->handle;
    found->fit = key_fitness(agent, key);
}

static struct err read_next(struct lane *lane, struct listing *listing)
{
    enum key_class of = listing->next < listing->n_secret ? KEY_CLASS_SECRET : KEY_CLASS_PRIVATE;
    struct p11_key key;
    struct err e = p11_key_read(&lane->session, of, listing->handles[listing->next], &key);
    if (e.kind == ERR_KIND_CKR && p11_ckr_stale_handle(e.native))
        listing->vanished = true;
    else
        TRY(e);
    if (!err_is(e))
        note(lane->agent, listing, of, &key);
    listing->next++;
    return ERR_OK;
}

static int compare_sightings(const void *a, const void *b)
{
    const struct sighting *s = a, *t = b;
    const struct object_id *x = &s->id, *y = &t->id;
    int lengths = (x->len > y->len) - (x->len < y->len);
    int bytes = lengths ? lengths : memcmp(x->data, y->data, x->len);
    return bytes ? bytes : (s->of > t->of) - (s->of < t->of);
}

static void mark_ambiguous(struct listing *listing, const struct sighting *seen)
{
    if (seen->key != UINT32_MAX)
        listing->keys[seen->key].listed.ambiguous = true;
}

static void find_ambiguous(struct listing *listing)
{
    struct sighting *seen = listing->seen;
    qsort(seen, listing->n_seen, sizeof *seen, compare_sightings);
    for (size_t i = 1; i < listing->n_seen; i++) {
        if (compare_sightings(&seen[i - 1], &seen[i]) != 0)
            continue;
        mark_ambiguous(listing, &seen[i - 1]);
        mark_ambiguous(listing, &seen[i]);
    }
}

static bool may_be_used(const struct ring_key *key)
{
    return key->fit.scheme != SCHEME_NONE && !key->listed.ambiguous;
}

/* Object number role of a KEK, by the sightings, which are sorted now. NULL: it was not seen. */
static const struct ring_key *partner(const struct listing *listing, const struct ring_key *first,
                                      size_t role)
{
    struct sighting wanted = {.of = key_role_class(first->fit.scheme, role)};
    if (err_is(object_id_of_role(&first->listed.id, first->fit.scheme, role, &wanted.id)))
        return NULL;
    const struct sighting *seen =
        bsearch(&wanted, listing->seen, listing->n_seen, sizeof *listing->seen, compare_sightings);
    return seen && seen->key != UINT32_MAX ? &listing->keys[seen->key] : NULL;
}

/* Whether the KEK whose first object this is may be used. */
static bool whole_and_fit(const struct listing *listing, const struct ring_key *first)
{
    for (size_t i = 1; i < scheme_roles(first->fit.scheme); i++) {
        const struct ring_key *key = partner(listing, first, i);
        if (!key || !may_be_used(key) || key->fit.scheme != first->fit.scheme || key->fit.role != i)
            return false;
    }
    return may_be_used(first);
}

/* For seals and opens. What must not be used is forgotten, and its next use says why; a key that
 * was not found is not: its use then tells a key that is gone from one that never was. Public
 * objects say nothing of the KEK whose CKA_ID they have. A KEK of several objects, which may have
 * more to prove, is looked up when it is used first. */
static void remember(struct key_cache *cache, const struct listing *listing)
{
    for (uint32_t i = 0; i < listing->count; i++) {
        const struct ring_key *key = &listing->keys[i];
        const struct key_set keys = {.scheme = key->fit.scheme,
                                     .handles = {key->handle},
                                     .ids = {key->listed.id},
                                     .types = {key->listed.attributes.type}};
        if (key->fit.role > 0 || key_attributes_public(&key->listed.attributes))
            continue;
        if (!whole_and_fit(listing, key))
            (void)key_cache_drop(cache, &key->listed.id);
        else if (scheme_roles(key->fit.scheme) == 1)
            key_cache_add(cache, listing->epoch, &keys);
    }
}

/* Every handle was read. A listing in which one was stale is taken anew, so that what is told is
 * what the token held at one moment: a stale handle alone does not say that its key is gone. */
static struct err conclude(struct lane *lane, struct listing *listing, struct advice *advice)
{
    TRY(key_check_login(lane, advice));
    if (listing->vanished)
        return collect(lane, listing, advice);
    find_ambiguous(listing);
    remember(lane->agent->keys, listing);
    listing->phase = LISTING_TELL;
    return ERR_OK;
}

static struct err advance(struct lane *lane, struct listing *listing, struct advice *advice)
{
    if (listing->phase == LISTING_COLLECT || key_cache_epoch(lane->agent->keys) != listing->epoch)
        return collect(lane, listing, advice); /* handles do not outlive a session or a login */
    if (listing->next < listing->n)
        return read_next(lane, listing);
    return conclude(lane, listing, advice);
}

/* The token's part, for a while. */
static struct err work(struct lane *lane, struct listing *listing, struct advice *advice)
{
    int64_t until = clock_monotonic_ns() + (int64_t)WORK_MS * 1000000;
    while (listing->phase < LISTING_TELL) {
        TRY(advance(lane, listing, advice));
        if (clock_monotonic_ns() >= until)
            break;
    }
    return ERR_OK;
}

static struct err tell(struct listing *listing, struct lane_reply *ret)
{
    struct writer w = writer_over(listing->page, sizeof listing->page);
    uint32_t first = listing->told;
    while (listing->told < listing->count && listing->told - first < LANE_LIST_PAGE)
        lane_put_key(&w, &listing->keys[listing->told++].listed);
    if (w.full)
        return err_make(ERR_INTERNAL, "listing page");
    ret->u.list.count = listing->told - first;
    ret->u.list.nameless = listing->nameless;
    ret->u.list.records = writer_bytes(&w);
    if (listing->told < listing->count)
        return ERR_OK;
    listing->phase = LISTING_TOLD;
    forget_keys(listing);
    return ERR_OK;
}

static struct err begin(struct lane *lane)
{
    listing_free(TAKE_PTR(lane->listing));
    lane->listing = calloc(1, sizeof *lane->listing);
    return lane->listing ? ERR_OK : err_make(ERR_EXHAUSTED, "listing");
}

struct err op_list(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                   struct advice *advice)
{
    uint32_t cursor = request->u.list.cursor;
    if (strcmp(request->u.list.ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_INVALID, "ring"), REMEDY_CALLER,
                      "this agent serves ring %s alone", lane->agent->config.ring);
    if (cursor == 0)
        TRY(begin(lane));
    struct listing *listing = lane->listing;
    if (!listing || listing->cursor != cursor || listing->phase == LISTING_TOLD)
        return err_make(ERR_INVALID, "list cursor");
    TRY(work(lane, listing, advice));
    if (listing->phase == LISTING_TELL)
        TRY(tell(listing, ret));
    listing->cursor++;
    ret->u.list.next = listing->phase == LISTING_TOLD ? 0 : listing->cursor;
    return ERR_OK;
}
