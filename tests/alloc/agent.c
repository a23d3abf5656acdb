/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a whole agent fails in turn: at its start, which it refuses in words, and in
 * what it is asked, after which it answers again. */
#include "alloc_shared.h"
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRIES = 4, IO_SHARE = 8 };

static struct alloc_shared *shared;
static struct key_id key;
static struct fixture *f;

/* Nothing that a caller would take for its own fault, or for a lost key. */
static void assert_code(enum err_code code)
{
    if (code != ERR_NONE &&
        (!shared->failed || code == ERR_AUTH || code == ERR_INVALID || code == ERR_NOT_FOUND))
        fail_msg("kind %d, call %lu: %s: %s", (int)shared->kind, shared->chosen, err_name(code),
                 f->reply.status.text);
    if (shared->kind == FAIL_MEMORY && code != ERR_NONE)
        assert_true(code == ERR_EXHAUSTED || code == ERR_UNAVAILABLE);
}

/* An agent whose lane has failed ends, and the front end starts another. */
static enum err_code call(struct lane_request *request)
{
    request->number = ++f->number;
    struct err e =
        lane_call(f->agent.lane[0], request, CALL_MS, f->packet, sizeof f->packet, &f->reply);
    enum err_code code = err_is(e) ? e.code : f->reply.status.code;
    assert_code(code);
    return code;
}

static bool list(void)
{
    struct lane_request request = {.op = LANE_LIST};
    (void)snprintf(request.u.list.ring, sizeof request.u.list.ring, "k8s");
    return call(&request) == ERR_NONE;
}

static bool probe(void)
{
    struct lane_request request = {.op = LANE_PROBE};
    request.u.probe.scheme = f->scheme->scheme;
    request.u.probe.key_id = key;
    return call(&request) == ERR_NONE;
}

static bool round_trip(void)
{
    static uint8_t envelope[ENVELOPE_MAX];
    struct lane_request seal = {.op = LANE_SEAL}, open = {.op = LANE_OPEN};
    seal.u.seal.family = open.u.open.family = FAMILY_V2;
    seal.u.seal.scheme = f->scheme->scheme;
    seal.u.seal.verify = open.u.open.verify = true;
    seal.u.seal.key_id = key;
    seal.u.seal.plaintext = bytes_of_string("dek");
    if (call(&seal) != ERR_NONE)
        return false;
    memcpy(envelope, f->reply.u.envelope.data, f->reply.u.envelope.len);
    open.u.open.envelope = bytes_of(envelope, f->reply.u.envelope.len);
    if (call(&open) != ERR_NONE)
        return false;
    assert_true(bytes_equal(f->reply.u.plaintext, bytes_of_string("dek")));
    return true;
}

/* Each request fails, or is answered right. False: one has failed. */
static bool ask_all(void)
{
    bool listed = list(), probed = probe(), sealed = round_trip();
    return listed && probed && sealed;
}

/* How many calls there were. */
static unsigned long run(enum fail_kind kind, unsigned long chosen)
{
    *shared = (struct alloc_shared){.kind = kind, .chosen = chosen};
    fixture_stop(f);
    f->config.role = AGENT_SERVE;
    assert_false(err_is(agent_process_start(getenv("P11KMS_AGENT"), &f->config, &f->agent)));
    struct err hello =
        lane_hello(f->agent.lane[0], CALL_MS, f->packet, sizeof f->packet, &f->reply);
    if (err_is(hello)) { /* before it had a lane to speak on: its line is in the log */
        assert_int_equal(hello.code, ERR_UNAVAILABLE);
        assert_true(shared->failed);
        return shared->count;
    }
    assert_code(f->reply.status.code);
    if (f->reply.status.code != ERR_NONE) {
        assert_true(f->reply.status.text[0] != '\0');
        return shared->count;
    }
    bool good = ask_all();
    unsigned long count = shared->count;
    if (kind == FAIL_MEMORY || (good && shared->failed && kind != FAIL_RESET)) /* it lives on */
        assert_true(ask_all());
    else if (good && shared->failed) /* unless its lane was broken as it waited for the next one */
        (void)ask_all();
    return count;
}

static void map_counts(void)
{
    char path[PATH_MAX];
    fixture_path(f, "calls", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, sizeof *shared), 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(shared != MAP_FAILED);
    (void)close(fd);
    assert_int_equal(setenv("P11KMS_ALLOC_FILE", path, 1), 0);
    assert_int_equal(setenv("P11KMS_AGENT", "tests/alloc/failing-agent", 1), 0);
}

/* How often a thread waits for another one varies, so up to an eighth of the system calls may not
 * be made again, though each is tried some more times; the last one may be the next request's. */
static void sweep(enum fail_kind kind, const char *what)
{
    unsigned long total = run(kind, 0), missed = 0;
    assert_int_not_equal(total, 0);
    for (unsigned long i = 1; i <= total; i++) {
        (void)run(kind, i);
        for (int n = 1; kind != FAIL_MEMORY && i < total && !shared->failed && n < TRIES; n++)
            (void)run(kind, i);
        missed += !shared->failed && i < total;
    }
    if (missed > (kind == FAIL_MEMORY ? 0 : total / IO_SHARE))
        fail_msg("%s: %lu of %lu calls were not made again", what, missed, total);
    (void)run(kind, 0); /* the next agent logs in as ever */
    assert_int_equal(f->reply.status.code, ERR_NONE);
    printf("figure: agent: %lu %s, %lu failed once each\n", total, what, total - missed);
}

static void every_call_fails_once(void **state)
{
    f = *state;
    fixture_make_key(f, 1, &key);
    map_counts();
    sweep(FAIL_MEMORY, "allocations");
    sweep(FAIL_INTR, "calls with EINTR");
    sweep(FAIL_RESET, "calls with EPIPE, ECONNRESET or EIO");
    sweep(FAIL_SHORT, "calls cut short");
    sweep(FAIL_TRUNC, "calls with a packet too long");
    assert_int_equal(unsetenv("P11KMS_AGENT"), 0);
    (void)munmap(shared, sizeof *shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_fails_once, fixture_setup, fixture_teardown),
    };
    return FIXTURE_RUN_SCHEMES("an agent without memory", tests);
}
