/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "act.h"
#include "record.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOT_SHIFT = 7 };

/* What lasts beyond the call that did it: as long as the rule's file is there, or for good. */
struct lasting {
    bool on;
    char while_path[SCRIPT_PATH_MAX];
};

static struct {
    pthread_mutex_t lock; /* guards all below it */
    struct script script;
    bool read; /* once, as it was at this time */
    struct timespec changed;
    ino_t inode; /* 0: it was not there */
    struct lasting removed, shifted;
    uint64_t calls, calls_of[FUNCTION_COUNT]; /* of this process, where nothing is recorded */

    CK_FUNCTION_LIST *real; /* the rest is set once, before the first call */
    const char *path;
    char process[PROCESS_NAME_MAX + 1];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- the script -------------------------------------------------------------------------- */

static void complain(const char *text)
{
    (void)fprintf(stderr, "faultp11: %s\n", text);
}

/* A script that was changed begins anew; one that was spoilt is told of, and what it was stays. */
static bool read_script_locked(void)
{
    char error[SCRIPT_ERROR_MAX];
    struct stat now;
    if (stat(state.path, &now) != 0)
        now = (struct stat){.st_ino = 0};
    if (state.read && now.st_ino == state.inode && now.st_mtim.tv_sec == state.changed.tv_sec &&
        now.st_mtim.tv_nsec == state.changed.tv_nsec)
        return true;
    state.read = true;
    state.inode = now.st_ino;
    state.changed = now.st_mtim;
    if (!script_read(state.path, &state.script, error)) {
        complain(error);
        return false;
    }
    state.removed.on = state.shifted.on = false;
    state.calls = 0;
    memset(state.calls_of, 0, sizeof state.calls_of);
    return true;
}

static void read_process_name(void)
{
    FILE *file = fopen("/proc/self/comm", "re");
    if (!file || !fgets(state.process, sizeof state.process, file))
        state.process[0] = '\0';
    state.process[strcspn(state.process, "\n")] = '\0';
    if (file)
        (void)fclose(file);
}

static CK_RV load(const char *path)
{
    CK_C_GetFunctionList get_list;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!symbol) {
        complain(dlerror());
        return CKR_GENERAL_ERROR;
    }
    memcpy(&get_list, &symbol, sizeof get_list);
    return get_list(&state.real);
}

CK_RV call_start(CK_FUNCTION_LIST **ret_real)
{
    state.path = getenv("FAULTP11_SCRIPT");
    if (!state.path) {
        complain("FAULTP11_SCRIPT names no script");
        return CKR_GENERAL_ERROR;
    }
    read_process_name();
    if (!read_script_locked())
        return CKR_GENERAL_ERROR;
    const char *path = state.script.module[0] ? state.script.module : getenv("FAULTP11_MODULE");
    if (!path) {
        complain("neither the script nor FAULTP11_MODULE names the real module");
        return CKR_GENERAL_ERROR;
    }
    CK_RV rv = load(path);
    if (rv == CKR_OK)
        *ret_real = state.real;
    return rv;
}

/* --- which rule -------------------------------------------------------------------------- */

static bool is_process(const char *wanted)
{
    return !wanted[0] || strcmp(wanted, state.process) == 0;
}

static bool counts_function_locked(enum function function)
{
    for (unsigned i = 0; i < state.script.n_rules; i++)
        if (state.script.rules[i].when == WHEN_NUMBERS &&
            state.script.rules[i].function == function)
            return true;
    return false;
}

static struct numbers number_locked(enum function function)
{
    if (!state.script.record[0])
        return (struct numbers){++state.calls, ++state.calls_of[function]};
    if (!is_process(state.script.record_process))
        return (struct numbers){0, 0};
    return record_call(state.script.record, function, counts_function_locked(function));
}

