/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "async.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>

enum {
    CALL_MS = 5000,
    STOP_MS = 8000,
    UNCHANGED_MS = 3000, /* until descriptors and children that are not needed any more are gone */
    QUIET_MS = 25,       /* without any PKCS#11 call: nobody is at work any more */
    PROCESS_RECORD = 64,
    BUSY = 6 /* so much more time on a machine that does other things as well */
};

static const struct bytes dek = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32};

static void in_dir(const struct scene *s, const char *name, char ret[static HARNESS_PATH_MAX])
{
    harness_path(s->h, name, ret);
}

/* --- the token's store and the record of calls ------------------------------------------- */

static unsigned count_objects_in(const char *path)
{
    unsigned n = 0;
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char below[HARNESS_PATH_MAX + 300];
        const char *end = strrchr(entry->d_name, '.');
        (void)snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            n += end && strcmp(end, ".object") == 0 ? strcmp(entry->d_name, "token.object") != 0
                                                    : count_objects_in(below);
    }
    (void)closedir(directory);
    return n;
}

static unsigned count_objects(const struct scene *s)
{
    char path[HARNESS_PATH_MAX];
    in_dir(s, "tokens", path);
    return count_objects_in(path);
}

void scene_calls(const struct scene *s, struct calls *ret)
{
    char path[HARNESS_PATH_MAX], record[PROCESS_RECORD + 1];
    in_dir(s, "calls", path);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    ret->n = 0;
    while (file && ret->n < SCENE_CALLS_MAX && fread(record, PROCESS_RECORD, 1, file) == 1) {
        record[PROCESS_RECORD] = '\0';
        if (sscanf(record, "%31s", ret->names[ret->n]) == 1)
            ret->n++;
    }
}

void scene_calls_settled(const struct scene *s, struct calls *ret)
{
    static struct calls before;
    scene_calls(s, ret);
    do {
        before = *ret;
        pass_time(QUIET_MS);
        scene_calls(s, ret);
    } while (ret->n != before.n);
}

void scene_arm(const struct scene *s, const char *line)
{
    faults_script(s->h, "calls of p11-kms-agent", "");
    faults_forget(s->h);
    if (line[0])
        faults_script(s->h, "calls of p11-kms-agent", line);
}

/* --- the daemon -------------------------------------------------------------------------- */

static void disconnect(struct scene *s)
{
    kms_client_close(s->client);
    s->client = NULL;
}

void scene_start(struct scene *s)
{
    s->h->monitor = harness_spawn(s->h, s->h->log);
    const struct kms_client_options options = {.socket_path = s->h->socket};
    int64_t began = now_ms();
    while (err_is(kms_client_open(&options, &s->client)) && now_ms() - began < HARNESS_START_MS)
        pass_time(2);
    assert_non_null(s->client);
    s->front_end = harness_front_end(s->h);
}

/* FAILED_PRECONDITION is for a KEK that is proved missing or changed. */
bool scene_status(const struct scene *s, struct verdict *v, char text[static 256])
{
    struct kms_client_status status;
    struct kms_failure failure;
    if (err_is(kms_client_status(s->client, KMS_API_V2, CALL_MS, &status, &failure))) {
        (void)snprintf(text, 256, "%.255s", failure.message);
        if (!s->kek_in_doubt || failure.code != GRPC_STATUS_FAILED_PRECONDITION)
            WRONG(v, "Status is an error, %s: %s", failure.name, text);
        return false;
    }
    (void)snprintf(text, 256, "%.255s", status.healthz);
    if (strcmp(status.key_id, s->key_id) != 0)
        WRONG(v, "Status names %.100s, before %.100s", status.key_id, s->key_id);
    return true;
}

struct wanted_status {
    const struct scene *s;
    const char *text; /* "ok" means exactly that */
    struct verdict *v;
};

static bool status_says(void *context)
{
    const struct wanted_status *wanted = context;
    char text[256];
    bool answered = scene_status(wanted->s, wanted->v, text);
    if (strcmp(wanted->text, "ok") == 0)
        return answered && strcmp(text, "ok") == 0;
    return strstr(text, wanted->text) != NULL;
}

bool scene_await_status(const struct scene *s, const char *text, int timeout_ms, struct verdict *v)
{
    struct wanted_status wanted = {s, text, v};
    return await(status_says, &wanted, timeout_ms, NULL);
}

