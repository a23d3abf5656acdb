/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that speak HTTP/2 as no client should, against the real daemon: its memory is bounded,
 * other clients notice little, and nothing is left of them. */
#include "peer.h"

#include "footprint.h"
#include "raw_peer.h"
#include "rounds.h"
#include "text.h"
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    TEST_SECONDS = 240,
    ATTACK_MS = 500,
    LONG_ATTACK_MS = 1500,
    /* 32 connections may begin 800 calls each before they are ended: 25,600, at once. An API server
     * gives a Status three seconds. */
    STATUS_WORST_MS = 1000,
    BATCH_MAX = 1 << 16,
    CONNECTIONS_MAX = 64,
    RSS_GROWTH_KIB = 64 * 1024, /* without the limits of frame_meter.h: gigabytes */
    SETTLE_MS = 10000,
    SPIN_MS = 1000,
    SPIN_LIMIT = 30, /* per cent of a processor */
    SPIN_LOOKS = 3,  /* what spins does so in each */
    CONNECTIONS_PER_UID = 64,
    CROWD = 1000
};

static int attack_ms = ATTACK_MS;

/* --- attacks ----------------------------------------------------------------------------- */

static const uint8_t zeros[16384];
static const char status_path[] = RAW_STATUS;
static const char encrypt_path[] = RAW_ENCRYPT;

/* Appends one piece; *stream is the next free one, 1 on a new connection. */
typedef void attack(struct writer *w, uint32_t *stream);

static void reset_at_once(struct writer *w, uint32_t *stream)
{
    put_call(w, *stream, END_HEADERS, status_path);
    put_frame(w, FRAME_RST, 0, *stream, bytes_of("\0\0\0\10", 4));
    *stream += 2;
}

static void reset_after_data(struct writer *w, uint32_t *stream)
{
    put_call(w, *stream, END_HEADERS, status_path);
    put_frame(w, FRAME_DATA, END_STREAM, *stream, bytes_of(zeros, 5));
    put_frame(w, FRAME_RST, 0, *stream, bytes_of("\0\0\0\10", 4));
    *stream += 2;
}

static void reset_unknown(struct writer *w, uint32_t *stream)
{
    put_call(w, *stream, END_HEADERS, "/no.Such/Method");
    put_frame(w, FRAME_RST, 0, *stream, bytes_of("\0\0\0\10", 4));
    *stream += 2;
}

static void never_read(struct writer *w, uint32_t *stream)
{
    put_call(w, *stream, END_HEADERS, status_path);
    put_frame(w, FRAME_DATA, END_STREAM, *stream, bytes_of(zeros, 5));
    *stream += 2;
}

/* Calls whose requests never come. */
static void never_ask(struct writer *w, uint32_t *stream)
{
    put_call(w, *stream, END_HEADERS, encrypt_path);
    *stream += 2;
}

static void pings(struct writer *w, uint32_t *stream)
{
    (void)stream;
    put_frame(w, FRAME_PING, 0, 0, bytes_of(zeros, 8));
}

static void settings(struct writer *w, uint32_t *stream)
{
    (void)stream;
    put_frame(w, FRAME_SETTINGS, 0, 0, bytes_of("\0\4\0\0\377\377", 6));
}

static void priorities(struct writer *w, uint32_t *stream)
{
    (void)stream;
    put_frame(w, FRAME_PRIORITY, 0, 1, bytes_of("\0\0\0\0\20", 5));
}

static void windows(struct writer *w, uint32_t *stream)
{
    (void)stream;
    put_frame(w, FRAME_WINDOW, 0, 0, bytes_of("\0\0\0\1", 4));
}

static void unknown_frames(struct writer *w, uint32_t *stream)
{
    (void)stream;
    put_frame(w, 0xee, 0, 0, bytes_of(zeros, 100));
}

static void endless_headers(struct writer *w, uint32_t *stream)
{
    uint8_t memory[256];
    struct writer block = writer_over(memory, sizeof memory);
    if (*stream == 1)
        put_call(w, 1, 0, status_path);
    *stream = 3;
    put_header(&block, "x-more", "and more and more and more and more and more and more and more");
    put_frame(w, FRAME_MORE, 0, 1, writer_bytes(&block));
}

static void empty_data(struct writer *w, uint32_t *stream)
{
    if (*stream == 1)
        put_call(w, 1, END_HEADERS, encrypt_path);
    *stream = 3;
    put_frame(w, FRAME_DATA, 0, 1, bytes_of(zeros, 0));
}

static void huge_message(struct writer *w, uint32_t *stream)
{
    if (*stream == 1) {
        put_call(w, 1, END_HEADERS, encrypt_path);
        put_frame(w, FRAME_DATA, 0, 1, bytes_of("\0\177\377\377\377", 5));
    }
    *stream = 3;
    put_frame(w, FRAME_DATA, 0, 1, bytes_of(zeros, sizeof zeros));
}

