/* SPDX-License-Identifier: Apache-2.0 */
/* That mockp11 has the manners it is said to have, and what pkcs11/ makes of them: whatever else
 * runs on it proves nothing if it has not. Each personality is loaded in a process of its own. */
#include "fixture.h"

#include "io.h"
#include "p11_call.h"
#include "p11_gcm.h"
#include "p11_hmac.h"
#include "p11_key.h"
#include "p11_login.h"
#include "p11_module.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SESSIONS = 3 };

static const struct fixture *fixture;

/* --- in a child: no cmocka there ------------------------------------------------------------- */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void good(struct err e, int line)
{
    char text[160];
    if (err_is(e)) {
        (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, line, err_format(e, text, sizeof text));
        _exit(1);
    }
}
#define GOOD(e) good(e, __LINE__)

/* A module, its token and a session that is logged in. */
struct token {
    struct p11_module *module;
    struct p11_token token;
    struct p11_session session;
};

static struct bytes read_pin(char pin[static 64])
{
    char path[PATH_MAX];
    size_t len = 0;
    fixture_path(fixture, "pin", path);
    GOOD(file_read(path, pin, 64, &len));
    return bytes_of(pin, len - 1);
}

static void load(const char *path, struct token *ret)
{
    struct advice advice = {.text = ""};
    GOOD(p11_module_load(path, &ret->module, &advice));
    GOOD(p11_token_find(ret->module, "pkcs11:token=test", &ret->token, &advice));
    GOOD(p11_token_quirks(ret->module, path, &ret->token));
}

static void log_in(struct token *t)
{
    enum login_end end;
    char pin[64];
    GOOD(p11_session_open(t->module, &t->token, true, &t->session));
    GOOD(p11_session_login(&t->session, read_pin(pin), &end));
}

static void open_token(const char *path, struct token *ret)
{
    load(path, ret);
    log_in(ret);
}

static unsigned long make_key(const struct token *t, enum scheme scheme)
{
    const struct object_id id = {.len = 16, .data = "sixteen bytes..."};
    unsigned long key;
    GOOD(p11_key_generate(&t->session, key_demand(scheme, 0, 0), &id, "label", &key));
    return key;
}

/* --- seals and opens by GCM --------------------------------------------------------------------
 */

struct sealed {
    uint8_t iv[GCM_IV];
    uint8_t ciphertext[8 + GCM_TAG];
};

static const struct bytes plaintext = {(const uint8_t *)"8 bytes!", 8},
                          aad = {(const uint8_t *)"aad", 3},
                          other_aad = {(const uint8_t *)"AAD", 3};

static struct err seal(const struct token *t, unsigned long key, struct sealed *ret)
{
    memset(ret->iv, 0xaa, sizeof ret->iv);
    return p11_gcm_encrypt(&t->session, key, ret->iv, aad, plaintext, ret->ciphertext);
}

static bool opens(const struct token *t, unsigned long key, const struct sealed *sealed,
                  const uint8_t *iv, struct bytes with)
{
    uint8_t memory[sizeof sealed->ciphertext];
    return !err_is(p11_gcm_decrypt(&t->session, key, bytes_of(iv, GCM_IV), with,
                                   bytes_of(sealed->ciphertext, sizeof sealed->ciphertext),
                                   memory)) &&
           bytes_equal(bytes_of(memory, plaintext.len), plaintext);
}

static void own_iv(const char *module)
{
    struct token t;
    struct sealed first, second;
    uint8_t offered[GCM_IV];
    open_token(module, &t);
    unsigned long key = make_key(&t, SCHEME_AES_GCM);
    memset(offered, 0xaa, sizeof offered);
    GOOD(seal(&t, key, &first));
    GOOD(seal(&t, key, &second));
    CHECK(memcmp(first.iv, offered, GCM_IV) != 0 && memcmp(first.iv, second.iv, GCM_IV) != 0);
    CHECK(opens(&t, key, &first, first.iv, aad) && !opens(&t, key, &first, offered, aad));
    CHECK(!opens(&t, key, &first, first.iv, other_aad));
}