bool scene_settle(struct scene *s, struct verdict *v)
{
    struct calls calls;
    if (!scene_await_status(s, "ok", HARNESS_START_MS, v))
        return false;
    scene_calls_settled(s, &calls);
    s->fds = process_fds(s->front_end);
    s->objects = count_objects(s);
    return true;
}

/* The ring's first KEK, which stays the active one. */
static bool is_first_ok(void *context)
{
    struct scene *s = context;
    struct kms_client_status status;
    struct kms_failure failure;
    if (err_is(kms_client_status(s->client, KMS_API_V2, CALL_MS, &status, &failure)) ||
        strcmp(status.healthz, "ok") != 0)
        return false;
    memcpy(s->key_id, status.key_id, sizeof s->key_id);
    return true;
}

void scene_begin(struct scene *s, struct harness *h, const char *token, const char *ring)
{
    struct verdict v = {.text = ""};
    *s = (struct scene){.h = h};
    s->kept = calloc(SCENE_KEPT_MAX, sizeof *s->kept);
    assert_non_null(s->kept);
    faults_use(h);
    h->config.token = token;
    h->config.ring = ring;
    harness_write_config(h);
    scene_arm(s, "");
    scene_start(s);
    assert_true(await(is_first_ok, s, HARNESS_START_MS, NULL));
    assert_true(scene_settle(s, &v));
    assert_string_equal(v.text, "");
}

void scene_end(struct scene *s)
{
    disconnect(s);
    for (size_t i = 0; i < s->n_kept; i++)
        kms_sealed_release(&s->kept[i].sealed);
    free(s->kept);
}

void scene_stop(struct scene *s, struct verdict *v)
{
    disconnect(s);
    (void)kill(s->h->monitor, SIGTERM);
    int code = process_wait(s->h->monitor, STOP_MS);
    s->h->monitor = 0;
    if (code != 0)
        WRONG(v, "the daemon ended with %d", code);
}

static void remove_pin_record(const struct scene *s)
{
    char state[HARNESS_PATH_MAX];
    in_dir(s, "state", state);
    char *const forget[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"rm -f \"$1\"/pin-*.record"},
                            (char[]){"sh"}, state,          NULL};
    (void)process_run(forget, s->h->log, STOP_MS);
}

void scene_mend_pin(const struct scene *s)
{
    remove_pin_record(s);
    (void)kill(s->h->monitor, SIGHUP);
}

void scene_restart(struct scene *s)
{
    struct verdict unused = {.text = ""};
    scene_arm(s, "");
    if (s->h->monitor > 0)
        scene_stop(s, &unused);
    remove_pin_record(s);
    scene_start(s);
    assert_true(scene_settle(s, &unused));
}

void scene_forget_last(struct scene *s)
{
    if (s->n_kept > 0)
        kms_sealed_release(&s->kept[--s->n_kept].sealed);
}

/* --- calls ------------------------------------------------------------------------------- */

int scene_encrypt(struct scene *s, enum kms_api_version version, struct verdict *v,
                  char text[static 256])
{
    struct kms_failure failure;
    struct kept *kept = &s->kept[s->n_kept];
    assert_true(s->n_kept < SCENE_KEPT_MAX);
    *kept = (struct kept){.version = version};
    text[0] = '\0';
    if (err_is(kms_client_encrypt(s->client, version, dek, CALL_MS, &kept->sealed, &failure))) {
        (void)snprintf(text, 256, "%.255s", failure.message);
        if (failure.code == 0)
            WRONG(v, "an Encrypt was not answered at all");
        return failure.code;
    }
    s->n_kept++;
    return GRPC_STATUS_OK;
}

int scene_decrypt(struct scene *s, size_t i, struct verdict *v, char text[static 256],
                  bool *ret_other)
{
    AUTO_SECRET struct secret *opened = NULL;
    struct kms_failure failure;
    text[0] = '\0';
    assert_false(err_is(secret_new(512, &opened)));
    if (err_is(kms_client_decrypt(s->client, s->kept[i].version, &s->kept[i].sealed, CALL_MS,
                                  opened, &failure))) {
        (void)snprintf(text, 256, "%.255s", failure.message);
        if (failure.code == 0)
            WRONG(v, "a Decrypt was not answered at all");
        return failure.code;
    }
    bool other = !bytes_equal(secret_bytes(opened), dek);
    if (other && ret_other)
        *ret_other = true;
    else if (other)
        WRONG(v, "a Decrypt gave another plaintext");
    return GRPC_STATUS_OK;
}

