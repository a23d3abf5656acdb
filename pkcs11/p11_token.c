/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_token.h"

#include "cleanup.h"
#include "p11_call.h"
#include "p11_text.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(P11KitUri, p11_kit_uri_free);

/* What the search has met: the match, and all tokens by name for the operator. */
struct search {
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    unsigned matches;
    char names[160];
};

void p11_text(const CK_UTF8CHAR *from, size_t len, char *to)
{
    len = p11_kit_space_strlen(from, len);
    memcpy(to, from, len);
    to[len] = '\0';
    for (char *at = to; *at; at++) /* it goes into logs: no control characters */
        if ((unsigned char)*at < ' ')
            *at = '?';
}

static struct p11_pin_flags pin_flags(CK_FLAGS flags)
{
    return (struct p11_pin_flags){
        .login_required = (flags & CKF_LOGIN_REQUIRED) != 0,
        .count_low = (flags & CKF_USER_PIN_COUNT_LOW) != 0,
        .final_try = (flags & CKF_USER_PIN_FINAL_TRY) != 0,
        .locked = (flags & CKF_USER_PIN_LOCKED) != 0,
        .protected_path = (flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0,
    };
}

static struct p11_token token_of(CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
    struct p11_token t = {.slot = slot, .pin = pin_flags(info->flags)};
    p11_text(info->label, sizeof info->label, t.label);
    p11_text(info->manufacturerID, sizeof info->manufacturerID, t.manufacturer);
    p11_text(info->model, sizeof info->model, t.model);
    p11_text(info->serialNumber, sizeof info->serialNumber, t.serial);
    return t;
}

static void add_name(char *names, size_t size, const struct p11_token *token)
{
    size_t len = strlen(names);
    (void)snprintf(names + len, size - len, "%s'%s' serial %s", len > 0 ? ", " : "", token->label,
                   token->serial);
}

static struct err slots_with_tokens(const struct p11_module *module, CK_SLOT_ID **ret,
                                    CK_ULONG *ret_n)
{
    CK_ULONG n = 0;
    TRY(P11_CALL(module, C_GetSlotList, CK_TRUE, NULL, &n));
    /* room for tokens that come between the two calls */
    AUTO_FREE CK_SLOT_ID *slots = calloc(n + 8, sizeof *slots);
    if (!slots)
        return err_make(ERR_EXHAUSTED, "slots");
    CK_ULONG room = n += 8;
    TRY(P11_CALL(module, C_GetSlotList, CK_TRUE, slots, &n));
    if (n > room)
        return p11_result(CKR_GENERAL_ERROR, "C_GetSlotList");
    *ret = TAKE_PTR(slots);
    *ret_n = n;
    return ERR_OK;
}

static bool matches(const struct p11_module *module, P11KitUri *uri, CK_SLOT_ID slot,
                    const CK_TOKEN_INFO *token)
{
    CK_SLOT_INFO slot_info = {.flags = 0};
    CK_INFO module_info = {.flags = 0};
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri);
    return p11_kit_uri_match_token_info(uri, token) == 1 &&
           (wanted == (CK_SLOT_ID)-1 || wanted == slot) &&
           !err_is(P11_CALL(module, C_GetSlotInfo, slot, &slot_info)) &&
           p11_kit_uri_match_slot_info(uri, &slot_info) == 1 &&
           !err_is(P11_CALL(module, C_GetInfo, &module_info)) &&
           p11_kit_uri_match_module_info(uri, &module_info) == 1;
}

static void look_at(const struct p11_module *module, P11KitUri *uri, CK_SLOT_ID slot,
                    struct search *search)
{
    CK_TOKEN_INFO info = {.flags = 0};
    if (err_is(P11_CALL(module, C_GetTokenInfo, slot, &info)))
        return; /* an unreadable slot is not ours; if it should be, nothing matches and says so */
    struct p11_token token = token_of(slot, &info);
    bool match = matches(module, uri, slot, &info);
    if (match && search->matches++ == 0) {
        search->slot = slot;
        search->info = info;
        search->names[0] = '\0'; /* from here on only the matching ones are of interest */
    }
    bool blank = (info.flags & CKF_TOKEN_INITIALIZED) == 0; /* SoftHSM always shows a spare slot */
    if (match || (search->matches == 0 && !blank))
        add_name(search->names, sizeof search->names, &token);
}

static struct err judge(const char *uri, const struct search *search, struct advice *advice)
{
    struct err human = err_make(ERR_TOKEN, "token.uri");
    if (search->matches == 0)
        return advise(advice, err_make(ERR_UNAVAILABLE, "token.uri"), REMEDY_AGENT,
                      "no token matches %.90s; there are: %s; connect it or mend token.uri", uri,
                      search->names[0] ? search->names : "none");
    if (search->matches > 1)
        return advise(advice, human, REMEDY_HUMAN,
                      "%.60s matches two tokens: %s; add serial= to token.uri", uri, search->names);
    if ((search->info.flags & CKF_TOKEN_INITIALIZED) == 0)
        return advise(advice, human, REMEDY_HUMAN,
                      "the token of %.90s was never initialised: initialise it with its own tool",
                      uri);
    if ((search->info.flags & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED)) ==
        CKF_LOGIN_REQUIRED)
        return advise(advice, human, REMEDY_HUMAN,
                      "the user PIN of token %s was never set: set it with the token's own tool",
                      search->names);
    return ERR_OK;
}

struct err p11_token_find(const struct p11_module *module, const char *uri, struct p11_token *ret,
                          struct advice *advice)
{
    CLEANUP(p11_kit_uri_free_p) P11KitUri *parsed = p11_kit_uri_new();
    AUTO_FREE CK_SLOT_ID *slots = NULL;
    CK_ULONG n = 0;
    struct search search = {.matches = 0};
    if (!parsed)
        return err_make(ERR_EXHAUSTED, "p11_token_find");
    if (p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, parsed) != P11_KIT_URI_OK ||
        p11_kit_uri_any_unrecognized(parsed))
        return advise(advice, err_make(ERR_CONFIG, "token.uri"), REMEDY_HUMAN,
                      "token.uri is no PKCS#11 URI (RFC 7512): %.150s", uri);
    TRY(slots_with_tokens(module, &slots, &n));
    for (CK_ULONG i = 0; i < n; i++)
        look_at(module, parsed, slots[i], &search);
    TRY(judge(uri, &search, advice));
    *ret = token_of(search.slot, &search.info);
    return ERR_OK;
}

struct err p11_token_quirks(const struct p11_module *module, const char *path,
                            struct p11_token *token)
{
    struct p11_library library;
    TRY(p11_library_read(module, path, &library));
    token->quirks = p11_library_quirks(&library, token->manufacturer, token->model);
    return ERR_OK;
}

struct err p11_token_pin_flags(const struct p11_module *module, unsigned long slot,
                               struct p11_pin_flags *ret)
{
    CK_TOKEN_INFO info = {.flags = 0};
    TRY(P11_CALL(module, C_GetTokenInfo, slot, &info));
    *ret = pin_flags(info.flags);
    return ERR_OK;
}