/* What its row in quirks.c is for. */
static void cloudhsm(const char *module)
{
    struct token t;
    struct sealed sealed;
    struct p11_session read_only;
    open_token(module, &t);
    unsigned long key = make_key(&t, SCHEME_AES_GCM);
    CHECK(p11_key_relabel(&t.session, key, "other").native == CKR_FUNCTION_NOT_SUPPORTED);
    GOOD(seal(&t, key, &sealed));
    CHECK(opens(&t, key, &sealed, sealed.iv, aad));
    GOOD(p11_session_open(t.module, &t.token, false, &read_only));
    p11_session_close(&read_only);
    t.token.quirks = t.session.quirks = 0;
    CHECK(seal(&t, key, &sealed).native == CKR_MECHANISM_PARAM_INVALID);
    CHECK(p11_session_open(t.module, &t.token, false, &read_only).native == CKR_FUNCTION_FAILED);
}

static void iv_appended(const char *module)
{
    struct token t;
    struct sealed sealed;
    uint8_t out[64], iv[GCM_IV] = {1};
    CK_ULONG len = sizeof out;
    CK_GCM_PARAMS params = {.pIv = iv, .ulIvLen = GCM_IV, .ulIvBits = 96, .ulTagBits = 128};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    open_token(module, &t);
    unsigned long key = make_key(&t, SCHEME_AES_GCM);
    struct err e = seal(&t, key, &sealed);
    CHECK(e.code == ERR_UNSUPPORTED && e.native == CKR_BUFFER_TOO_SMALL);
    GOOD(p11_session_reopen(&t.session));
    GOOD(P11_CALL(t.module, C_EncryptInit, t.session.handle, &mechanism, key));
    GOOD(P11_CALL(t.module, C_Encrypt, t.session.handle, (uint8_t *)(uintptr_t)plaintext.data,
                  plaintext.len, out, &len));
    CHECK(len == plaintext.len + GCM_TAG + 16);
}

static void no_aad(const char *module)
{
    struct token t;
    struct sealed sealed;
    open_token(module, &t);
    unsigned long key = make_key(&t, SCHEME_AES_GCM);
    GOOD(seal(&t, key, &sealed));
    CHECK(opens(&t, key, &sealed, sealed.iv, other_aad));
}

static bool lists_gcm(const struct token *t)
{
    CK_MECHANISM_TYPE mechanisms[256];
    CK_ULONG n = 256;
    GOOD(P11_CALL(t->module, C_GetMechanismList, t->token.slot, mechanisms, &n));
    while (n > 0 && mechanisms[n - 1] != CKM_AES_GCM)
        n--;
    return n > 0;
}

static void has_no_gcm(const char *module, bool listed)
{
    struct token t;
    struct sealed sealed;
    open_token(module, &t);
    CHECK(lists_gcm(&t) == listed);
    CHECK(seal(&t, make_key(&t, SCHEME_AES_GCM), &sealed).native == CKR_MECHANISM_INVALID);
}

static void liar(const char *module)
{
    has_no_gcm(module, true);
}

static void no_gcm(const char *module)
{
    has_no_gcm(module, false);
}

/* A token that is taken for one that makes its IVs, and makes none: the zeros that it was offered
 * must never be used. */
static void an_iv_of_zeros_is_refused(const char *module)
{
    struct token t;
    struct sealed sealed;
    open_token(module, &t);
    unsigned long key = make_key(&t, SCHEME_AES_GCM);
    GOOD(seal(&t, key, &sealed));
    t.session.quirks = 1U << QUIRK_OWN_GCM_IV;
    CHECK(seal(&t, key, &sealed).code == ERR_UNSUPPORTED);
}

