/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "await.h"
#include "cleanup.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { PATH_SIZE = 128, FDS_MAX = 4 };

/* In the child: only calls that are async-signal-safe, as gRPC's threads may be running. */
static _Noreturn void child_exec(char *const argv[], int output, pid_t parent, const int *fds,
                                 size_t n_fds)
{
    int first = 3;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || null < 0 ||
        dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        _exit(126);
    for (size_t i = 0; i < n_fds; i++, first++) /* none of them is that low: see below */
        if (dup2(fds[i], first) < 0)
            _exit(126);
    if (close_range((unsigned)first, ~0U, 0) != 0)
        _exit(126);
    (void)execvp(argv[0], argv);
    _exit(127);
}

pid_t process_start_with(char *const argv[], const char *output, const int *fds, size_t n)
{
    int high[FDS_MAX] = {-1, -1, -1, -1};
    AUTO_CLOSE int out = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t parent = getpid();
    if (out < 0 || n > FDS_MAX)
        return -1;
    for (size_t i = 0; i < n; i++)
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + FDS_MAX);
    pid_t pid = fork();
    if (pid == 0)
        child_exec(argv, out, parent, high, n);
    for (size_t i = 0; i < n; i++)
        (void)close(high[i]);
    return pid;
}

pid_t process_start(char *const argv[], const char *output)
{
    return process_start_with(argv, output, NULL, 0);
}

static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_wait(pid_t pid, int timeout_ms)
{
    int status;
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        return -1;
    bool in_time = poll(&ended, 1, patience(timeout_ms)) == 1;
    if (!in_time)
        (void)kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return in_time ? exit_code(status) : -1;
}

int process_run(char *const argv[], const char *output, int timeout_ms)
{
    pid_t pid = process_start(argv, output);
    return pid > 0 ? process_wait(pid, timeout_ms) : -1;
}

int process_remove_at_exit(const char *directory)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        char copy[PATH_SIZE];
        (void)strncpy(copy, directory, sizeof copy - 1);
        copy[sizeof copy - 1] = '\0';
        /* a session of its own: what ends the test's process group must not end the broom */
        if (setsid() < 0 || dup2(pipe_fds[0], 0) < 0 || close_range(3, ~0U, 0) != 0)
            _exit(1);
        char *const argv[] = {
            (char[]){"sh"}, (char[]){"-c"}, (char[]){"cat >/dev/null; rm -rf -- \"$1\""},
            (char[]){"sh"}, copy,           NULL};
        (void)execv("/bin/sh", argv);
        _exit(127);
    }
    (void)close(pipe_fds[0]);
    if (pid > 0)
        return pipe_fds[1];
    (void)close(pipe_fds[1]);
    return -1;
}

/* Reads a file of /proc/PID, terminated; the length, or -1. */
static ssize_t read_proc(pid_t pid, const char *name, char *ret, size_t size)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, ret, size - 1);
    ret[len > 0 ? len : 0] = '\0';
    return len;
}

bool process_alive(pid_t pid)
{
    char stat[512];
    if (read_proc(pid, "stat", stat, sizeof stat) <= 0)
        return false;
    const char *after_name = strrchr(stat, ')');
    return after_name && after_name[1] && after_name[2] != 'Z' && after_name[2] != 'X';
}

/* Whether it is an argument, or what a path among them ends with: under valgrind the program is not
 * the first. */
static bool is_called(pid_t pid, const char *word)
{
    char line[2048];
    ssize_t len = read_proc(pid, "cmdline", line, sizeof line);
    bool called = false;
    for (const char *at = line; !called && at < line + len; at += strlen(at) + 1) {
        const char *slash = strrchr(at, '/');
        called = strcmp(slash ? slash + 1 : at, word) == 0;
    }
    return called;
}

pid_t process_child(pid_t parent, const char *word)
{
    char name[PATH_SIZE], list[512], *rest = list;
    (void)snprintf(name, sizeof name, "task/%d/children", (int)parent);
    if (read_proc(parent, name, list, sizeof list) <= 0)
        return 0;
    for (const char *at = strtok_r(list, " ", &rest); at; at = strtok_r(NULL, " ", &rest)) {
        uint64_t pid;
        if (!err_is(parse_u64(at, 1, INT32_MAX, &pid)) && is_called((pid_t)pid, word))
            return (pid_t)pid;
    }
    return 0;
}

int process_fds(pid_t pid)
{
    char path[PATH_SIZE];
    int n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        n += entry->d_name[0] != '.';
    (void)closedir(directory);
    return n;
}

long process_cpu_ms(pid_t pid)
{
    char stat[1024];
    unsigned long user, kernel;
    if (read_proc(pid, "stat", stat, sizeof stat) <= 0)
        return -1;
    const char *rest = strrchr(stat, ')'); /* the name may hold anything */
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                        &kernel) != 2)
        return -1;
    return (long)(user + kernel) * 1000 / sysconf(_SC_CLK_TCK);
}

long process_rss_kib(pid_t pid)
{
    char status[4096];
    long kib = -1;
    if (read_proc(pid, "status", status, sizeof status) <= 0)
        return -1;
    const char *line = strstr(status, "VmRSS:");
    if (!line || sscanf(line, "VmRSS: %ld", &kib) != 1)
        return -1;
    return kib;
}
