/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include "p11_ckr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- words ------------------------------------------------------------------------------- */

#define FUNCTION_NAME(name, parameters, arguments, slot, out) [FUNCTION_##name] = #name,
static const char *const function_names[] = {FUNCTIONS(FUNCTION_NAME)[FUNCTION_ANY] = "*"};

const char *function_name(enum function function)
{
    return function_names[function];
}

int function_by_name(const char *name)
{
    for (int i = 0; i <= FUNCTION_ANY; i++)
        if (strcmp(function_names[i], name) == 0)
            return i;
    return -1;
}

static const struct {
    const char *word;
    CK_FLAGS flag;
} flag_names[] = {
    {"write-protected", CKF_WRITE_PROTECTED},
    {"login-required", CKF_LOGIN_REQUIRED},
    {"user-pin-initialized", CKF_USER_PIN_INITIALIZED},
    {"protected-authentication-path", CKF_PROTECTED_AUTHENTICATION_PATH},
    {"token-initialized", CKF_TOKEN_INITIALIZED},
    {"user-pin-count-low", CKF_USER_PIN_COUNT_LOW},
    {"user-pin-final-try", CKF_USER_PIN_FINAL_TRY},
    {"user-pin-locked", CKF_USER_PIN_LOCKED},
    {"user-pin-to-be-changed", CKF_USER_PIN_TO_BE_CHANGED},
};

static bool flag_by_name(const char *word, CK_FLAGS *ret)
{
    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        if (strcmp(flag_names[i].word, word) == 0) {
            *ret = flag_names[i].flag;
            return true;
        }
    return false;
}

/* A whole number in decimal, or with 0x in hex, then nothing but `rest`. */
static bool parse_number(const char *text, const char *rest, unsigned long *ret)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, text[1] == 'x' ? 16 : 10);
    if (errno != 0 || end == text || strcmp(end, rest) != 0)
        return false;
    *ret = value;
    return true;
}

static bool parse_ckr(const char *text, CK_RV *ret)
{
    const struct p11_ckr *row;
    if (strcmp(text, "CKR_OK") == 0) {
        *ret = CKR_OK;
        return true;
    }
    for (size_t i = 0; (row = p11_ckr_row(i)); i++)
        if (strcmp(row->name, text) == 0) {
            *ret = row->rv;
            return true;
        }
    return parse_number(text, "", ret);
}

static bool parse_duration(const char *text, int64_t *ret_ms)
{
    enum { LONGEST_S = 86400 };
    unsigned long n;
    if (parse_number(text, "ms", &n) && n <= LONGEST_S * 1000UL)
        *ret_ms = (int64_t)n;
    else if (parse_number(text, "s", &n) && n <= LONGEST_S)
        *ret_ms = (int64_t)n * 1000;
    else
        return false;
    return true;
}

/* --- one line ---------------------------------------------------------------------------- */

struct line {
    char *rest; /* not yet read */
    unsigned number;
    char error[SCRIPT_ERROR_MAX / 2]; /* empty: none */
};

#define FAIL(line, ...) ((void)snprintf((line)->error, sizeof(line)->error, __VA_ARGS__), false)

static const char *next_word(struct line *line)
{
    char *word;
    while ((word = strsep(&line->rest, " \t")))
        if (*word)
            return word;
    return NULL;
}

/* Takes the next word if it is this one. */
static bool next_is(struct line *line, const char *word)
{
    size_t len = strlen(word);
    if (!line->rest)
        return false;
    line->rest += strspn(line->rest, " \t");
    if (strncmp(line->rest, word, len) != 0 || !strchr(" \t", line->rest[len]))
        return false;
    line->rest += len;
    return true;
}

static bool read_path(struct line *line, const char *after, char ret[static SCRIPT_PATH_MAX])
{
    const char *word = next_word(line);
    if (!word || word[0] != '/')
        return FAIL(line, "an absolute path must follow '%s'", after);
    if (strlen(word) >= SCRIPT_PATH_MAX)
        return FAIL(line, "the path after '%s' is too long", after);
    (void)snprintf(ret, SCRIPT_PATH_MAX, "%s", word);
    return true;
}

static bool read_process(struct line *line, char ret[static PROCESS_NAME_MAX + 1])
{
    const char *word = next_word(line);
    if (!word || strlen(word) > PROCESS_NAME_MAX)
        return FAIL(line, "a process's name of at most %d characters must follow 'of'",
                    (int)PROCESS_NAME_MAX);
    (void)snprintf(ret, PROCESS_NAME_MAX + 1, "%s", word);
    return true;
}

static bool read_count(struct line *line, const char *after, uint64_t *ret)
{
    unsigned long n;
    const char *word = next_word(line);
    if (!word || !parse_number(word, "", &n) || n == 0)
        return FAIL(line, "a number from 1 must follow '%s'", after);
    *ret = n;
    return true;
}

