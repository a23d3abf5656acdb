/* SPDX-License-Identifier: Apache-2.0 */
/* faultp11 itself, before a SoftHSM token: what its script says happens, and nothing else. */
#include "faults.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum { TEST_SECONDS = 60, TEXT_MAX = 1024 };

/* --- a program that uses the module ------------------------------------------------------ */

struct program {
    struct harness *h;
    void *library;
    CK_FUNCTION_LIST *p11;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

static CK_RV load(const char *module, void **ret_library, CK_FUNCTION_LIST **ret)
{
    CK_C_GetFunctionList get;
    *ret_library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    void *symbol = *ret_library ? dlsym(*ret_library, "C_GetFunctionList") : NULL;
    if (!symbol)
        return CKR_LIBRARY_LOAD_FAILED;
    memcpy(&get, &symbol, sizeof get);
    return get(ret);
}

static void log_in(const struct program *p)
{
    char path[HARNESS_PATH_MAX], pin[64];
    harness_path(p->h, "pin", path);
    (void)harness_read(path, pin, sizeof pin);
    CK_ULONG len = strcspn(pin, "\n");
    assert_int_equal(p->p11->C_Login(p->session, CKU_USER, (CK_BYTE *)pin, len), CKR_OK);
}

static CK_RV open_session(struct program *p)
{
    return p->p11->C_OpenSession(p->slot, CKF_SERIAL_SESSION, NULL, NULL, &p->session);
}

static CK_ULONG find_keys(struct program *p)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE keys[4] = {0};
    CK_ULONG n = 0;
    assert_int_equal(p->p11->C_FindObjectsInit(p->session, &template, 1), CKR_OK);
    assert_int_equal(p->p11->C_FindObjects(p->session, keys, 4, &n), CKR_OK);
    assert_int_equal(p->p11->C_FindObjectsFinal(p->session), CKR_OK);
    p->key = keys[0];
    return n;
}