static bool applies(const struct rule *rule, const struct call *call, struct numbers numbers)
{
    uint64_t number = rule->function == FUNCTION_ANY ? numbers.overall : numbers.of_function;
    if (rule->function != FUNCTION_ANY && rule->function != call->function)
        return false;
    if (rule->attributes != 0 && rule->attributes != call->out.size)
        return false;
    if (!is_process(rule->process) || (rule->while_path[0] && access(rule->while_path, F_OK) != 0))
        return false;
    if (rule->when == WHEN_NUMBERS)
        return number >= rule->first && number <= rule->last;
    /* whoever removes the file acts */
    return rule->when == WHEN_EVERY || unlink(rule->once_path) == 0;
}

static void make_last(struct lasting *lasting, const struct rule *rule)
{
    lasting->on = true;
    memcpy(lasting->while_path, rule->while_path, sizeof lasting->while_path);
}

static bool lasts(struct lasting *lasting)
{
    if (lasting->on && lasting->while_path[0] && access(lasting->while_path, F_OK) != 0)
        lasting->on = false;
    return lasting->on;
}

static const struct rule *choose_locked(const struct call *call)
{
    struct numbers numbers = number_locked(call->function);
    for (unsigned i = 0; i < state.script.n_rules; i++)
        if (applies(&state.script.rules[i], call, numbers))
            return &state.script.rules[i];
    return NULL;
}

/* --- before and after the real call ------------------------------------------------------ */

/* What a module answers whose token has gone. */
static bool answer_without_token(struct call *call)
{
    switch (call->function) {
    case FUNCTION_C_Initialize:
    case FUNCTION_C_Finalize:
    case FUNCTION_C_GetInfo:
    case FUNCTION_C_GetSlotInfo:
        return false;
    case FUNCTION_C_GetSlotList:
        *call->out.count = 0;
        call->rv = CKR_OK;
        return true;
    default:
        call->rv = call->slot ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_REMOVED;
        return true;
    }
}

static void decide_locked(struct call *call, char faults[static SCRIPT_PATH_MAX])
{
    (void)read_script_locked();
    const struct rule *rule = choose_locked(call);
    if (rule) {
        call->acts = true;
        call->action = rule->action;
        memcpy(faults, state.script.faults, SCRIPT_PATH_MAX);
        if (rule->action.kind == ACTION_REMOVE_TOKEN)
            make_last(&state.removed, rule);
        if (rule->action.kind == ACTION_CHANGE_SLOT)
            make_last(&state.shifted, rule);
    }
    if (lasts(&state.removed))
        call->answered = answer_without_token(call);
    if (lasts(&state.shifted))
        call->slot_shift = SLOT_SHIFT;
}

void call_begin(struct call *call)
{
    char faults[SCRIPT_PATH_MAX] = "";
    (void)pthread_mutex_lock(&state.lock);
    decide_locked(call, faults);
    (void)pthread_mutex_unlock(&state.lock);
    if (call->acts && faults[0] && !call->action.after)
        record_fault(faults, call->function, &call->action);
    if (call->acts && !call->answered)
        act_before(state.real, call);
    if (call->slot_shift == 0 || !call->slot || call->answered)
        return;
    if (*call->slot < call->slot_shift) {
        call->answered = true;
        call->rv = CKR_SLOT_ID_INVALID;
    } else {
        *call->slot -= call->slot_shift;
    }
}

/* Whoever waits for the record may end this process at once: not before the real call is done, or
 * half of it would be. */
static void record_after(const struct call *call)
{
    char faults[SCRIPT_PATH_MAX];
    (void)pthread_mutex_lock(&state.lock);
    memcpy(faults, state.script.faults, sizeof faults);
    (void)pthread_mutex_unlock(&state.lock);
    if (faults[0])
        record_fault(faults, call->function, &call->action);
}

CK_RV call_end(struct call *call, CK_RV rv)
{
    const struct out *out = &call->out;
    if (call->acts && call->action.after)
        record_after(call);
    if (rv == CKR_OK && call->slot_shift != 0 && out->kind == OUT_SLOTS && out->at)
        for (CK_ULONG i = 0; i < *out->count; i++)
            ((CK_SLOT_ID *)out->at)[i] += call->slot_shift;
    return call->acts && !call->answered ? act_after(call, rv) : rv;
}