static void huge_frame(struct writer *w, uint32_t *stream)
{
    if (*stream == 1)
        put_bytes(w, bytes_of("\377\377\377\0\0\0\0\0\1", 9));
    *stream = 3;
    put_bytes(w, bytes_of(zeros, sizeof zeros));
}

static const struct attack_row {
    const char *name;
    attack *piece;
    unsigned connections;
    bool reads;
    unsigned batch; /* pieces a write */
} attacks[] = {
    {"calls taken back at once", reset_at_once, 1, true, 100},
    {"calls taken back at once, 16 connections", reset_at_once, 16, true, 100},
    {"calls taken back after their request", reset_after_data, 1, true, 100},
    {"calls of unknown methods taken back", reset_unknown, 4, true, 100},
    {"replies never read", never_read, 1, false, 50},
    {"replies never read, 32 connections", never_read, 32, false, 50},
    {"requests that never come", never_ask, 8, false, 50},
    {"PING", pings, 4, false, 1000},
    {"SETTINGS", settings, 4, true, 1000},
    {"PRIORITY", priorities, 4, true, 1000},
    {"WINDOW_UPDATE", windows, 4, true, 1000},
    {"frames of no known type", unknown_frames, 4, true, 500},
    {"endless headers", endless_headers, 4, true, 100},
    {"empty DATA", empty_data, 4, true, 1000},
    {"a request of 2 GiB", huge_message, 16, true, 3},
    {"a frame of 16 MiB", huge_frame, 16, true, 3},
};

enum { ATTACKS = sizeof attacks / sizeof *attacks };

/* --- in the attacking process: system calls only ----------------------------------------- */

struct attacker {
    int fd;
    uint32_t stream;
};

static void hang_up(struct attacker *a)
{
    (void)close(a->fd);
    a->fd = -1;
}

/* What finds no room is waited for a little. A piece that is cut would be another attack. */
static void send_all(struct attacker *a, struct bytes data)
{
    size_t at = 0;
    for (int tries = 0; at < data.len && tries < 20; tries++) {
        ssize_t n = send(a->fd, data.data + at, data.len - at, MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && errno != EAGAIN) {
            hang_up(a);
            return;
        } else {
            struct pollfd room = {.fd = a->fd, .events = POLLOUT};
            (void)poll(&room, 1, 5);
        }
    }
    if (at > 0 && at < data.len)
        hang_up(a);
}

static void read_away(const struct attacker *a)
{
    static uint8_t sink[65536];
    while (recv(a->fd, sink, sizeof sink, 0) > 0)
        continue;
}

