/* SPDX-License-Identifier: Apache-2.0 */
/* Listing a ring, a page a request. */
#include "ops.h"
#include "p11_key.h"
#include "ring_keys.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    uint32_t count;
    uint32_t nameless; /* keys of the ring without a CKA_ID that we carry */
    uint8_t page[LANE_LIST_PACKET_MAX];
    struct listed_key keys[];
};

void listing_free(struct listing *listing)
{
    free(listing);
}
DEFINE_CLEANUP(struct listing, listing_free);

static int compare_ids(const void *a, const void *b)
{
    const struct object_id *x = a, *y = b;
    int lengths = (x->len > y->len) - (x->len < y->len);
    return lengths ? lengths : memcmp(x->data, y->data, x->len);
}

static bool is_duplicate(const struct object_id *sorted, size_t n, const struct object_id *id)
{
    const struct object_id *at = bsearch(id, sorted, n, sizeof *sorted, compare_ids);
    return at && ((at > sorted && object_id_equal(at - 1, id)) ||
                  (at + 1 < sorted + n && object_id_equal(at + 1, id)));
}

static void mark_ambiguous(struct listing *listing, struct object_id *ids, size_t n)
{
    qsort(ids, n, sizeof *ids, compare_ids);
    for (uint32_t i = 0; i < listing->count; i++)
        listing->keys[i].ambiguous = is_duplicate(ids, n, &listing->keys[i].id);
}

/* Reads every secret key once: those of other labels count for the ambiguity of ids alone. */
static struct err read_keys(const struct lane *lane, const unsigned long *handles, size_t n,
                            struct listing *listing, struct object_id *ids)
{
    size_t n_ids = 0;
    for (size_t i = 0; i < n; i++) {
        struct p11_key key;
        TRY(p11_key_read(&lane->session, handles[i], &key));
        bool selected = ring_selects(lane->agent, &key);
        if (key.id.len == 0) {
            listing->nameless += selected;
            continue;
        }
        ids[n_ids++] = key.id;
        if (!selected)
            continue;
        struct listed_key *listed = &listing->keys[listing->count++];
        *listed = (struct listed_key){.id = key.id, .attributes = key.attributes};
        ring_show_label(key.label, listed->label);
    }
    mark_ambiguous(listing, ids, n_ids);
    return ERR_OK;
}

static struct err take_listing(const struct lane *lane, struct listing **ret)
{
    AUTO_FREE unsigned long *handles = NULL;
    size_t n = 0;
    TRY(p11_key_find_all(&lane->session, &handles, &n));
    CLEANUP(listing_free_p)
    struct listing *listing = calloc(1, sizeof *listing + n * sizeof *listing->keys);
    AUTO_FREE struct object_id *ids = calloc(n + 1, sizeof *ids);
    if (!listing || !ids)
        return err_make(ERR_EXHAUSTED, "listing");
    TRY(read_keys(lane, handles, n, listing, ids));
    *ret = TAKE_PTR(listing);
    return ERR_OK;
}

static struct err put_page(struct listing *listing, uint32_t first, struct lane_reply *ret)
{
    struct writer w = writer_over(listing->page, sizeof listing->page);
    uint32_t end =
        listing->count - first > LANE_LIST_PAGE ? first + LANE_LIST_PAGE : listing->count;
    for (uint32_t i = first; i < end; i++)
        lane_put_key(&w, &listing->keys[i]);
    if (w.full)
        return err_make(ERR_INTERNAL, "listing page");
    ret->u.list.next = end < listing->count ? end : 0;
    ret->u.list.count = end - first;
    ret->u.list.nameless = listing->nameless;
    ret->u.list.records = writer_bytes(&w);
    return ERR_OK;
}

struct err op_list(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                   struct advice *advice)
{
    uint32_t cursor = request->u.list.cursor;
    if (strcmp(request->u.list.ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_INVALID, "ring"), REMEDY_CALLER,
                      "this agent serves ring %s alone", lane->agent->config.ring);
    if (cursor == 0) {
        listing_free(TAKE_PTR(lane->listing));
        TRY(take_listing(lane, &lane->listing));
    }
    if (!lane->listing || cursor > lane->listing->count)
        return err_make(ERR_INVALID, "list cursor");
    return put_page(lane->listing, cursor, ret);
}
