/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a whole front end fails in turn, and every system call is interrupted, from
 * its start to its end: it does not come up and says why, or it comes up, serves, and ends well. */
#include "admin_client.h"
#include "alloc_fail.h"
#include "alloc_shared.h"
#include "control.h"
#include "fake_agent.h"
#include "front_end_process.h"
#include "io.h"
#include "kms_client.h"
#include "text.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LANES = 3, AGENTS_MAX = 8, WAIT_MS = 5000, WELL_S = 20 };

static struct front {
    struct alloc_shared *shared;
    char dir[64], log[96];
    struct config config;
    struct listeners listeners;
    pid_t pid;
    int control;
    pthread_t monitor;
    struct fake_agent *agents[AGENTS_MAX];
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t n_agents;
    bool ready, well, ended;
} f;

static const char yaml[] = "apiVersion: p11-kms/v1\n"
                           "socket: unix://%s/kms.sock\n"
                           "adminSocket: unix://%s/admin.sock\n"
                           "allowUids: [%u]\n"
                           "stateDir: %s\n"
                           "http: unix://%s/http.sock\n"
                           "token:\n"
                           "  module: /usr/lib/softhsm/libsofthsm2.so\n"
                           "  uri: \"pkcs11:token=test\"\n"
                           "  pinSource: file:/nonexistent\n"
                           "ring: {name: k8s, rotateEvery: never}\n";

/* --- the front end ----------------------------------------------------------------------- */

static void configure(void)
{
    char text[1024];
    struct config_error error;
    int len = snprintf(text, sizeof text, yaml, f.dir, f.dir, (unsigned)getuid(), f.dir, f.dir);
    if (err_is(config_load(bytes_of(text, (size_t)len), &f.config, &error)))
        fail_msg("%s: %s", error.field, error.message);
}

