/* SPDX-License-Identifier: Apache-2.0 */
/* A token that goes away or breaks under load: an outage is told as one, nothing wrong is ever
 * answered, and it is over by itself. */
#include "faults.h"

#include "load.h"

#include <glob.h>
#include <string.h>

enum {
    TEST_SECONDS = 200,
    TOLD_MS = 3000,
    TIMEOUT_MS = 2000, /* token.timeout's default */
    BACK_MS = 5000,    /* the monitor's back-off is 3 s at most, then the agent starts */
    FAULT_MS = 1500,
    WARM_CALLS = 100,
    AFTER_CALLS = 400,
    OK_MS = 20000,
    RUN_MS = 30000,
    BROKEN_CALLS = 50
};

/* --- a daemon under load, before faultp11 --------------------------------------- */

struct scene {
    struct harness *h;
    struct load *load;
    struct kms_client_status before;
};

static void serve(struct harness *h, const char *token)
{
    faults_use(h);
    h->config.token = token;
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
}

static struct scene begin(void **state)
{
    struct scene s = {.h = *state};
    serve(s.h, "  probeEvery: 1s\n");
    assert_true(harness_status(s.h, &s.before));
    s.load = load_start(s.h->socket);
    assert_non_null(s.load);
    assert_true(load_await_ok(s.load, WARM_CALLS, OK_MS));
    return s;
}

static void assert_told(const struct scene *s, const struct kms_client_status *now)
{
    assert_string_not_equal(now->healthz, "ok");
    assert_string_equal(now->key_id, s->before.key_id);
    printf("  %s\n", now->healthz);
}

/* Ends the scene, with a fault that was there for so long; the calls that failed did so as in an
 * outage, and none later than back_ms after it was gone. */
static void end(struct scene *s, int64_t fault_ms, int64_t held_ms, int back_ms)
{
    int64_t limit_ms = held_ms + patience(back_ms);
    struct load_figures figures;
    struct kms_client_status after;
    assert_true(load_await_ok(s->load, AFTER_CALLS, OK_MS));
    load_stop(s->load, &figures);
    int64_t away = figures.last_failure_ms > 0 ? figures.last_failure_ms - fault_ms : 0;
    printf("figure: calls succeed again %lld ms after the fault began (limit %lld)\n",
           (long long)away, (long long)limit_ms);
    assert_true(load_only_outage(&figures));
    assert_int_equal(figures.status.failed, 0);
    assert_true(away <= limit_ms);
    (void)harness_await_health(s->h, "ok", BACK_MS);
    assert_true(harness_status(s->h, &after));
    assert_string_equal(after.key_id, s->before.key_id);
    harness_round_trips(s->h);
    s->h->passed = true;
}

struct unwell {
    const struct harness *h;
    struct kms_client_status status;
};

static bool is_unwell(void *context)
{
    struct unwell *unwell = context;
    return harness_status(unwell->h, &unwell->status) && strcmp(unwell->status.healthz, "ok") != 0;
}

static int encrypt_code(const struct harness *h, enum kms_api_version version)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    bool failed = err_is(kms_client_encrypt(client, version, bytes_of_string("a DEK"),
                                            HARNESS_CALL_MS, &sealed, &failure));
    return failed ? failure.code : GRPC_STATUS_OK;
}

/* --- the store ---------------------------------------------------------------------------- */

static void move(const struct harness *h, const char *from, const char *to)
{
    char old_path[HARNESS_PATH_MAX], new_path[HARNESS_PATH_MAX];
    harness_path(h, from, old_path);
    harness_path(h, to, new_path);
    assert_int_equal(rename(old_path, new_path), 0);
}