static void press(struct attacker *a, const struct attack_row *row, const char *path)
{
    static uint8_t memory[BATCH_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    if (a->fd < 0) {
        *a = (struct attacker){connect_raw(path), 1};
        if (a->fd < 0)
            return;
        put_bytes(&w, bytes_of_string(raw_preface));
        put_frame(&w, FRAME_SETTINGS, 0, 0, bytes_of(zeros, 0));
    }
    for (unsigned i = 0; i < row->batch; i++) {
        size_t before = w.len;
        row->piece(&w, &a->stream);
        if (w.full) {
            w.len = before;
            break;
        }
    }
    send_all(a, writer_bytes(&w));
    if (a->fd >= 0 && row->reads)
        read_away(a);
}

static _Noreturn void attack_and_exit(const struct attack_row *row, const char *path)
{
    struct attacker attackers[CONNECTIONS_MAX];
    int64_t end = now_ms() + attack_ms;
    for (unsigned i = 0; i < row->connections; i++)
        attackers[i].fd = -1;
    while (now_ms() < end)
        for (unsigned i = 0; i < row->connections; i++)
            press(&attackers[i], row, path);
    _exit(0);
}

/* --- what the daemon makes of it --------------------------------------------------------- */

static void assert_does_not_spin(const struct footprint *before)
{
    long used = 0;
    for (int look = 0; look < SPIN_LOOKS; look++) {
        long earlier = process_cpu_ms(before->front_end);
        pass_time(SPIN_MS);
        used = process_cpu_ms(before->front_end) - earlier;
        if (used * 100 / SPIN_MS <= SPIN_LIMIT)
            return;
        printf("  THE FRONT END USED %ld ms OF %d ms AFTER THE ATTACK\n", used, SPIN_MS);
    }
    fail_msg("the front end used %ld ms of %d ms after the attack, at the last of %d looks", used,
             SPIN_MS, SPIN_LOOKS);
}

/* Waits for the child's end; yields the front end's largest resident memory meanwhile. */
static long await_child(pid_t child, const struct footprint *before)
{
    long largest = 0;
    while (waitpid(child, NULL, WNOHANG) == 0) {
        long now = process_rss_kib(before->front_end);
        largest = now > largest ? now : largest;
        pass_time(10);
    }
    return largest;
}

static bool is_within_limits(const struct watch_figures *status, long grown_kib)
{
    if (HARNESS_SANITIZED) {
        printf("NOT JUDGED: a sanitizer's memory and speed are not the program's\n");
        return true;
    }
    assert_true(grown_kib < RSS_GROWTH_KIB);
    return status->failed == 0 && status->asked > (status->busy ? 0 : 10) &&
           status->worst_ms < (status->busy ? 3000 : STATUS_WORST_MS);
}

struct siege {
    const struct harness *h;
    const struct attack_row *row;
};

static bool withstand(void *context)
{
    const struct siege *siege = context;
    const struct harness *h = siege->h;
    const struct attack_row *row = siege->row;
    struct watch_figures status;
    struct footprint before = footprint_of(h);
    struct watch *watch = watch_start(h->socket);
    assert_non_null(watch);
    printf("%s\n", row->name);
    (void)fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        attack_and_exit(row, h->socket);
    long largest = await_child(child, &before);
    watch_stop(watch, &status);
    printf("figure: %s: RSS %ld KiB before, at most %ld KiB; Status: worst %.1f ms\n", row->name,
           before.rss_kib, largest, status.worst_ms);
    (void)fflush(stdout);
    assert_true(await(footprint_fds_are_back, &before, SETTLE_MS, NULL));
    assert_int_equal(harness_front_end(h), before.front_end);
    return is_within_limits(&status, largest - before.rss_kib);
}

static void test_floods(void **state)
{
    struct harness *h = *state;
    peer_serve(h);
    harness_round_trips(h); /* what is opened at the first use is open */
    harness_await_no_connections(h);
    struct footprint before = footprint_of(h);
    for (size_t i = 0; i < ATTACKS; i++) {
        struct siege siege = {h, &attacks[i]};
        keeps_its_time(withstand, &siege);
    }
    assert_does_not_spin(&before);
    harness_round_trips(h);
    h->passed = true;
}

/* --- peers that do nothing --------------------------------------------------------------- */

/* A child that connects, sends a part of the preface byte by byte, and stays until it is killed.
 * Tells by a byte that it has connected. */
static pid_t start_crowd(const struct harness *h, unsigned n, size_t bytes)
{
    int pair[2];
    char byte = 0;
    assert_int_equal(pipe(pair), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static int fds[CROWD];
        for (unsigned i = 0; i < n; i++)
            fds[i] = connect_raw(h->socket);
        for (size_t at = 0; at < bytes; at++)
            for (unsigned i = 0; i < n; i++)
                (void)send(fds[i], &raw_preface[at], 1, MSG_NOSIGNAL);
        if (write(pair[1], &byte, 1) == 1)
            (void)pause();
        _exit(0);
    }
    (void)close(pair[1]);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    (void)close(pair[0]);
    return child;
}

static void end_crowd(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static bool is_served(void *context)
{
    struct kms_client_status status;
    return harness_status((const struct harness *)context, &status);
}

struct crowd {
    struct harness *h;
    unsigned n;   /* connections */
    size_t bytes; /* that each sends */
};

/* Those who came before are served as ever, and newcomers once the silent ones count as idle. */
static bool keep_out_nobody(void *context)
{
    const struct crowd *crowd = context;
    struct harness *h = crowd->h;
    const unsigned n = crowd->n;
    struct watch_figures status;
    struct footprint before = footprint_of(h);
    int64_t took = 0;
    struct watch *watch = watch_start(h->socket);
    assert_non_null(watch);
    pid_t child = start_crowd(h, n, crowd->bytes);
    assert_true(await(is_served, h, SETTLE_MS, &took));
    long rss = process_rss_kib(before.front_end);
    watch_stop(watch, &status);
    end_crowd(child);
    printf(
        "figure: %u silent connections, %zu bytes of each: RSS %ld KiB, then %ld KiB; a new client "
        "is served after %lld ms\n",
        n, crowd->bytes, before.rss_kib, rss, (long long)took);
    if (!HARNESS_SANITIZED)
        assert_true(rss < before.rss_kib + RSS_GROWTH_KIB);
    harness_await_no_connections(h);
    assert_true(await(footprint_fds_are_back, &before, SETTLE_MS, NULL));
    return HARNESS_SANITIZED || watch_was_quick(&status);
}

static void test_silent_connections(void **state)
{
    struct harness *h = *state;
    peer_serve(h);
    harness_round_trips(h);
    harness_await_no_connections(h);
    struct footprint before = footprint_of(h);
    struct crowd crowds[] = {
        {h, CONNECTIONS_PER_UID, 0}, {h, CONNECTIONS_PER_UID, 20}, {h, CROWD, 5}};
    for (size_t i = 0; i < sizeof crowds / sizeof *crowds; i++)
        keeps_its_time(keep_out_nobody, &crowds[i]);
    assert_does_not_spin(&before);
    harness_round_trips(h);
    h->passed = true;
}

/* --long: each attack lasts three times as long. */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--long") == 0)
        attack_ms = LONG_ATTACK_MS;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_floods, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_silent_connections, harness_setup, harness_teardown),
    };
    return HARNESS_RUN("hostile clients", tests, TEST_SECONDS);
}