/* What it counts, and which call of it fails. */
static void map_counts(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/calls", f.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, sizeof *f.shared), 0);
    f.shared = mmap(NULL, sizeof *f.shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(f.shared != MAP_FAILED);
    (void)close(fd);
    f.shared->kind = alloc_kind();
    f.shared->chosen = alloc_chosen();
    assert_int_equal(setenv("P11KMS_ALLOC_FILE", path, 1), 0);
}

static void start(void)
{
    struct listen_error error;
    memset(&f, 0, sizeof f);
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.changed, NULL);
    (void)snprintf(f.dir, sizeof f.dir, "/tmp/p11-kms-front-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    configure();
    map_counts();
    if (err_is(listeners_open(&f.config, &f.listeners, &error)))
        fail_msg("%s", error.text);
    (void)snprintf(f.log, sizeof f.log, "%s/log", f.dir);
    int before = dup(STDERR_FILENO), to = open(f.log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(dup2(to, STDERR_FILENO), STDERR_FILENO);
    struct err e = front_end_start("tests/alloc/failing-front-end", &f.config, &f.listeners, &f.pid,
                                   &f.control);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    (void)close(before);
    (void)close(to);
    assert_false(err_is(e));
}

/* --- its monitor ------------------------------------------------------------------------- */

static void give_agent(uint64_t generation)
{
    int fds[LANES];
    const struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    const struct control_message lanes = {
        .op = CONTROL_LANES, .generation = generation, .count = LANES};
    assert_in_range(generation, 1, AGENTS_MAX);
    struct fake_agent *agent = fake_agent_new(LANES, fds);
    f.agents[f.n_agents++] = agent;
    fake_agent_keys(agent, &key, 1, LANE_LIST_PAGE);
    (void)err_is(control_send(f.control, &lanes, fds, LANES)); /* it may have ended */
    for (size_t i = 0; i < LANES; i++)
        (void)close(fds[i]);
    fake_agent_hello(agent);
}

static void replace_agent(uint64_t generation)
{
    const struct control_message gone = {.op = CONTROL_AGENT_GONE,
                                         .generation = generation,
                                         .gone = GONE_CONDEMNED,
                                         .text = "condemned"};
    if (generation != f.n_agents)
        return; /* it has been already */
    fake_agent_die(f.agents[generation - 1]);
    (void)err_is(control_send(f.control, &gone, NULL, 0));
    give_agent(generation + 1);
}

static void hear(const struct control_message *message)
{
    pthread_mutex_lock(&f.lock);
    f.ready = f.ready || message->op == CONTROL_READY;
    if (message->op == CONTROL_HEALTH)
        f.well = message->ok;
    pthread_cond_broadcast(&f.changed);
    pthread_mutex_unlock(&f.lock);
    if (message->op == CONTROL_READY)
        give_agent(1);
    else if (message->op == CONTROL_CONDEMN)
        replace_agent(message->generation);
}

static void *play_monitor(void *argument)
{
    struct control_message message;
    size_t n = 0;
    (void)argument;
    for (;;) {
        (void)err_is(fd_wait_readable(f.control, -1));
        struct err e = control_receive(f.control, &message, NULL, 0, &n);
        if (e.code == ERR_UNAVAILABLE)
            break;
        if (!err_is(e))
            hear(&message);
    }
    pthread_mutex_lock(&f.lock);
    f.ended = true;
    pthread_cond_broadcast(&f.changed);
    pthread_mutex_unlock(&f.lock);
    return NULL;
}

/* False: it has ended instead. */
static bool await(const bool *what)
{
    pthread_mutex_lock(&f.lock);
    while (!*what && !f.ended)
        pthread_cond_wait(&f.changed, &f.lock);
    bool ended = f.ended;
    pthread_mutex_unlock(&f.lock);
    return !ended;
}

/* --- what is asked ----------------------------------------------------------------------- */

static bool outage(struct err e, const struct kms_failure *failure)
{
    if (!err_is(e))
        return false;
    if (strcmp(failure->name, "RESOURCE_EXHAUSTED") != 0 &&
        strcmp(failure->name, "UNAVAILABLE") != 0)
        fail_msg("%s: %s", failure->name, failure->message);
    return true;
}

static bool ask(void)
{
    const struct kms_client_options options = {.socket_path = f.config.socket_path};
    CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
    CLEANUP(admin_client_close_p) struct admin_client *admin = NULL;
    AUTO_SECRET struct secret *plaintext = NULL;
    struct kms_sealed sealed;
    struct kms_failure failure;
    struct admin_report report;
    assert_false(err_is(secret_new(64, &plaintext)));
    assert_false(err_is(kms_client_open(&options, &client)));
    assert_false(err_is(admin_client_open(f.config.admin_socket_path, &admin)));
    struct err e =
        kms_client_encrypt(client, KMS_API_V2, bytes_of_string("dek"), WAIT_MS, &sealed, &failure);
    if (outage(e, &failure))
        return false;
    e = kms_client_decrypt(client, KMS_API_V2, &sealed, WAIT_MS, plaintext, &failure);
    kms_sealed_release(&sealed);
    if (outage(e, &failure))
        return false;
    assert_true(bytes_equal(secret_bytes(plaintext), bytes_of_string("dek")));
    e = admin_client_order(admin, ADMIN_ADOPT, fake_key_id(1).text, WAIT_MS, &report, &failure);
    return e.code == ERR_REFUSED || !outage(e, &failure);
}

/* At most one answer is an outage for one call that fails; and the time that its agent takes. */
static void ask_until_served(void)
{
    int64_t end_ns = clock_monotonic_ns() + WELL_S * INT64_C(1000000000);
    while (!ask()) {
        if (!f.shared->failed)
            fail_msg("nothing has failed");
        if (clock_monotonic_ns() > end_ns)
            fail_msg("not served again within %d s", WELL_S);
        assert_true(await(&f.well));
    }
}

static bool log_says(const char *words)
{
    char text[8192];
    int fd = open(f.log, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
    return strstr(text, words) != NULL;
}

static void expect_end(int status, bool up)
{
    if (!WIFEXITED(status))
        fail_msg("it was killed by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), up ? 0 : 1);
    if (up)
        return;
    assert_true(alloc_kind() == FAIL_MEMORY && f.shared->failed);
    assert_true(log_says("the front end cannot run") && log_says("resource exhausted"));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    alloc_adopt(f.shared->count, f.shared->failed != 0);
    for (size_t i = 0; i < f.n_agents; i++)
        fake_agent_free(f.agents[i]);
    (void)close(f.control);
    listeners_close(&f.listeners);
    (void)munmap(f.shared, sizeof *f.shared);
    assert_int_equal(nftw(f.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    pthread_cond_destroy(&f.changed);
    pthread_mutex_destroy(&f.lock);
}

static void run_front_end(void)
{
    int status;
    start();
    assert_int_equal(pthread_create(&f.monitor, NULL, play_monitor, NULL), 0);
    bool up = await(&f.ready);
    if (up) {
        assert_true(await(&f.well));
        ask_until_served();
    }
    const struct control_message stop = {.op = CONTROL_STOP};
    (void)err_is(control_send(f.control, &stop, NULL, 0)); /* it may have ended */
    assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
    pthread_join(f.monitor, NULL);
    expect_end(status, up);
    clean_up();
}

static void memory(void **state)
{
    (void)state;
    alloc_sweep("front end process", run_front_end);
}

static void signals(void **state)
{
    (void)state;
    io_sweep_kind("front end process", FAIL_INTR, run_front_end);
}

static int set_up(void **state)
{
    bool locked;
    (void)state;
    return err_is(secret_init(1 << 19, &locked)) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory),
        cmocka_unit_test(signals),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