static CK_ULONG count_slots(const struct program *p)
{
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    assert_int_equal(p->p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    return n;
}

static int begin(void **state)
{
    static struct program p;
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    if (harness_setup(state) != 0)
        return -1;
    p = (struct program){.h = *state};
    faults_use(p.h);
    assert_int_equal(load(p.h->config.module, &p.library, &p.p11), CKR_OK);
    assert_int_equal(p.p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(p.p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    p.slot = slots[0];
    assert_int_equal(open_session(&p), CKR_OK);
    log_in(&p);
    assert_int_equal(find_keys(&p), 1);
    faults_forget(p.h);
    *state = &p;
    return 0;
}

static int end(void **state)
{
    struct program *p = *state;
    void *h = p->h;
    faults_end(p->h);
    assert_int_equal(p->p11->C_Finalize(NULL), CKR_OK);
    assert_int_equal(dlclose(p->library), 0);
    p->h->passed = true;
    return harness_teardown(&h);
}

static CK_RV get_label(const struct program *p, char label[static 65], CK_ULONG *ret_len)
{
    CK_ATTRIBUTE template = {CKA_LABEL, label, 64};
    memset(label, 0, 65);
    CK_RV rv = p->p11->C_GetAttributeValue(p->session, p->key, &template, 1);
    *ret_len = template.ulValueLen;
    return rv;
}

static CK_RV ask(const struct program *p)
{
    CK_INFO info;
    return p->p11->C_GetInfo(&info);
}

/* --- the script -------------------------------------------------------------------------- */

/* Loads the module with that script in a process of its own. Its words are in `said`. */
static bool starts_with(const struct harness *h, const char *script, char said[static TEXT_MAX])
{
    char path[HARNESS_PATH_MAX], *module = realpath("build/faultp11.so", NULL);
    CK_FUNCTION_LIST *list;
    void *library;
    int pipes[2], status = 0;
    assert_non_null(module);
    harness_write(h, "script", script, 0600);
    harness_path(h, "script", path);
    assert_int_equal(setenv("FAULTP11_SCRIPT", path, 1), 0);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(pipes[1], STDERR_FILENO);
        _exit(load(module, &library, &list) == CKR_OK ? 0 : 1);
    }
    (void)close(pipes[1]);
    ssize_t len = read(pipes[0], said, TEXT_MAX - 1);
    said[len > 0 ? len : 0] = '\0';
    (void)close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    free(module);
    return status == 0;
}

static const struct {
    const char *line, *complaint;
} wrong[] = {
    {"frobnicate", "'frobnicate' begins no line"},
    {"module libsofthsm2.so", "an absolute path must follow 'module'"},
    {"record", "an absolute path must follow 'record'"},
    {"record /tmp/x of", "a process's name"},
    {"faults /tmp/x y", "'y' is too much"},
    {"on", "'' is no function"},
    {"on C_Frobnicate every crash", "'C_Frobnicate' is no function"},
    {"on C_Encrypt sometimes crash", "'sometimes' says not when"},
    {"on C_Encrypt call 0 crash", "a number from 1 must follow 'call'"},
    {"on C_Encrypt call -1 crash", "a number from 1 must follow 'call'"},
    {"on C_Encrypt calls 7-3 crash", "'calls' wants two numbers"},
    {"on C_Encrypt once x crash", "an absolute path must follow 'once'"},
    {"on C_Encrypt every", "'' is nothing that can happen"},
    {"on C_Encrypt every explode", "'explode' is nothing that can happen"},
    {"on C_Encrypt every return", "'' is no return value"},
    {"on C_Encrypt every return CKR_NONSENSE", "'CKR_NONSENSE' is no return value"},
    {"on C_Encrypt every return 0x30z", "'0x30z' is no return value"},
    {"on C_Encrypt every hang 2h", "'2h' is no duration"},
    {"on C_Encrypt every short 0", "'0' does not say by how much"},
    {"on C_Encrypt every leak 9GiB", "'9GiB' is no size of at most 1024MiB"},
    {"on C_Encrypt every leak 1025MiB", "'1025MiB' is no size"},
    {"on C_Encrypt every flip after", "only return, hang, slow, crash, abort and kill"},
    {"on C_Encrypt every slow", "'slow' wants a duration"},
    {"on C_Encrypt every crash twice", "'twice' is too much"},
    {"on C_GetTokenInfo every flags", "'flags' wants one or more"},
    {"on C_GetTokenInfo every flags +broken", "'+broken' is no flag"},
    {"on C_GetInfo every flags +user-pin-locked", "only C_GetTokenInfo tells flags"},
    {"on C_Encrypt every attributes 1 flip", "only C_GetAttributeValue"},
};

static void test_wrong_scripts(void **state)
{
    struct harness *h = *state;
    char script[TEXT_MAX], said[TEXT_MAX], where[HARNESS_PATH_MAX];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        (void)snprintf(script, sizeof script, "# a drill\nmodule %s\n%s\n", h->config.module,
                       wrong[i].line);
        assert_false(starts_with(h, script, said));
        (void)snprintf(where, sizeof where, "faultp11: %s/script:3: ", h->dir);
        if (strncmp(said, where, strlen(where)) != 0 || !strstr(said, wrong[i].complaint))
            fail_msg("%s: %s", wrong[i].line, said);
    }
    assert_false(starts_with(h, "# nothing", said));
    assert_non_null(strstr(said, "neither the script nor FAULTP11_MODULE"));
    assert_false(starts_with(h, "module /nonexistent.so", said));
    assert_non_null(strstr(said, "/nonexistent.so"));
    (void)snprintf(script, sizeof script, "module %s\n\n \t # blank\non * every return CKR_OK\n",
                   h->config.module);
    assert_true(starts_with(h, script, said));
    assert_string_equal(said, "");
    h->passed = true;
}

/* What was good goes on while the script is spoilt. */
static void test_changed_while_it_runs(void **state)
{
    struct program *p = *state;
    faults_always(p->h, "C_GetInfo", "return CKR_DEVICE_ERROR");
    assert_int_equal(ask(p), CKR_DEVICE_ERROR);
    harness_write(p->h, "script", "on nothing\n", 0600);
    assert_int_equal(ask(p), CKR_DEVICE_ERROR);
    faults_end(p->h);
    assert_int_equal(ask(p), CKR_OK);
}

/* --- when -------------------------------------------------------------------------------- */

static void expect(struct program *p, const char *line, const char *answers)
{
    faults_script(p->h, "calls", line);
    faults_forget(p->h);
    for (size_t i = 0; answers[i]; i++)
        assert_int_equal(ask(p), answers[i] == '.' ? CKR_OK : CKR_DEVICE_ERROR);
}

static void test_when(void **state)
{
    struct program *p = *state;
    expect(p, "on C_GetInfo call 2 return CKR_DEVICE_ERROR", ".X..");
    expect(p, "on C_GetInfo calls 2-3 return 48", ".XX..");
    expect(p, "on C_GetInfo from 3 return 0x30", "..XX");
    expect(p, "on * call 1 return CKR_DEVICE_ERROR", "X..");
    expect(p, "on C_Encrypt every return CKR_DEVICE_ERROR", "...");
    expect(p, "on C_GetInfo every of no-such return CKR_DEVICE_ERROR", "...");
    expect(p, "on C_GetInfo call 1 return CKR_OK\non * every return CKR_DEVICE_ERROR", ".XX");
}

/* Numbers of a function count its own calls, those of * all. */
static void test_numbers(void **state)
{
    struct program *p = *state;
    faults_script(p->h, "calls", "on C_GetInfo call 2 return CKR_DEVICE_ERROR\n");
    faults_forget(p->h);
    assert_int_equal(count_slots(p), 2);
    assert_int_equal(ask(p), CKR_OK);
    assert_int_equal(count_slots(p), 2);
    assert_int_equal(ask(p), CKR_DEVICE_ERROR);
    assert_int_equal(faults_count(p->h, "C_GetInfo"), 2);
    assert_int_equal(faults_count(p->h, "C_GetSlotList"), 2);
    assert_int_equal(faults_count(p->h, "fault"), 1);
    faults_script(p->h, "calls of no-such", "on * call 1 return CKR_DEVICE_ERROR\n");
    faults_forget(p->h);
    assert_int_equal(ask(p), CKR_OK);
    assert_int_equal(faults_count(p->h, "C_GetInfo"), 0);
}

static void test_by_files(void **state)
{
    struct program *p = *state;
    char line[HARNESS_PATH_MAX + 64], path[HARNESS_PATH_MAX];
    harness_path(p->h, "sick", path);
    (void)snprintf(line, sizeof line, "on C_GetInfo every while %s return CKR_DEVICE_ERROR", path);
    faults_script(p->h, "calls", line);
    assert_int_equal(ask(p), CKR_OK);
    harness_write(p->h, "sick", "", 0600);
    assert_int_equal(ask(p), CKR_DEVICE_ERROR);
    assert_int_equal(ask(p), CKR_DEVICE_ERROR);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ask(p), CKR_OK);
    faults_once(p->h, "C_GetInfo", "return CKR_DEVICE_ERROR");
    assert_int_equal(ask(p), CKR_DEVICE_ERROR);
    assert_int_equal(ask(p), CKR_OK);
}