static void test_store_moved_away(void **state)
{
    struct scene s = begin(state);
    struct unwell unwell = {.h = s.h};
    int64_t fault = now_ms(), took = 0;
    move(s.h, "tokens", "tokens.away");
    assert_true(await(is_unwell, &unwell, TOLD_MS, &took));
    printf("figure: Status told of the lost store after %lld ms\n", (long long)took);
    assert_told(&s, &unwell.status);
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        assert_int_equal(encrypt_code(s.h, (enum kms_api_version)v), GRPC_STATUS_UNAVAILABLE);
    pass_time(FAULT_MS); /* while one agent after another finds nothing */
    assert_true(harness_status(s.h, &unwell.status));
    assert_told(&s, &unwell.status);
    move(s.h, "tokens.away", "tokens");
    end(&s, fault, now_ms() - fault, BACK_MS);
}

/* --- CKRs --------------------------------------------------------------------------------- */

static const struct ckr {
    const char *name;
    bool new_agent; /* else the agent mends it by itself, and the caller sees nothing of it */
} ckrs[] = {
    {"CKR_DEVICE_ERROR", true},
    {"CKR_SESSION_HANDLE_INVALID", false},
    {"CKR_USER_NOT_LOGGED_IN", false},
    {"CKR_OBJECT_HANDLE_INVALID", false},
};

static const char *const functions[] = {"C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt"};

enum { CKRS = sizeof ckrs / sizeof *ckrs, FUNCTIONS = sizeof functions / sizeof *functions };

/* A failure ends the operation, as PKCS#11 demands: none is begun, or the one that was is over. */
static const char *ckr_action(const struct ckr *ckr, const char *function, char ret[static 64])
{
    bool begins = strstr(function, "Init") != NULL;
    (void)snprintf(ret, 64, "return %s%s", ckr->name, begins ? "" : " after");
    return ret;
}

struct opened {
    int code;
    char message[256];
};

/* Decrypts what was sealed before; the plaintext is compared. */
static struct opened decrypt_code(const struct harness *h, const struct kms_sealed *sealed)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    AUTO_SECRET struct secret *plaintext = NULL;
    struct kms_failure failure;
    struct opened opened = {.code = GRPC_STATUS_OK};
    assert_false(err_is(secret_new(512, &plaintext)));
    if (err_is(
            kms_client_decrypt(client, KMS_API_V2, sealed, HARNESS_CALL_MS, plaintext, &failure))) {
        opened.code = failure.code;
        (void)snprintf(opened.message, sizeof opened.message, "%.255s", failure.message);
    } else {
        assert_true(bytes_equal(secret_bytes(plaintext), bytes_of_string("a DEK")));
    }
    return opened;
}

static void seal(const struct harness *h, struct kms_sealed *ret)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    struct kms_failure failure;
    assert_false(err_is(kms_client_encrypt(client, KMS_API_V2, bytes_of_string("a DEK"),
                                           HARNESS_CALL_MS, ret, &failure)));
}

static void break_once(const struct harness *h, const struct kms_sealed *sealed,
                       const struct ckr *ckr, const char *function)
{
    bool opens = strncmp(function, "C_Decrypt", 9) == 0;
    unsigned before = faults_count(h, "fault");
    struct opened result = {.code = 0};
    char action[64];
    faults_once(h, function, ckr_action(ckr, function, action));
    if (opens)
        result = decrypt_code(h, sealed);
    else
        result.code = encrypt_code(h, KMS_API_V2);
    assert_int_equal(faults_count(h, "fault"), before + 1);
    printf("  %s once in %s: %s %s\n", ckr->name, function,
           async_code_name((grpc_status_code)result.code), result.message);
    if (result.code != GRPC_STATUS_OK &&
        !(ckr->new_agent && result.code == GRPC_STATUS_UNAVAILABLE))
        fail_msg("%s once in %s", ckr->name, function);
    if (result.code == GRPC_STATUS_UNAVAILABLE)
        faults_await_end(h, BACK_MS);
}

/* A new agent may have been asked for: until it is there a call waits, or fails so. */
static bool seals(void *context)
{
    return encrypt_code((const struct harness *)context, KMS_API_V2) == GRPC_STATUS_OK;
}