/* --- what must hold ---------------------------------------------------------------------- */

struct wanted_well {
    struct scene *s;
    struct verdict *v; /* what is wrong meanwhile stays so */
    char text[256];
};

/* With nothing broken any more, a call fails because an agent is on its way, and so alone. */
static bool has_succeeded(const struct wanted_well *wanted, int code)
{
    if (code != GRPC_STATUS_OK && code != GRPC_STATUS_UNAVAILABLE)
        WRONG(wanted->v, "the fault is over, and a client got %s: %s",
              async_code_name((grpc_status_code)code), wanted->text);
    return code == GRPC_STATUS_OK;
}

static bool is_well(void *context)
{
    struct wanted_well *wanted = context;
    struct scene *s = wanted->s;
    if (!scene_status(s, wanted->v, wanted->text) || strcmp(wanted->text, "ok") != 0)
        return false;
    for (int version = 0; version < KMS_API_VERSIONS; version += KMS_API_V2) {
        size_t before = s->n_kept;
        int code = scene_encrypt(s, (enum kms_api_version)version, wanted->v, wanted->text);
        if (!has_succeeded(wanted, code))
            return false;
        code = scene_decrypt(s, before, wanted->v, wanted->text, NULL);
        if (!has_succeeded(wanted, code))
            return false;
        scene_forget_last(s);
    }
    return true;
}

static bool is_well_or_wrong(void *context)
{
    const struct wanted_well *wanted = context;
    return is_well(context) || is_wrong(wanted->v);
}

void scene_expect_well(struct scene *s, int64_t since_ms, struct verdict *v)
{
    struct wanted_well wanted = {.s = s, .v = v, .text = ""};
    if (!await(is_well_or_wrong, &wanted, BUSY * SCENE_HEALTHY_MS, NULL))
        WRONG(v, "not well again: %s", wanted.text);
    if (is_wrong(v))
        return;
    int64_t took = now_ms() - since_ms;
    if (took > s->slowest_ms)
        s->slowest_ms = took;
    if (took > SCENE_HEALTHY_MS)
        print_error("  well again only after %lld ms (limit %d): the machine is busy\n",
                    (long long)took, (int)SCENE_HEALTHY_MS);
}

static unsigned count_children(pid_t parent)
{
    char path[64], list[512];
    unsigned n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    (void)harness_read(path, list, sizeof list);
    for (const char *at = list; *at; at++)
        n += *at == ' ';
    return n;
}

static bool is_unchanged(void *context)
{
    const struct scene *s = context;
    return process_fds(s->front_end) == s->fds && count_children(s->h->monitor) == 2;
}

void scene_expect_unchanged(struct scene *s, struct verdict *v)
{
    if (!process_alive(s->front_end) || process_child(s->h->monitor, "--front-end") != s->front_end)
        WRONG(v, "the front end is another");
    else if (!await(is_unchanged, s, UNCHANGED_MS, NULL))
        WRONG(v, "the front end has %d descriptors, before %d; the monitor %u children, not 2",
              process_fds(s->front_end), s->fds, count_children(s->h->monitor));
    if (count_objects(s) != s->objects)
        WRONG(v, "the token has %u objects, before %u", count_objects(s), s->objects);
}

static bool is_gone(void *context)
{
    return !process_alive(*(const pid_t *)context);
}

void scene_expect_ended(const struct scene *s, struct verdict *v)
{
    char path[HARNESS_PATH_MAX], text[256];
    int pid = 0;
    in_dir(s, "faults", path);
    if (sscanf(harness_read(path, text, sizeof text), "%*s pid %d", &pid) != 1)
        WRONG(v, "no fault was recorded");
    else if (!await(is_gone, &pid, UNCHANGED_MS, NULL))
        WRONG(v, "the agent that met the fault is still there");
}

void scene_expect_logins(const struct scene *s, struct verdict *v)
{
    unsigned logins = faults_count(s->h, "C_Login"), agents = faults_count(s->h, "C_Initialize");
    if (logins > agents + 1) /* one more for whoever was logged out */
        WRONG(v, "%u logins by %u agents", logins, agents);
}

void scene_expect_all_opens(struct scene *s, struct verdict *v)
{
    char text[256];
    for (size_t i = 0; i < s->n_kept && !is_wrong(v); i++) {
        int code = scene_decrypt(s, i, v, text, NULL);
        if (code != GRPC_STATUS_OK)
            WRONG(v, "what was sealed does not open: %d %s", code, text);
    }
}