/* --- what -------------------------------------------------------------------------------- */

static void test_answers_are_spoilt(void **state)
{
    struct program *p = *state;
    char good[65], bad[65];
    CK_ULONG len, bad_len;
    assert_int_equal(get_label(p, good, &len), CKR_OK);
    faults_always(p->h, "C_GetAttributeValue", "flip");
    assert_int_equal(get_label(p, bad, &bad_len), CKR_OK);
    assert_int_equal(bad[0], good[0] ^ 1);
    assert_string_equal(bad + 1, good + 1);
    faults_always(p->h, "C_GetAttributeValue", "attributes 2 flip");
    assert_int_equal(get_label(p, bad, &bad_len), CKR_OK);
    assert_string_equal(bad, good);
    faults_always(p->h, "C_GetAttributeValue", "garbage");
    assert_int_equal(get_label(p, bad, &bad_len), CKR_OK);
    assert_true(bad_len == len && memcmp(bad, good, len) != 0);
    faults_always(p->h, "C_GetAttributeValue", "short 3");
    assert_int_equal(get_label(p, bad, &bad_len), CKR_OK);
    assert_int_equal(bad_len, len - 3);
    faults_always(p->h, "C_GetAttributeValue", "long 5");
    assert_int_equal(get_label(p, bad, &bad_len), CKR_OK);
    assert_int_equal(bad_len, len + 5);
    faults_always(p->h, "C_GetAttributeValue", "nothing");
    assert_int_equal(get_label(p, bad, &bad_len), CKR_OK);
    assert_string_equal(bad, "");
    faults_always(p->h, "C_FindObjects", "short");
    assert_int_equal(find_keys(p), 0);
}