static void test_each_ckr_once(void **state)
{
    struct harness *h = *state;
    serve(h, "  probeEvery: 1h\n"); /* so that no probe takes the fault */
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    seal(h, &sealed);
    for (size_t i = 0; i < CKRS * FUNCTIONS; i++) {
        assert_true(await(seals, h, BACK_MS, NULL));
        assert_int_equal(decrypt_code(h, &sealed).code, GRPC_STATUS_OK);
        break_once(h, &sealed, &ckrs[i / FUNCTIONS], functions[i % FUNCTIONS]);
    }
    assert_true(await(seals, h, BACK_MS, NULL));
    harness_round_trips(h);
    h->passed = true;
}

/* Each CKR for a while, each in another function. */
static void break_for_a_while(void **state, size_t i)
{
    struct scene s = begin(state);
    struct unwell unwell = {.h = s.h};
    int64_t fault = now_ms();
    char action[64];
    printf("  %s in %s\n", ckrs[i].name, functions[i]);
    faults_always(s.h, functions[i], ckr_action(&ckrs[i], functions[i], action));
    assert_true(await(is_unwell, &unwell, TOLD_MS, NULL));
    assert_told(&s, &unwell.status);
    pass_time(FAULT_MS);
    faults_end(s.h);
    assert_true(faults_count(s.h, "fault") > 0);
    end(&s, fault, now_ms() - fault, BACK_MS);
}

static void test_device_error_for_a_while(void **state)
{
    break_for_a_while(state, 0);
}

static void test_session_lost_for_a_while(void **state)
{
    break_for_a_while(state, 1);
}

static void test_logged_out_for_a_while(void **state)
{
    break_for_a_while(state, 2);
}

static void test_object_gone_for_a_while(void **state)
{
    break_for_a_while(state, 3);
}

/* --- worse -------------------------------------------------------------------------------- */

static void test_hang_in_encrypt(void **state)
{
    struct scene s = begin(state);
    int64_t fault = now_ms();
    faults_once(s.h, "C_Encrypt", "hang");
    faults_await(s.h, "fault", 1, OK_MS);
    end(&s, fault, TIMEOUT_MS, TOLD_MS);
}

static void test_crash_in_decrypt(void **state)
{
    struct scene s = begin(state);
    int64_t fault = now_ms();
    faults_once(s.h, "C_Decrypt", "crash");
    faults_await(s.h, "fault", 1, OK_MS);
    end(&s, fault, 0, TOLD_MS);
}

/* What the token sealed is opened again before it is answered, so that a bad ciphertext, or one
 * that cannot be proved good, never leaves. */
static void assert_nothing_is_sealed(void **state, const char *function)
{
    enum { TRIES = 30 };
    struct harness *h = *state;
    serve(h, "");
    faults_always(h, function, "flip");
    for (int i = 0; i < TRIES; i++) {
        int code = encrypt_code(h, (enum kms_api_version)(i % KMS_API_VERSIONS));
        if (code != GRPC_STATUS_INTERNAL && code != GRPC_STATUS_UNAVAILABLE)
            fail_msg("a flipped bit in %s: %s", function, async_code_name((grpc_status_code)code));
    }
    assert_true(faults_count(h, "fault") > 0);
    faults_end(h);
    faults_await_end(h, BACK_MS);
    (void)harness_await_health(h, "ok", BACK_MS);
    assert_true(await(seals, h, BACK_MS, NULL));
    harness_round_trips(h);
    h->passed = true;
}

static void test_wrong_ciphertext(void **state)
{
    assert_nothing_is_sealed(state, "C_Encrypt");
}

static void test_wrong_plaintext(void **state)
{
    assert_nothing_is_sealed(state, "C_Decrypt");
}

/* What is sealed is p11-kms's own choice: a token that refuses it as data has a fault, which Status
 * tells though no probe is due. */
