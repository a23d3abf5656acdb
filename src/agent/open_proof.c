/* SPDX-License-Identifier: Apache-2.0 */
#include "open_proof.h"

#include "p11_ckr.h"

static bool is_outage(struct err e)
{
    return e.code == ERR_UNAVAILABLE || e.code == ERR_EXHAUSTED;
}

/* A token may not seal with this key (an operator has taken CKA_ENCRYPT from an old one, or a
 * policy has), or not with an IV that it has not made, and says so by whatever it thinks fit. Where
 * that was an outage all the same, opening a second time meets it as well. */
static bool may_decline(struct err e)
{
    return !is_outage(e) || (e.kind == ERR_KIND_CKR && p11_ckr_may_decline(e.native));
}

/* Tokens may leave an operation open that they refused, and a new session ends it. */
static struct err open_still(struct lane *lane, const struct scheme_ops *scheme,
                             const struct key_set *keys, const struct envelope *envelope,
                             size_t *ret_len)
{
    struct err e = scheme_open(scheme, &lane->session, keys, envelope, lane->room->check, ret_len);
    if (e.kind != ERR_KIND_CKR || p11_ckr_find(e.native)->remedy != REMEDY_SESSION)
        return e;
    TRY(p11_session_reopen(&lane->session));
    return scheme_open(scheme, &lane->session, keys, envelope, lane->room->check, ret_len);
}

/* Less of a proof: a token that is wrong the same way twice passes. */
static struct err open_again(struct lane *lane, const struct scheme_ops *scheme,
                             const struct key_set *keys, const struct envelope *envelope,
                             struct bytes plaintext, bool *ret_same)
{
    size_t len = 0;
    struct err e = open_still(lane, scheme, keys, envelope, &len);
    if (is_outage(e))
        return e;
    *ret_same = !err_is(e) && bytes_equal_secret(bytes_of(lane->room->check, len), plaintext);
    return ERR_OK;
}

struct err open_prove(struct lane *lane, const struct scheme_ops *scheme,
                      const struct key_set *keys, const struct envelope *envelope,
                      struct bytes plaintext, struct advice *advice)
{
    bool same = false;
    if (!scheme_believes_token(scheme))
        return ERR_OK;
    struct err e = scheme_reseal(scheme, &lane->session, keys, envelope, plaintext, &same);
    if (err_is(e) && may_decline(e))
        e = open_again(lane, scheme, keys, envelope, plaintext, &same);
    TRY(e);
    if (same)
        return ERR_OK;
    /* the ciphertext is not at fault: it did open */
    return advise(advice, err_make(ERR_UNAVAILABLE, "verify"), REMEDY_AGENT,
                  "the token opened something that it does not seal to the same again; nothing was "
                  "answered; check the token");
}