static bool read_range(struct line *line, struct rule *rule)
{
    char *word = (char *)(uintptr_t)next_word(line), *dash = word ? strchr(word, '-') : NULL;
    unsigned long first, last;
    if (dash)
        *dash = '\0';
    if (!dash || !parse_number(word, "", &first) || !parse_number(dash + 1, "", &last) ||
        first == 0 || last < first)
        return FAIL(line, "'calls' wants two numbers from 1, such as 3-7");
    rule->first = first;
    rule->last = last;
    return true;
}

static bool read_when(struct line *line, struct rule *rule)
{
    const char *word = next_word(line);
    rule->when = WHEN_NUMBERS;
    if (word && strcmp(word, "call") == 0) {
        if (!read_count(line, word, &rule->first))
            return false;
        rule->last = rule->first;
        return true;
    }
    if (word && strcmp(word, "from") == 0) {
        rule->last = UINT64_MAX;
        return read_count(line, word, &rule->first);
    }
    if (word && strcmp(word, "calls") == 0)
        return read_range(line, rule);
    if (word && strcmp(word, "once") == 0) {
        rule->when = WHEN_ONCE;
        return read_path(line, word, rule->once_path);
    }
    rule->when = WHEN_EVERY;
    if (!word || strcmp(word, "every") != 0)
        return FAIL(line, "'%s' says not when: every, call N, calls N-M, from N or once FILE",
                    word ? word : "");
    return true;
}

static const struct {
    const char *word;
    enum action_kind kind;
} actions[] = {
    {"return", ACTION_RETURN},
    {"hang", ACTION_HANG},
    {"slow", ACTION_SLOW},
    {"crash", ACTION_CRASH},
    {"abort", ACTION_ABORT},
    {"kill", ACTION_KILL},
    {"short", ACTION_SHORT},
    {"long", ACTION_LONG},
    {"garbage", ACTION_GARBAGE},
    {"flip", ACTION_FLIP},
    {"nothing", ACTION_NOTHING},
    {"leak", ACTION_LEAK},
    {"lose-sessions", ACTION_LOSE_SESSIONS},
    {"log-out", ACTION_LOG_OUT},
    {"remove-token", ACTION_REMOVE_TOKEN},
    {"change-slot", ACTION_CHANGE_SLOT},
    {"flags", ACTION_FLAGS},
};

static bool read_flags(struct line *line, struct action *action)
{
    const char *word;
    while ((word = next_word(line))) {
        CK_FLAGS flag;
        if ((word[0] != '+' && word[0] != '-') || !flag_by_name(word + 1, &flag))
            return FAIL(line,
                        "'%s' is no flag of a token: + or - and a name such as "
                        "user-pin-locked",
                        word);
        *(word[0] == '+' ? &action->set : &action->clear) |= flag;
    }
    return (action->set | action->clear) != 0 || FAIL(line, "'flags' wants one or more flags");
}

/* How long, or by how much. */
static bool read_measure(struct line *line, const char *word, struct action *action)
{
    if (action->kind == ACTION_HANG || action->kind == ACTION_SLOW)
        return parse_duration(word, &action->ms) ||
               FAIL(line, "'%s' is no duration such as 500ms or 2s", word);
    if (action->kind == ACTION_LEAK)
        return (parse_number(word, "MiB", &action->by) && action->by <= LEAK_MIB_MAX) ||
               FAIL(line, "'%s' is no size of at most %dMiB", word, (int)LEAK_MIB_MAX);
    if (action->kind != ACTION_SHORT && action->kind != ACTION_LONG)
        return FAIL(line, "'%s' is too much", word);
    if (!parse_number(word, "", &action->by) || action->by == 0)
        return FAIL(line, "'%s' does not say by how much", word);
    return true;
}

/* What follows the action's word. */
static bool read_details(struct line *line, struct action *action)
{
    const char *word = NULL;
    action->by = 1;
    action->ms = -1;
    if (action->kind == ACTION_RETURN) {
        word = next_word(line);
        if (!word || !parse_ckr(word, &action->rv))
            return FAIL(line,
                        "'%s' is no return value: a name such as CKR_DEVICE_ERROR, or a "
                        "number",
                        word ? word : "");
    }
    if (action->kind == ACTION_FLAGS)
        return read_flags(line, action);
    word = next_word(line);
    if (word && strcmp(word, "after") != 0) {
        if (!read_measure(line, word, action))
            return false;
        word = next_word(line);
    }
    if (word && strcmp(word, "after") == 0) {
        if (action->kind > ACTION_KILL)
            return FAIL(line,
                        "only return, hang, slow, crash, abort and kill can come after the call");
        action->after = true;
        word = next_word(line);
    }
    if (action->kind == ACTION_SLOW && action->ms < 0)
        return FAIL(line, "'slow' wants a duration such as 50ms");
    return !word || FAIL(line, "'%s' is too much", word);
}