static void test_data_refused_is_an_outage(void **state)
{
    static const char *const answers[] = {"return CKR_DATA_INVALID", "return CKR_DATA_LEN_RANGE",
                                          "return CKR_ENCRYPTED_DATA_INVALID"};
    struct harness *h = *state;
    struct unwell unwell = {.h = h};
    faults_use(h);
    h->config.token = "  probeEvery: 1h\n";
    harness_write_config(h);
    harness_start(h);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        (void)harness_await_health(h, "ok", HARNESS_START_MS);
        faults_always(h, "C_EncryptInit", answers[i]);
        assert_int_equal(encrypt_code(h, KMS_API_V2), GRPC_STATUS_UNAVAILABLE);
        assert_true(await(is_unwell, &unwell, TOLD_MS, NULL));
        printf("  %s\n", unwell.status.healthz);
        faults_end(h);
    }
    (void)harness_await_health(h, "ok", BACK_MS);
    harness_round_trips(h);
    h->passed = true;
}

/* The canary tells of a token that opens to something else, and a fresh agent's new canary tells
 * that the KEK is not to blame: an outage, no quarantine. */
static void test_wrong_plaintext_is_an_outage(void **state)
{
    struct harness *h = *state;
    struct unwell unwell = {.h = h};
    struct kms_client_status before;
    serve(h, "  probeEvery: 1s\n");
    assert_true(harness_status(h, &before));
    faults_always(h, "C_Decrypt", "flip");
    assert_true(await(is_unwell, &unwell, BACK_MS, NULL));
    (void)harness_await_health(h, "check the token", BACK_MS);
    assert_true(harness_status(h, &unwell.status));
    assert_string_equal(unwell.status.key_id, before.key_id);
    assert_null(strstr(unwell.status.healthz, "quarantine"));
    printf("  %s\n", unwell.status.healthz);
    faults_end(h);
    (void)harness_await_health(h, "ok", BACK_MS);
    harness_round_trips(h);
    h->passed = true;
}

/* A token that gave a KEK's handle to another key: that one seals and opens as well, and what it
 * seals is lost. */
static void test_handle_of_another_key(void **state)
{
    struct harness *h = *state;
    struct unwell unwell = {.h = h};
    serve(h, "  probeEvery: 1s\n");
    faults_always(h, "C_GetAttributeValue", "attributes 1 flip");
    for (int i = 0; i < 10; i++)
        assert_int_equal(encrypt_code(h, i % 2 ? KMS_API_V2 : KMS_API_V1BETA1),
                         GRPC_STATUS_UNAVAILABLE);
    assert_true(await(is_unwell, &unwell, BACK_MS, NULL));
    printf("  %s\n", unwell.status.healthz);
    faults_end(h);
    (void)harness_await_health(h, "ok", BACK_MS);
    /* told once, it is looked up anew, and the call succeeds */
    faults_once(h, "C_GetAttributeValue", "attributes 1 flip");
    harness_round_trips(h);
    h->passed = true;
}

/* --- one KEK ------------------------------------------------------------------------------ */

/* Where SoftHSM's file of a key has the value, or a private exponent, of so many bytes: attributes
 * are type, kind and length of 8 bytes each, and their bytes. NULL in another file. */
static uint8_t *find_value(uint8_t *file, size_t size, size_t *ret_len)
{
    static const uint8_t kinds[][16] = {{[6] = 0x00, [7] = 0x11, [15] = 3},
                                        {[6] = 0x01, [7] = 0x23, [15] = 3}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *at = memmem(file, size, kinds[i], sizeof kinds[i]);
        size_t room = at ? size - (size_t)(at - file) : 0;
        *ret_len = room > 24 ? (size_t)at[22] << 8 | at[23] : 0;
        if (*ret_len >= 48 && *ret_len <= room - 24)
            return at + 24;
    }
    return NULL;
}

/* The object is there as before, but its value, which the token has encrypted in CBC mode, has no
 * padding any more: the token fails with CKR_GENERAL_ERROR whoever uses it. */
