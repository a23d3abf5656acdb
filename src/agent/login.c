/* SPDX-License-Identifier: Apache-2.0 */
#include "login.h"

#include "p11_ckr.h"
#include "pin_record.h"
#include "pin_source.h"

#include <string.h>

static void close_record_p(struct pin_record *record)
{
    pin_record_close(record);
}

/* What the record is kept under: another token's PIN is another matter. */
static struct bytes token_bytes(const struct p11_token *token, uint8_t *memory, size_t size)
{
    struct writer w = writer_over(memory, size);
    put_sized(&w, bytes_of_string(token->manufacturer));
    put_sized(&w, bytes_of_string(token->model));
    put_sized(&w, bytes_of_string(token->serial));
    put_sized(&w, bytes_of_string(token->label));
    return writer_bytes(&w);
}

static struct err open_record(const struct agent *agent, struct pin_record *record,
                              struct advice *advice)
{
    uint8_t memory[128];
    struct err e = pin_record_open(agent->config.state_dir,
                                   token_bytes(&agent->token, memory, sizeof memory), record);
    if (e.code == ERR_INVALID)
        return advise(advice, err_make(ERR_TOKEN, "PIN record"), REMEDY_PIN,
                      "the PIN record %.150s is damaged: check the PIN, then remove that file",
                      record->path);
    if (err_is(e)) {
        char why[96];
        return advise(advice, e, REMEDY_HUMAN,
                      "without a record of PINs no login is tried; state directory %.100s: %s",
                      agent->config.state_dir, err_format(e, why, sizeof why));
    }
    return ERR_OK;
}

/* The token's own counters come before anything of ours. */
static struct err check_flags(const struct agent *agent, struct advice *advice)
{
    struct p11_pin_flags flags;
    struct err no = err_make(ERR_TOKEN, "login");
    TRY(p11_token_pin_flags(agent->module, agent->token.slot, &flags));
    if (flags.locked)
        return advise(advice, no, REMEDY_PIN,
                      "the user PIN of token '%s' is locked: unlock it with the SO PIN and the "
                      "token's own tool",
                      agent->token.label);
    if (flags.final_try)
        return advise(advice, no, REMEDY_PIN,
                      "token '%s' locks at the next wrong PIN, so we try none: log in once with "
                      "the token's own tool, which resets its counter",
                      agent->token.label);
    if (pin_source_is_protected(agent->config.pin_source) && !flags.protected_path)
        return advise(advice, no, REMEDY_HUMAN,
                      "token '%s' has no protected authentication path: mend token.pinSource",
                      agent->token.label);
    return ERR_OK;
}

static struct err refuse(const struct agent *agent, const struct pin_record *record, struct err e,
                         struct advice *advice)
{
    char file[PATH_MAX] = "the PIN given at the token";
    struct advice unused = {.text = ""};
    if (!pin_source_is_protected(agent->config.pin_source))
        TRY(pin_source_path(agent->config.pin_source, file, sizeof file, &unused));
    if (record->refusals >= PIN_REFUSALS_MAX)
        return advise(advice, e, REMEDY_PIN,
                      "the token refused %u PINs; no other is tried: mend %.80s, then remove %.90s",
                      (unsigned)record->refusals, file, record->path);
    return advise(advice, e, REMEDY_PIN,
                  "the token refused the PIN; it is not tried again: mend %.80s, or if the PIN is "
                  "right remove %.90s",
                  file, record->path);
}

static struct err try_pin(const struct agent *agent, const struct p11_session *session,
                          struct pin_record *record, struct bytes pin, struct advice *advice)
{
    TRY(pin_record_begin(record));
    struct err e = p11_session_login(session, pin);
    if (!err_is(e))
        return pin_record_accept(record);
    if (!p11_ckr_refuses_pin(e.native)) {
        TRY(pin_record_abandon(record));
        return e;
    }
    TRY(pin_record_refuse(record, pin));
    return refuse(agent, record, e, advice);
}

static struct err login_with_record(const struct agent *agent, const struct p11_session *session,
                                    struct bytes pin, struct advice *advice)
{
    CLEANUP(close_record_p) struct pin_record record = {.lock = -1};
    enum pin_verdict verdict;
    TRY(open_record(agent, &record, advice));
    TRY(check_flags(agent, advice));
    TRY(pin_record_judge(&record, pin, &verdict));
    if (verdict != PIN_MAY_BE_TRIED)
        return refuse(agent, &record, err_make(ERR_TOKEN, "PIN refused before"), advice);
    return try_pin(agent, session, &record, pin, advice);
}

static struct err login_locked(struct agent *agent, const struct p11_session *session,
                               struct advice *advice)
{
    AUTO_SECRET struct secret *pin = NULL;
    bool logged_in;
    TRY(p11_session_logged_in(session, &logged_in));
    if (logged_in)
        return ERR_OK; /* another lane was quicker */
    TRY(secret_new(PIN_MAX + 2, &pin));
    TRY(pin_source_read(agent->config.pin_source, pin, advice));
    TRY(login_with_record(agent, session, secret_bytes(pin), advice));
    key_cache_clear(agent->keys);
    return ERR_OK;
}

struct err agent_login(struct agent *agent, const struct p11_session *session,
                       struct advice *advice)
{
    if (!agent->token.pin.login_required)
        return ERR_OK;
    (void)pthread_mutex_lock(&agent->login_lock);
    struct err e = login_locked(agent, session, advice);
    (void)pthread_mutex_unlock(&agent->login_lock);
    return e;
}