static bool read_action(struct line *line, struct rule *rule)
{
    char text[sizeof rule->action.text];
    (void)snprintf(text, sizeof text, "%s", line->rest ? line->rest : "");
    const char *word = next_word(line);
    for (size_t i = 0; word && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].word, word) != 0)
            continue;
        rule->action.kind = actions[i].kind;
        (void)snprintf(rule->action.text, sizeof rule->action.text, "%s",
                       text + strspn(text, " \t"));
        return read_details(line, &rule->action);
    }
    return FAIL(line, "'%s' is nothing that can happen: see docs/drills.md", word ? word : "");
}

static bool fits(struct line *line, const struct rule *rule)
{
    if (rule->action.kind == ACTION_FLAGS && rule->function != FUNCTION_C_GetTokenInfo)
        return FAIL(line, "only C_GetTokenInfo tells flags");
    if (rule->attributes != 0 && rule->function != FUNCTION_C_GetAttributeValue)
        return FAIL(line, "only C_GetAttributeValue is told by its number of attributes");
    return true;
}

static bool read_rule(struct line *line, struct script *script)
{
    struct rule rule = {.line = line->number};
    const char *word = next_word(line);
    int function = word ? function_by_name(word) : -1;
    if (function < 0)
        return FAIL(line, "'%s' is no function of PKCS#11 2.40, and not *", word ? word : "");
    if (script->n_rules == SCRIPT_RULES_MAX)
        return FAIL(line, "more than %d rules", (int)SCRIPT_RULES_MAX);
    rule.function = (enum function)function;
    if (!read_when(line, &rule))
        return false;
    if (next_is(line, "of") && !read_process(line, rule.process))
        return false;
    if (next_is(line, "while") && !read_path(line, "while", rule.while_path))
        return false;
    if (next_is(line, "attributes") && !read_count(line, "attributes", &rule.attributes))
        return false;
    if (!read_action(line, &rule) || !fits(line, &rule))
        return false;
    script->rules[script->n_rules++] = rule;
    return true;
}

static bool read_line(struct line *line, struct script *script)
{
    const char *word = next_word(line), *extra;
    if (!word)
        return true;
    if (strcmp(word, "on") == 0)
        return read_rule(line, script);
    if (strcmp(word, "module") == 0) {
        if (!read_path(line, word, script->module))
            return false;
    } else if (strcmp(word, "faults") == 0) {
        if (!read_path(line, word, script->faults))
            return false;
    } else if (strcmp(word, "record") == 0) {
        if (!read_path(line, word, script->record) ||
            (next_is(line, "of") && !read_process(line, script->record_process)))
            return false;
    } else {
        return FAIL(line, "'%s' begins no line: module, record, faults or on", word);
    }
    extra = next_word(line);
    return !extra || FAIL(line, "'%s' is too much", extra);
}

/* --- the file ---------------------------------------------------------------------------- */

static bool read_text(const char *path, char text[static SCRIPT_TEXT_MAX],
                      char error[static SCRIPT_ERROR_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, SCRIPT_TEXT_MAX);
    int errnum = errno;
    if (fd >= 0)
        (void)close(fd);
    if (len < 0) {
        (void)snprintf(error, SCRIPT_ERROR_MAX, "%s: %s", path, strerror(errnum));
        return false;
    }
    if (len == SCRIPT_TEXT_MAX || memchr(text, '\0', (size_t)len)) {
        (void)snprintf(error, SCRIPT_ERROR_MAX, "%s: is no script: too long, or not text", path);
        return false;
    }
    text[len] = '\0';
    return true;
}

bool script_read(const char *path, struct script *ret, char error[static SCRIPT_ERROR_MAX])
{
    char text[SCRIPT_TEXT_MAX], *rest = text, *at;
    static const struct script empty;
    struct line line = {.number = 0};
    if (!read_text(path, text, error))
        return false;
    struct script *script = malloc(sizeof *script);
    if (!script) {
        (void)snprintf(error, SCRIPT_ERROR_MAX, "%s: out of memory", path);
        return false;
    }
    *script = empty;
    bool good = true;
    while (good && (at = strsep(&rest, "\n"))) {
        line.number++;
        at[strcspn(at, "#\r")] = '\0';
        line.rest = at;
        good = read_line(&line, script);
    }
    if (good)
        *ret = *script;
    else
        (void)snprintf(error, SCRIPT_ERROR_MAX, "%s:%u: %s", path, line.number, line.error);
    free(script);
    return good;
}
