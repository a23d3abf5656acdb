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

static struct alloc_shared *shared;
static struct key_id key;
static struct fixture *f;

static void assert_code(enum err_code code)
{
    if (code != ERR_NONE)
        assert_true(shared->failed && (code == ERR_EXHAUSTED || code == ERR_UNAVAILABLE));
}

static enum err_code list(void)
{
    struct lane_request request = {.op = LANE_LIST};
    (void)snprintf(request.u.list.ring, sizeof request.u.list.ring, "k8s");
    return fixture_call_on(f, 0, &request);
}

static enum err_code probe(void)
{
    struct lane_request request = {.op = LANE_PROBE};
    request.u.probe.scheme = SCHEME_AES_GCM;
    request.u.probe.key_id = key;
    return fixture_call_on(f, 0, &request);
}

/* Each request fails for want of memory, or is answered right. */
static void ask_all(void)
{
    uint8_t envelope[ENVELOPE_MAX];
    size_t len = 0;
    assert_code(list());
    assert_code(probe());
    enum err_code sealed = fixture_seal(f, FAMILY_V2, &key, bytes_of_string("dek"), envelope, &len);
    assert_code(sealed);
    if (sealed != ERR_NONE)
        return;
    enum err_code opened = fixture_open(f, FAMILY_V2, bytes_of(envelope, len));
    assert_code(opened);
    if (opened == ERR_NONE)
        assert_true(bytes_equal(f->reply.u.plaintext, bytes_of_string("dek")));
}

/* How many allocations there were. */
static unsigned long run(unsigned long chosen)
{
    *shared = (struct alloc_shared){.chosen = chosen};
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
    ask_all();
    unsigned long count = shared->count;
    ask_all();
    assert_int_equal(f->reply.status.code, ERR_NONE);
    return count;
}

static void every_allocation_fails_once(void **state)
{
    char path[PATH_MAX];
    f = *state;
    fixture_make_key(f, 1, &key);
    fixture_path(f, "allocations", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, sizeof *shared), 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(shared != MAP_FAILED);
    (void)close(fd);
    assert_int_equal(setenv("P11KMS_ALLOC_FILE", path, 1), 0);
    assert_int_equal(setenv("P11KMS_AGENT", "tests/alloc/failing-agent", 1), 0);
    unsigned long total = run(0);
    assert_int_not_equal(total, 0);
    for (unsigned long i = 1; i <= total; i++) {
        (void)run(i);
        if (!shared->failed)
            fail_msg("allocation %lu of %lu was not made", i, total);
    }
    (void)run(0); /* the next agent logs in as ever */
    assert_int_equal(f->reply.status.code, ERR_NONE);
    assert_int_equal(unsetenv("P11KMS_AGENT"), 0);
    printf("figure: agent: %lu allocations, each failed once\n", total);
    (void)munmap(shared, sizeof *shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_fails_once, fixture_setup,
                                        fixture_teardown),
    };
    return FIXTURE_RUN("an agent without memory", tests);
}