/* --- MACs ----------------------------------------------------------------------------------------
 */

static void same_mac(const char *module)
{
    struct token t;
    uint8_t first[HMAC_SHA256], second[HMAC_SHA256];
    open_token(module, &t);
    unsigned long key = make_key(&t, SCHEME_HMAC_DERIVE);
    GOOD(p11_hmac_sha256(&t.session, key, aad, first));
    GOOD(p11_hmac_sha256(&t.session, key, other_aad, second));
    CHECK(memcmp(first, second, sizeof first) == 0);
}

static uint32_t wrong(const struct token *t)
{
    struct p11_key key;
    GOOD(p11_key_read(&t->session, KEY_CLASS_SECRET, make_key(t, SCHEME_HMAC_DERIVE), &key));
    CHECK(key.attributes.length == 0 && key.attributes.type == KEY_TYPE_HMAC);
    return key_attributes_wrong(SCHEME_HMAC_DERIVE, 0, &key.attributes);
}

static void length_untold_by_a_yubihsm(const char *module)
{
    struct token t;
    open_token(module, &t);
    CHECK(wrong(&t) == 0);
}

static void length_untold_by_another(const char *module)
{
    struct token t;
    open_token(module, &t);
    CHECK(wrong(&t) == ATTR_BIT(ATTR_VALUE_LEN));
}

/* --- sessions ------------------------------------------------------------------------------------
 */

static unsigned open_all(const struct token *t)
{
    struct p11_session session;
    unsigned n = 0;
    struct err e;
    while (!err_is(e = p11_session_open(t->module, &t->token, false, &session)))
        n++;
    CHECK(e.native == CKR_SESSION_COUNT);
    return n;
}

/* Another process has one, and gives it back by dying. */
static void few_sessions(const char *module)
{
    int pipes[2];
    char byte;
    CHECK(pipe(pipes) == 0);
    pid_t other = fork();
    struct token t;
    if (other == 0) {
        load(module, &t);
        GOOD(p11_session_open(t.module, &t.token, false, &t.session));
        CHECK(write(pipes[1], "x", 1) == 1);
        (void)pause();
    }
    CHECK(read(pipes[0], &byte, 1) == 1);
    load(module, &t);
    CHECK(open_all(&t) == SESSIONS - 1);
    CHECK(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
    CHECK(open_all(&t) == 1);
}

/* --- users ---------------------------------------------------------------------------------------
 */

static void read_only_user(const char *module)
{
    const struct object_id id = {.len = 1, .data = "x"};
    struct token t;
    unsigned long key;
    open_token(module, &t);
    const struct key_demand *demand = key_demand(SCHEME_AES_GCM, 0, 0);
    CHECK(p11_key_generate(&t.session, demand, &id, "x", &key).native == CKR_ACTION_PROHIBITED);
    CHECK(p11_key_relabel(&t.session, 1, "x").native == CKR_ACTION_PROHIBITED);
    CHECK(p11_key_destroy(&t.session, 1).native == CKR_ACTION_PROHIBITED);
}

static void protected_path(const char *module)
{
    struct token t;
    enum login_end end;
    char pin[64];
    load(module, &t);
    CHECK(t.token.pin.protected_path);
    GOOD(p11_session_open(t.module, &t.token, false, &t.session));
    CHECK(p11_session_login(&t.session, read_pin(pin), &end).native == CKR_ARGUMENTS_BAD);
    CHECK(p11_session_login(&t.session, bytes_of(NULL, 0), &end).native == CKR_FUNCTION_CANCELED);
    fixture_write(fixture, "keypad", "", 0600);
    char path[PATH_MAX], keypad[PATH_MAX];
    fixture_path(fixture, "pin", path);
    fixture_path(fixture, "keypad", keypad);
    CHECK(unlink(keypad) == 0 && link(path, keypad) == 0);
    GOOD(p11_session_login(&t.session, bytes_of(NULL, 0), &end));
}

/* --- the network
 * ----------------------------------------------------------------------------------- */

static struct err ask(const struct token *t)
{
    bool logged_in;
    return p11_session_logged_in(&t->session, &logged_in);
}

/* Away and back; then everything fails still. */
static void break_network(struct token *t)
{
    char path[PATH_MAX];
    GOOD(ask(t));
    fixture_write(fixture, "fault", "", 0600);
    CHECK(ask(t).native == CKR_DEVICE_ERROR);
    fixture_path(fixture, "fault", path);
    CHECK(unlink(path) == 0);
    CHECK(ask(t).native == CKR_DEVICE_ERROR);
}

static struct err start_anew(const struct token *t)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    TRY(P11_CALL(t->module, C_Finalize, NULL));
    return P11_CALL(t->module, C_Initialize, &args);
}

