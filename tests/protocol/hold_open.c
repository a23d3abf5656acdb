/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that begin as many calls as they may and then hold them open, each well within the limits
 * of one connection: requests that do not end, replies that are not read. The real daemon's memory
 * is bounded, and others are served. */
#include "peer.h"

#include "footprint.h"
#include "raw_peer.h"
#include "text.h"
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    TEST_SECONDS = 120,
    CONNECTIONS = 60, /* of the 64 that a user may have */
    CALLS = 600,      /* of the 640 that a connection may have */
    HOLD_MS = 3000,
    /* Without limits over all connections: 420 MB. The heap keeps what one attack left until nobody
     * asks for anything, so that three of them add up. */
    RSS_MAX_KIB = 120 * 1024,
    END_MS = 15000,
    SETTLE_MS = 10000
};

static const struct holding {
    const char *name;
    const char *path;
    bool asks;  /* requests have an end */
    bool reads; /* replies find room */
} holdings[] = {
    {"requests that never come", RAW_ENCRYPT, false, true},
    {"replies of Status that nobody reads", RAW_STATUS, true, false},
    {"refusals that nobody reads", RAW_DECRYPT, true, false},
};

static void put_calls(struct writer *w, const struct holding *holding, unsigned n)
{
    put_greeting(w, holding->reads);
    for (uint32_t stream = 1; stream < 2 * n; stream += 2) {
        put_call(w, stream, END_HEADERS, holding->path);
        if (holding->asks)
            put_frame(w, FRAME_DATA, END_STREAM, stream, bytes_of("\0\0\0\0\0", 5));
    }
}

/* --- in the attacking process: system calls only ----------------------------------------- */

/* Sends what there is room for. The bytes that are left; 0 as well when it was hung up. */
static struct bytes send_some(int *fd, struct bytes data)
{
    ssize_t n = send(*fd, data.data, data.len, MSG_NOSIGNAL);
    if (n >= 0)
        return bytes_of(data.data + n, data.len - (size_t)n);
    if (errno == EAGAIN)
        return data;
    (void)close(*fd);
    *fd = -1;
    return bytes_of(NULL, 0);
}

/* Who was hung up begins anew. */
static _Noreturn void hold_and_exit(const char *path, struct bytes calls)
{
    int fds[CONNECTIONS];
    struct bytes left[CONNECTIONS];
    int64_t end = now_ms() + HOLD_MS;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fds[i] = -1;
    while (now_ms() < end) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            if (fds[i] < 0) {
                fds[i] = connect_raw(path);
                left[i] = calls;
            } else {
                char byte;
                left[i] = send_some(&fds[i], left[i]);
                if (fds[i] >= 0 && recv(fds[i], &byte, 1, MSG_PEEK) == 0) {
                    (void)close(fds[i]);
                    fds[i] = -1;
                }
            }
        }
        (void)poll(NULL, 0, 5);
    }
    _exit(0);
}

/* --- what the daemon makes of it --------------------------------------------------------- */

/* Encrypts all the while. Yields the front end's largest resident memory. */
static long encrypt_beside(const struct harness *h, pid_t child, const struct footprint *before)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    long largest = 0;
    unsigned n = 0;
    while (waitpid(child, NULL, WNOHANG) == 0) {
        struct dek dek = random_dek();
        struct kms_sealed sealed = peer_seal(client, &apis[KMS_API_V2], dek_bytes(&dek));
        kms_sealed_release(&sealed);
        long now = process_rss_kib(before->front_end);
        largest = now > largest ? now : largest;
        n++;
        pass_time(10);
    }
    printf("  Encrypt: %u calls beside it, none failed\n", n);
    assert_true(n > 0);
    return largest;
}

static void withstand(struct harness *h, const struct holding *holding)
{
    static uint8_t memory[1 << 17];
    struct writer w = writer_over(memory, sizeof memory);
    struct footprint before = footprint_of(h);
    printf("%d connections, on each %d %s\n", CONNECTIONS, CALLS, holding->name);
    (void)fflush(stdout);
    put_calls(&w, holding, CALLS);
    assert_false(w.full);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        hold_and_exit(h->socket, writer_bytes(&w));
    long largest = encrypt_beside(h, child, &before);
    printf("figure: %s: RSS %ld KiB before, at most %ld KiB\n", holding->name, before.rss_kib,
           largest);
    (void)fflush(stdout);
    assert_true(HARNESS_SANITIZED || largest < RSS_MAX_KIB);
    assert_true(await(footprint_fds_are_back, &before, SETTLE_MS, NULL));
    assert_int_equal(harness_front_end(h), before.front_end);
}

static void test_calls_held_open(void **state)
{
    struct harness *h = *state;
    peer_serve(h);
    harness_round_trips(h);
    harness_await_no_connections(h);
    for (size_t i = 0; i < sizeof holdings / sizeof *holdings; i++)
        withstand(h, &holdings[i]);
    harness_round_trips(h);
    h->passed = true;
}

static int connect_and_send(const struct harness *h, const struct holding *holding)
{
    static uint8_t memory[1 << 12];
    struct writer w = writer_over(memory, sizeof memory);
    int fd = connect_raw(h->socket);
    assert_true(fd >= 0);
    put_calls(&w, holding, 2);
    assert_int_equal(send(fd, memory, w.len, MSG_NOSIGNAL), w.len);
    return fd;
}

static bool is_hung_up(int fd, int wait_ms)
{
    struct pollfd end = {.fd = fd, .events = POLLRDHUP};
    return poll(&end, 1, wait_ms) == 1;
}

/* Few calls as well, but not those that are done with asking. */
static void test_requests_without_end(void **state)
{
    struct harness *h = *state;
    peer_serve(h);
    int unread = connect_and_send(h, &holdings[1]);
    int unfinished = connect_and_send(h, &holdings[0]);
    assert_false(is_hung_up(unfinished, 3000));
    assert_true(is_hung_up(unfinished, END_MS));
    assert_false(is_hung_up(unread, 0));
    (void)close(unread);
    (void)close(unfinished);
    pass_time(1100); /* the penalty of this process */
    harness_round_trips(h);
    h->passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_held_open, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_requests_without_end, harness_setup, harness_teardown),
    };
    return HARNESS_RUN("clients that hold calls open", tests, TEST_SECONDS);
}
