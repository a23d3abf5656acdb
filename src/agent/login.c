/* SPDX-License-Identifier: Apache-2.0 */
#include "login.h"

#include "hold.h"
#include "p11_ckr.h"
#include "p11_login.h"
#include "pin_record.h"

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

static struct err no_record(const struct agent *agent, struct err e, struct advice *advice)
{
    char why[96];
    return advise(advice, e, REMEDY_HUMAN,
                  "without a record of PINs no login is tried; state directory %.100s: %s",
                  agent->config.state_dir, err_format(e, why, sizeof why));
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
    return err_is(e) ? no_record(agent, e, advice) : ERR_OK;
}

/* The token's own counters come before anything of ours. */
static struct err check_flags(const struct agent *agent, struct p11_pin_flags *ret,
                              struct advice *advice)
{
    struct p11_pin_flags flags;
    struct err no = err_make(ERR_TOKEN, "login");
    TRY(p11_token_pin_flags(agent->module, agent->token.slot, &flags));
    *ret = flags;
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

/* What the record says no to, in the operator's words. */
static struct err refuse(const struct agent *agent, const struct pin_record *record, struct err e,
                         struct advice *advice)
{
    char file[PATH_MAX];
    struct advice unused = {.text = ""};
    if (pin_source_is_protected(agent->config.pin_source))
        return advise(advice, e, REMEDY_PIN,
                      "the login at the token was refused or not finished; nobody is asked again: "
                      "remove %.90s, reload p11-kms, then give the PIN",
                      record->path);
    TRY(pin_source_path(agent->config.pin_source, file, sizeof file, &unused));
    if (record->refusals >= PIN_REFUSALS_MAX)
        return advise(advice, e, REMEDY_PIN,
                      "the token refused %u PINs; no other is tried: mend %.80s, then remove %.90s",
                      (unsigned)record->refusals, file, record->path);
    if (record->any_pin)
        return advise(advice, e, REMEDY_PIN,
                      "a login was cut short, and %.60s is another file since, so its PIN may be "
                      "the one that was refused: check it, then remove %.90s",
                      file, record->path);
    return advise(advice, e, REMEDY_PIN,
                  "the token refused the PIN; it is not tried again: mend %.80s, or if the PIN is "
                  "right remove %.90s",
                  file, record->path);
}

/* Some token's way to refuse a PIN is a code that says nothing. */
static struct err doubt(const struct pin_record *record, struct err e, struct advice *advice)
{
    const struct p11_ckr *row = p11_ckr_find(e.native);
    return advise(advice, e, REMEDY_PIN,
                  "C_Login: %s (0x%lx), which may mean a wrong PIN; it is not tried again: check "
                  "token and PIN, then remove %.90s",
                  row->name, e.native, record->path);
}

/* Whether the token counts more wrong PINs than before. One that does not answer says nothing. */
static bool counts_more(const struct agent *agent, const struct p11_pin_flags *before)
{
    struct p11_pin_flags now;
    if (err_is(p11_token_pin_flags(agent->module, agent->token.slot, &now)))
        return false;
    return (now.locked && !before->locked) || (now.final_try && !before->final_try) ||
           (now.count_low && !before->count_low);
}

/* One try: the PIN, where it is from, and what the token's flags were. */
struct attempt {
    struct bytes pin;
    struct pin_identity source;
    struct p11_pin_flags flags;
};

/* Whether a failed login has burnt a try. Where somebody at the token gives the PIN, each one may
 * have called a person there. */
static bool burnt(const struct agent *agent, const struct pin_record *record,
                  const struct attempt *attempt, enum login_end end)
{
    if (end == LOGIN_REFUSED)
        return true;
    if (end == LOGIN_NOT_BEGUN)
        return false;
    if (pin_source_is_protected(agent->config.pin_source))
        return true;
    return counts_more(agent, &attempt->flags) ||
           (end == LOGIN_DOUBTFUL && !pin_record_proved(record, &attempt->source));
}

static struct err try_pin(const struct agent *agent, const struct p11_session *session,
                          struct pin_record *record, const struct attempt *attempt,
                          struct advice *advice)
{
    enum login_end end;
    struct err e = pin_record_begin(record, &attempt->source);
    if (err_is(e)) { /* it may say "trying" all the same, and nothing was tried */
        struct err undone = pin_record_abandon(record);
        (void)undone; /* else it counts as a refusal, which is the safe side */
        return no_record(agent, e, advice);
    }
    e = p11_session_login(session, attempt->pin, &end);
    if (end == LOGIN_GOOD)
        return pin_record_accept(record, &attempt->source);
    if (end == LOGIN_SHARED || !burnt(agent, record, attempt, end)) {
        TRY(pin_record_abandon(record));
        return e;
    }
    TRY(pin_record_refuse(record, attempt->pin));
    e.code = ERR_TOKEN; /* whatever the token calls it, somebody must look */
    bool plain = end == LOGIN_REFUSED || attempt->pin.len == 0;
    return plain ? refuse(agent, record, e, advice) : doubt(record, e, advice);
}

static struct err login_with_record(const struct agent *agent, const struct p11_session *session,
                                    struct attempt *attempt, struct advice *advice)
{
    CLEANUP(close_record_p) struct pin_record record = {.lock = -1};
    enum pin_verdict verdict;
    TRY(open_record(agent, &record, advice));
    TRY(check_flags(agent, &attempt->flags, advice));
    TRY(pin_record_judge(&record, attempt->pin, &attempt->source, &verdict));
    if (verdict != PIN_MAY_BE_TRIED)
        return refuse(agent, &record, err_make(ERR_TOKEN, "PIN refused before"), advice);
    if (attempt->flags.count_low)
        pin_record_count_foreign(&record);
    hold_begin();
    struct err e = try_pin(agent, session, &record, attempt, advice);
    hold_end();
    return e;
}

static struct err login_locked(struct agent *agent, const struct p11_session *session,
                               struct advice *advice)
{
    AUTO_SECRET struct secret *pin = NULL;
    struct attempt attempt;
    bool logged_in;
    TRY(p11_session_logged_in(session, &logged_in));
    if (logged_in)
        return ERR_OK; /* another lane was quicker */
    TRY(secret_new(PIN_MAX + 2, &pin));
    TRY(pin_source_read(agent->config.pin_source, pin, &attempt.source, advice));
    attempt.pin = secret_bytes(pin);
    TRY(login_with_record(agent, session, &attempt, advice));
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
