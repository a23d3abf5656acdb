/* SPDX-License-Identifier: Apache-2.0 */
/* Front end and agent for the monitor's tests, by argv[0]. The front end tells the test what it
 * hears, a packet each, on the socket stateDir/test, and does what the test tells it there. */
#include "agent_process.h"
#include "cleanup.h"
#include "config.h"
#include "control.h"
#include "io.h"
#include "lane.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { AGENTS_KEPT = 3 };

/* Says its pid on lane 0, then waits for the end of the lanes. */
static int agent_main(void)
{
    char byte, pid[24];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (err_is(packet_send(AGENT_FIRST_LANE_FD, bytes_of_string(pid), NULL, 0)))
        return 9;
    return recv(AGENT_FIRST_LANE_FD, &byte, 1, 0) == 0 ? 0 : 8;
}

static int test_connect(int memfd)
{
    static struct config config;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len;
    if (err_is(memfd_read(memfd, &config, sizeof config, &len)) || len != sizeof config)
        return -1;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.90s/test", config.state_dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

static void tell(int test, const char *text)
{
    (void)send(test, text, strlen(text), MSG_NOSIGNAL);
}

/* The lanes of the last few agents stay open. */
static void tell_lanes(int test, const struct control_message *m, const int *fds, size_t n)
{
    static int kept[AGENTS_KEPT][PACKET_FDS_MAX];
    static size_t n_kept[AGENTS_KEPT];
    size_t at = m->generation % AGENTS_KEPT;
    char pid[24] = "", text[96];
    while (n_kept[at] > 0)
        (void)close(kept[at][--n_kept[at]]);
    memcpy(kept[at], fds, n * sizeof *fds);
    n_kept[at] = n;
    ssize_t got = recv(fds[0], pid, sizeof pid - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    (void)snprintf(text, sizeof text, "lanes %d %u %s", (int)m->generation, m->count, pid);
    tell(test, text);
}

/* Its lane is kept until the test says "close". */
static int maker_lane = -1;

static void close_maker(void)
{
    close_p(&maker_lane);
    maker_lane = -1;
}

static void tell_maker(int test, const struct control_message *m, int lane)
{
    char pid[24] = "", text[96];
    close_maker();
    maker_lane = lane;
    ssize_t got = recv(lane, pid, sizeof pid - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    (void)snprintf(text, sizeof text, "maker %d %s", (int)m->generation, pid);
    tell(test, text);
}

static void tell_reload(int test, int memfd)
{
    static struct config config;
    char text[96];
    size_t len;
    if (err_is(memfd_read(memfd, &config, sizeof config, &len)))
        return;
    (void)snprintf(text, sizeof text, "reload %d", (int)config.token.timeout_ms);
    tell(test, text);
    (void)close(memfd);
}

/* Until the test says "mute" or "miscount". */
static enum { ANSWERS, MUTE, WRONG_NUMBER } manner;

static struct err answer_ping(const struct control_message *ping)
{
    struct control_message pong = {.op = CONTROL_PONG, .generation = ping->generation};
    if (manner == WRONG_NUMBER)
        pong.generation++;
    return manner == MUTE ? ERR_OK : control_send(FRONT_END_CONTROL_FD, &pong, NULL, 0);
}

static bool on_control(int test)
{
    struct control_message m;
    int fds[PACKET_FDS_MAX];
    char text[CONTROL_TEXT_MAX + 64];
    size_t n;
    if (err_is(control_receive(FRONT_END_CONTROL_FD, &m, fds, PACKET_FDS_MAX, &n)))
        return false;
    if (m.op == CONTROL_LANES)
        tell_lanes(test, &m, fds, n);
    else if (m.op == CONTROL_RELOAD)
        tell_reload(test, fds[0]);
    else if (m.op == CONTROL_AGENT_GONE) {
        (void)snprintf(text, sizeof text, "gone %d %d %u %s", (int)m.generation, (int)m.gone,
                       m.number, m.text);
        tell(test, text);
    } else if (m.op == CONTROL_MAKER) {
        tell_maker(test, &m, fds[0]);
    } else if (m.op == CONTROL_MAKER_GONE) {
        (void)snprintf(text, sizeof text, "makergone %d %s", (int)m.generation, m.text);
        tell(test, text);
    } else if (m.op == CONTROL_PING) {
        return !err_is(answer_ping(&m));
    } else if (m.op == CONTROL_STOP) {
        tell(test, "stop");
        return false;
    }
    return true;
}

static bool on_test(int test)
{
    char text[64];
    int generation;
    ssize_t got = recv(test, text, sizeof text - 1, 0);
    if (got <= 0)
        return false;
    text[got] = '\0';
    struct control_message m = {.op = CONTROL_HEALTH, .ok = true, .text = "ok"};
    if (sscanf(text, "condemn %d", &generation) == 1)
        m = (struct control_message){.op = CONTROL_CONDEMN,
                                     .generation = (uint64_t)generation,
                                     .reason = CONDEMN_TIMEOUT,
                                     .text = "too slow"};
    else if (sscanf(text, "make %d", &generation) == 1)
        m = (struct control_message){.op = CONTROL_WANT_MAKER, .generation = (uint64_t)generation};
    else if (sscanf(text, "endmaker %d", &generation) == 1)
        m = (struct control_message){.op = CONTROL_END_MAKER, .generation = (uint64_t)generation};
    else if (sscanf(text, "heir %d", &generation) == 1)
        m = (struct control_message){.op = CONTROL_WANT_HEIR, .generation = (uint64_t)generation};
    else if (sscanf(text, "serves %d", &generation) == 1)
        m = (struct control_message){.op = CONTROL_HEIR_SERVES, .generation = (uint64_t)generation};
    else if (sscanf(text, "end %d", &generation) == 1)
        m = (struct control_message){.op = CONTROL_END_AGENT, .generation = (uint64_t)generation};
    else if (strcmp(text, "nonsense") == 0)
        m = (struct control_message){.op = CONTROL_STOP};
    else if (strcmp(text, "close") == 0)
        close_maker();
    else if (strcmp(text, "mute") == 0)
        manner = MUTE;
    else if (strcmp(text, "miscount") == 0)
        manner = WRONG_NUMBER;
    return !err_is(control_send(FRONT_END_CONTROL_FD, &m, NULL, 0));
}

static int front_end_main(void)
{
    AUTO_CLOSE int test = test_connect(FRONT_END_CONFIG_FD);
    char text[64];
    int listening = 0, admin_listening = 0;
    socklen_t size = sizeof listening;
    (void)getsockopt(FRONT_END_LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    (void)getsockopt(FRONT_END_ADMIN_FD, SOL_SOCKET, SO_ACCEPTCONN, &admin_listening, &size);
    (void)snprintf(text, sizeof text, "up %d %d %s", (int)getpid(), listening + admin_listening,
                   getenv("GRPC_TRACE") || getenv("NOTIFY_SOCKET") ? "dirty" : "clean");
    tell(test, text);
    if (err_is(control_send(FRONT_END_CONTROL_FD, &(struct control_message){.op = CONTROL_READY},
                            NULL, 0)))
        return 1;
    for (;;) {
        struct pollfd fds[2] = {{.fd = FRONT_END_CONTROL_FD, .events = POLLIN},
                                {.fd = test, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            return 1;
        if ((fds[0].revents && !on_control(test)) || (fds[1].revents && !on_test(test)))
            return 0;
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)prctl(PR_SET_PTRACER,
                PR_SET_PTRACER_ANY); /* for a test that keeps it from being reaped */
    return strcmp(argv[0], "p11-kms-agent") == 0 ? agent_main() : front_end_main();
}