static void finalize(const char *module)
{
    struct token t;
    open_token(module, &t);
    break_network(&t);
    GOOD(start_anew(&t));
    log_in(&t);
    GOOD(ask(&t));
}

static void new_process(const char *module)
{
    struct token t;
    open_token(module, &t);
    break_network(&t);
    CHECK(start_anew(&t).native == CKR_DEVICE_ERROR);
    CHECK(ask(&t).native == CKR_DEVICE_ERROR);
}

/* --- the tests -----------------------------------------------------------------------------------
 */

struct row {
    const char *personality; /* NULL: SoftHSM itself */
    void (*run)(const char *module);
};

static const struct row rows[] = {
    {"own-iv", own_iv},
    {"cloudhsm", cloudhsm},
    {"iv-appended", iv_appended},
    {"no-aad", no_aad},
    {"liar", liar},
    {"no-gcm", no_gcm},
    {NULL, an_iv_of_zeros_is_refused},
    {"same-mac", same_mac},
    {"no-gcm", length_untold_by_a_yubihsm},
    {"untold", length_untold_by_another},
    {"few-sessions", few_sessions},
    {"read-only-user", read_only_user},
    {"protected-path", protected_path},
    {"finalize", finalize},
    {"new-process", new_process},
};

enum { ROWS = sizeof rows / sizeof *rows };

static bool is_cloudhsm(const struct row *row)
{
    return row->personality && strcmp(row->personality, "cloudhsm") == 0;
}

/* Where its quirks go by the name of the vendor's module, it has that. */
static void prepare(const struct fixture *f, const struct row *row, char path[static PATH_MAX])
{
    char *mock = realpath("tests/mockp11/mockp11.so", NULL);
    assert_non_null(mock);
    assert_int_equal(setenv("P11KMS_MOCK", row->personality ? row->personality : "", 1), 0);
    assert_int_equal(setenv("P11KMS_MOCK_MODULE", f->config.module, 1), 0);
    assert_int_equal(setenv("P11KMS_MOCK_DIR", f->dir, 1), 0);
    fixture_path(f, is_cloudhsm(row) ? "libcloudhsm_pkcs11.so" : "mockp11.so", path);
    assert_int_equal(symlink(mock, path), 0);
    if (!row->personality)
        (void)snprintf(path, PATH_MAX, "%s", f->config.module);
    free(mock);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct fixture *f = NULL;
    char path[PATH_MAX];
    int status = -1;
    assert_int_equal(fixture_setup((void **)&f), 0);
    fixture = f;
    prepare(f, row, path);
    pid_t pid = fork();
    if (pid == 0) {
        row->run(path);
        _exit(0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    (void)fixture_teardown((void **)&f);
    assert_int_equal(status, 0);
}

int main(void)
{
    struct CMUnitTest tests[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        tests[i] = (struct CMUnitTest){rows[i].personality ? rows[i].personality : "SoftHSM",
                                       test_row, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    return _cmocka_run_group_tests("mockp11", tests, ROWS, NULL, NULL);
}