static bool damage_object(const char *path)
{
    uint8_t file[16384];
    size_t len = 0;
    CLEANUP(fclose_p) FILE *f = fopen(path, "r+");
    assert_non_null(f);
    size_t size = fread(file, 1, sizeof file, f);
    assert_in_range(size, 1, sizeof file - 1);
    uint8_t *value = find_value(file, size, &len);
    if (!value)
        return false;
    value[len - 17] ^= 0x55;
    rewind(f);
    assert_int_equal(fwrite(file, 1, size, f), size);
    return true;
}

/* Makes another KEK the active one. */
static void rotate(const struct harness *h)
{
    char *const argv[] = {(char[]){"build/p11-kms"},
                          (char[]){"keys"},
                          (char[]){"rotate"},
                          (char[]){"--config"},
                          (char *)(uintptr_t)h->config_path,
                          NULL};
    assert_int_equal(process_run(argv, h->log, RUN_MS), 0);
}

static void damage_objects(const glob_t *files)
{
    unsigned damaged = 0;
    for (size_t i = 0; i < files->gl_pathc; i++)
        if (!strstr(files->gl_pathv[i], "token.object"))
            damaged += damage_object(files->gl_pathv[i]);
    assert_true(damaged > 0);
}

struct older {
    const struct harness *h;
    struct kms_sealed sealed; /* with the KEK that is the older one then */
    pid_t agent;
};

/* Nothing more is to be changed on the token. */
static bool is_rotated(void *context)
{
    const struct older *o = context;
    char log[16384];
    return strstr(harness_read(o->h->log, log, sizeof log), "deactivated a KEK") != NULL;
}

static bool has_another_agent(void *context)
{
    const struct older *o = context;
    return harness_agent(o->h) != o->agent && encrypt_code(o->h, KMS_API_V2) == GRPC_STATUS_OK;
}

/* A KEK that is not the active one, and fails whenever it is used, costs the others one agent. */
static void test_an_older_kek_is_damaged(void **state)
{
    struct harness *h = *state;
    struct older older = {.h = h};
    char pattern[HARNESS_PATH_MAX];
    glob_t files;
    h->config.ring = "  rotateEvery: never\n  activationDelay: 0s\n";
    harness_write_config(h);
    harness_path(h, "tokens/*/*.object", pattern);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    seal(h, &older.sealed);
    rotate(h);
    assert_true(await(is_rotated, &older, RUN_MS, NULL));
    harness_stop(h);
    damage_objects(&files);
    globfree(&files);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    older.agent = harness_agent(h);
    assert_int_equal(decrypt_code(h, &older.sealed).code, GRPC_STATUS_UNAVAILABLE);
    assert_true(await(has_another_agent, &older, BACK_MS, NULL));
    older.agent = harness_agent(h);
    for (int i = 0; i < BROKEN_CALLS; i++) {
        assert_int_equal(decrypt_code(h, &older.sealed).code, GRPC_STATUS_UNAVAILABLE);
        assert_int_equal(encrypt_code(h, KMS_API_V2), GRPC_STATUS_OK);
    }
    assert_int_equal(harness_agent(h), older.agent);
    (void)harness_await_health(h, "ok", 0);
    kms_sealed_release(&older.sealed);
    h->passed = true;
}

int main(void)
{
#define TOKEN(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TOKEN(test_store_moved_away),          TOKEN(test_each_ckr_once),
        TOKEN(test_device_error_for_a_while),  TOKEN(test_session_lost_for_a_while),
        TOKEN(test_logged_out_for_a_while),    TOKEN(test_object_gone_for_a_while),
        TOKEN(test_hang_in_encrypt),           TOKEN(test_crash_in_decrypt),
        TOKEN(test_wrong_ciphertext),          TOKEN(test_wrong_plaintext),
        TOKEN(test_data_refused_is_an_outage), TOKEN(test_wrong_plaintext_is_an_outage),
        TOKEN(test_handle_of_another_key),     TOKEN(test_an_older_kek_is_damaged),
    };
    return HARNESS_RUN("a token that breaks", tests, TEST_SECONDS);
}