/* With "after" the call is made, and then told as failed. */
static void test_after(void **state)
{
    struct program *p = *state;
    CK_SESSION_HANDLE first = p->session;
    CK_SESSION_INFO info;
    assert_int_equal(open_session(p), CKR_OK);
    faults_always(p->h, "C_CloseSession", "return CKR_DEVICE_ERROR");
    assert_int_equal(p->p11->C_CloseSession(p->session), CKR_DEVICE_ERROR);
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_OK);
    faults_always(p->h, "C_CloseSession", "return CKR_DEVICE_ERROR after");
    assert_int_equal(p->p11->C_CloseSession(p->session), CKR_DEVICE_ERROR);
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_SESSION_HANDLE_INVALID);
    p->session = first;
}

static void test_flags(void **state)
{
    struct program *p = *state;
    CK_TOKEN_INFO info;
    faults_always(p->h, "C_GetTokenInfo", "flags +user-pin-locked -token-initialized");
    assert_int_equal(p->p11->C_GetTokenInfo(p->slot, &info), CKR_OK);
    assert_int_equal(info.flags & CKF_USER_PIN_LOCKED, CKF_USER_PIN_LOCKED);
    assert_int_equal(info.flags & CKF_TOKEN_INITIALIZED, 0);
    assert_int_equal(info.flags & CKF_LOGIN_REQUIRED, CKF_LOGIN_REQUIRED);
}

static void test_sessions_and_login_lost(void **state)
{
    struct program *p = *state;
    CK_SESSION_INFO info;
    faults_once(p->h, "C_GetSessionInfo", "log-out");
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
    log_in(p);
    faults_once(p->h, "C_GetSessionInfo", "lose-sessions");
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(open_session(p), CKR_OK);
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_OK);
}

static void test_token_removed(void **state)
{
    struct program *p = *state;
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;
    char line[HARNESS_PATH_MAX + 64], path[HARNESS_PATH_MAX];
    harness_path(p->h, "away", path);
    (void)snprintf(line, sizeof line, "on C_GetSessionInfo every while %s remove-token", path);
    faults_script(p->h, "calls", line);
    harness_write(p->h, "away", "", 0600);
    assert_int_equal(count_slots(p), 2);
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_DEVICE_REMOVED);
    assert_int_equal(count_slots(p), 0);
    assert_int_equal(p->p11->C_GetTokenInfo(p->slot, &token), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(ask(p), CKR_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(count_slots(p), 2);
    assert_int_equal(p->p11->C_GetSessionInfo(p->session, &info), CKR_OK);
}

static void test_slot_changed(void **state)
{
    struct program *p = *state;
    CK_TOKEN_INFO before, after;
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    assert_int_equal(p->p11->C_GetTokenInfo(p->slot, &before), CKR_OK);
    faults_once(p->h, "C_GetSlotList", "change-slot");
    assert_int_equal(p->p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    assert_int_not_equal(slots[0], p->slot);
    assert_int_equal(p->p11->C_GetTokenInfo(slots[0], &after), CKR_OK);
    assert_memory_equal(after.serialNumber, before.serialNumber, sizeof after.serialNumber);
    assert_int_not_equal(p->p11->C_GetTokenInfo(1, &after), CKR_OK);
}

static void test_hang(void **state)
{
    struct program *p = *state;
    enum { HANG_MS = 50 };
    faults_once(p->h, "C_GetInfo", "hang 50ms");
    int64_t began = now_ms();
    assert_int_equal(ask(p), CKR_OK);
    assert_true(now_ms() - began >= HANG_MS);
}

static void expect_end(struct program *p, const char *action, int by_signal)
{
    int status = 0;
    faults_once(p->h, "C_GetInfo", action);
    pid_t child = fork();
    if (child == 0)
        _exit(ask(p) == CKR_OK ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), by_signal);
}

static void test_ends(void **state)
{
    struct program *p = *state;
    expect_end(p, "crash", SIGSEGV);
    expect_end(p, "abort after", SIGABRT);
    expect_end(p, "kill", SIGKILL);
    assert_int_equal(faults_count(p->h, "fault"), 3);
}

int main(void)
{
#define USED(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wrong_scripts, harness_setup, harness_teardown),
        USED(test_changed_while_it_runs),
        USED(test_when),
        USED(test_numbers),
        USED(test_by_files),
        USED(test_answers_are_spoilt),
        USED(test_after),
        USED(test_flags),
        USED(test_sessions_and_login_lost),
        USED(test_token_removed),
        USED(test_slot_changed),
        USED(test_hang),
        USED(test_ends),
    };
    return HARNESS_RUN("faultp11", tests, TEST_SECONDS);
}
