/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor_harness.h"

#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

static struct harness the_harness;

static struct sockaddr_un address_in(const struct harness *h, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", h->directory, name);
    return address;
}

static int bound(const struct harness *h, int type, const char *name)
{
    struct sockaddr_un address = address_in(h, name);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void harness_configure(struct harness *h, const char *more)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/kms.yaml", h->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file,
                  "apiVersion: p11-kms/v1\nsocket: unix://%s/kms.sock\n"
                  "adminSocket: unix://%s/admin.sock\nstateDir: %s\n"
                  "token:\n  module: /m.so\n  uri: \"pkcs11:token=a\"\n  pinSource: protected\n"
                  "  sessions: 2\n%s",
                  h->directory, h->directory, h->directory, more);
    (void)fclose(file);
}

int harness_set_up(void **state)
{
    struct harness *h = &the_harness;
    *h = (struct harness){.front = -1, .log = -1};
    (void)snprintf(h->directory, sizeof h->directory, "/tmp/p11-kms-monitor.XXXXXX");
    if (!mkdtemp(h->directory))
        return -1;
    h->test = bound(h, SOCK_SEQPACKET, "test");
    assert_int_equal(listen(h->test, 8), 0);
    h->notify = bound(h, SOCK_DGRAM, "notify");
    harness_configure(h, "");
    *state = h;
    return 0;
}

int harness_tear_down(void **state)
{
    static const char *const names[] = {
        "test",          "notify",     "kms.yaml",        "kms.sock",
        "kms.sock.lock", "admin.sock", "admin.sock.lock", "daemon.lock"};
    struct harness *h = *state;
    char path[128];
    if (h->pid > 0) {
        (void)kill(h->pid, SIGKILL); /* its children die with it */
        (void)waitpid(h->pid, NULL, 0);
    }
    (void)close(h->test);
    (void)close(h->notify);
    if (h->front >= 0)
        (void)close(h->front);
    if (h->log >= 0)
        (void)close(h->log);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", h->directory, names[i]);
        (void)unlink(path);
    }
    return rmdir(h->directory);
}

static _Noreturn void be_monitor(struct harness *h, const char *const *more)
{
    static char config[96], notify[96];
    char *argv[16] = {(char[]){"p11-kmsd"}, (char[]){"--config"}, config,
                      (char[]){"--agent"},  (char[]){FAKE_CHILD}, NULL};
    int argc = 5;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(config, sizeof config, "%s/kms.yaml", h->directory);
    (void)snprintf(notify, sizeof notify, "%s/notify", h->directory);
    (void)setenv("NOTIFY_SOCKET", notify, 1);
    (void)setenv("GRPC_TRACE", "tcp", 1);
    (void)unsetenv("LISTEN_FDS");
    for (; more && *more && argc < 15; more++)
        argv[argc++] = strdup(*more);
    exit(monitor_run(argc, argv, &(struct monitor_hooks){.front_end_path = FAKE_CHILD}));
}

pid_t harness_spawn(struct harness *h, const char *const *more)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (h->log >= 0)
        (void)close(h->log);
    h->log = ends[0];
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        be_monitor(h, more);
    }
    (void)close(ends[1]);
    return pid;
}

static void patiently(int fd, const char *what)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (poll(&waiting, 1, PATIENCE_MS) <= 0)
        fail_msg("nothing came: %s", what);
}

const char *harness_next(struct harness *h)
{
    static char text[512];
    patiently(h->front, "from the front end");
    ssize_t got = recv(h->front, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

void harness_tell(struct harness *h, const char *text)
{
    assert_int_equal(send(h->front, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void harness_take_front(struct harness *h)
{
    int listening = 0;
    char clean[16];
    if (h->front >= 0)
        (void)close(h->front);
    patiently(h->test, "a front end");
    h->front = accept4(h->test, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(sscanf(harness_next(h), "up %d %d %15s", &h->front_pid, &listening, clean), 3);
    assert_int_equal(listening, 2);
    assert_string_equal(clean, "clean");
}

void harness_take_lanes(struct harness *h)
{
    int count = 0;
    assert_int_equal(
        sscanf(harness_next(h), "lanes %d %d %d", &h->generation, &count, &h->agent_pid), 3);
    assert_int_equal(count, 3);
}

void harness_start(struct harness *h)
{
    h->pid = harness_spawn(h, NULL);
    harness_take_front(h);
    harness_take_lanes(h);
    harness_expect_notify(h, "READY=1");
}

static const char *expect(int fd, const char *text)
{
    static char seen[65536];
    size_t len = 0;
    seen[0] = '\0';
    while (!strstr(seen, text) && len < sizeof seen - 1) {
        patiently(fd, text);
        ssize_t got = read(fd, seen + len, sizeof seen - 1 - len);
        if (got <= 0)
            fail_msg("not seen: %s\nbut: %s", text, seen);
        len += (size_t)got;
        seen[len] = '\0';
    }
    return seen;
}

const char *harness_expect_log(struct harness *h, const char *text)
{
    return expect(h->log, text);
}

const char *harness_expect_notify(struct harness *h, const char *text)
{
    return expect(h->notify, text);
}

int harness_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool harness_can_connect(struct harness *h)
{
    struct sockaddr_un address = address_in(h, "kms.sock");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return connected;
}
