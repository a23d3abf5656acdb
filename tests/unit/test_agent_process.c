/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is told, and how it is started. AGENT_PROBE names the program that plays it. */
#include "agent_process.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30000 };

static unsigned fd_count(void)
{
    unsigned n = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        n++;
    (void)closedir(directory);
    return n;
}

static struct agent_config good(uint32_t lanes)
{
    return (struct agent_config){.role = AGENT_SERVE,
                                 .lanes = lanes,
                                 .module = "/usr/lib/softhsm/libsofthsm2.so",
                                 .uri = "pkcs11:token=k8s-kek",
                                 .pin_source = "credential:pin",
                                 .state_dir = "/var/lib/p11-kms",
                                 .ring = "k8s"};
}

static struct bytes encode(const struct agent_config *config, uint8_t *raw)
{
    struct writer w = writer_over(raw, AGENT_CONFIG_MAX);
    agent_config_put(&w, config);
    assert_false(w.full);
    return writer_bytes(&w);
}

static void only_an_agent_that_destroys_knows_a_doomed_key(void **state)
{
    (void)state;
    uint8_t raw[AGENT_CONFIG_MAX];
    struct agent_config put = good(1), got;
    put.doomed = (struct object_id){.len = 3, .data = {7, 8, 9}};
    assert_int_equal(agent_config_get(encode(&put, raw), &got).code, ERR_INTERNAL);
    put.role = AGENT_MAKE;
    assert_int_equal(agent_config_get(encode(&put, raw), &got).code, ERR_INTERNAL);
    put.role = AGENT_DESTROY;
    assert_false(err_is(agent_config_get(encode(&put, raw), &got)));
    assert_true(object_id_equal(&got.doomed, &put.doomed));
    put.doomed.len = 0;
    assert_int_equal(agent_config_get(encode(&put, raw), &got).code, ERR_INTERNAL);
}

static void a_configuration_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t raw[AGENT_CONFIG_MAX];
    struct agent_config put = good(5), got;
    put.role = AGENT_MAKE;
    assert_false(err_is(agent_config_get(encode(&put, raw), &got)));
    assert_int_equal(got.role, put.role);
    assert_int_equal(got.lanes, put.lanes);
    assert_string_equal(got.module, put.module);
    assert_string_equal(got.uri, put.uri);
    assert_string_equal(got.pin_source, put.pin_source);
    assert_string_equal(got.state_dir, put.state_dir);
    assert_string_equal(got.ring, put.ring);
}

static struct agent_config external(const char *select, uint32_t waive)
{
    struct agent_config c = good(5);
    c.external = true;
    c.waive = waive;
    (void)snprintf(c.select, sizeof c.select, "%s", select);
    return c;
}

static void an_external_ring_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t raw[AGENT_CONFIG_MAX];
    struct agent_config put = external("label:k8s-*", WAIVE_LOCAL | WAIVE_USAGE), got;
    assert_false(err_is(agent_config_get(encode(&put, raw), &got)));
    assert_true(got.external);
    assert_string_equal(got.select, "label:k8s-*");
    assert_int_equal(got.waive, WAIVE_LOCAL | WAIVE_USAGE);
}

static void the_longest_configuration_fits(void **state)
{
    (void)state;
    uint8_t raw[AGENT_CONFIG_MAX];
    struct agent_config put = good(AGENT_LANES_MAX), got;
    memset(put.module, 'm', sizeof put.module - 1);
    memset(put.uri, 'u', sizeof put.uri - 1);
    memset(put.pin_source, 'p', sizeof put.pin_source - 1);
    memset(put.state_dir, 's', sizeof put.state_dir - 1);
    memset(put.ring, 'r', sizeof put.ring - 1);
    put.external = true;
    memset(put.select, 's', sizeof put.select - 1);
    memcpy(put.select, "label:", 6);
    assert_false(err_is(agent_config_get(encode(&put, raw), &got)));
    assert_string_equal(got.state_dir, put.state_dir);
    assert_string_equal(got.ring, put.ring);
}

static void truncated_and_longer_bytes_are_refused(void **state)
{
    (void)state;
    uint8_t raw[AGENT_CONFIG_MAX] = {0};
    struct agent_config put = good(5), got = {.lanes = 77};
    size_t len = encode(&put, raw).len;
    for (size_t i = 0; i < len; i++)
        assert_int_equal(agent_config_get(bytes_of(raw, i), &got).code, ERR_INTERNAL);
    assert_int_equal(agent_config_get(bytes_of(raw, len + 1), &got).code, ERR_INTERNAL);
    assert_int_equal(got.lanes, 77);
}

static void expect_refused(const struct agent_config *config)
{
    uint8_t raw[AGENT_CONFIG_MAX];
    struct agent_config got;
    assert_int_equal(agent_config_get(encode(config, raw), &got).code, ERR_INTERNAL);
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    struct agent_config c = good(0);
    expect_refused(&c);
    c = good(AGENT_LANES_MAX + 1);
    expect_refused(&c);
    c = good(2);
    c.role = (enum agent_role)0;
    expect_refused(&c);
    c.role = (enum agent_role)(AGENT_TRY + 1);
    expect_refused(&c);
    c = good(2);
    memcpy(c.ring, "Upper", 6);
    expect_refused(&c);
    c.ring[0] = '\0';
    expect_refused(&c);
}

/* An agent that took one ring's rules for another's could relabel an operator's key. */
static void rules_of_the_other_mode_are_refused(void **state)
{
    (void)state;
    struct agent_config c = external("", 0);
    expect_refused(&c);
    c = external("k8s-*", 0);
    expect_refused(&c);
    c = external("label:k8s-*", 4);
    expect_refused(&c);
    c = external("label:k8s-*", 0);
    c.external = false;
    expect_refused(&c);
    c = external("", WAIVE_USAGE);
    c.external = false;
    expect_refused(&c);
}

static void each_lane_reaches_an_agent_that_has_nothing_else(uint32_t lanes)
{
    unsigned before = fd_count();
    struct agent_config config = good(lanes);
    struct agent_process agent;
    sigset_t all, old;
    (void)sigfillset(&all); /* as in the monitor, which waits for signals with sigwait */
    (void)sigprocmask(SIG_SETMASK, &all, &old);
    struct err e = agent_process_start(AGENT_PROBE, &config, &agent);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    assert_false(err_is(e));
    assert_int_equal(agent.lanes, lanes);
    for (uint32_t i = 0; i < lanes; i++) {
        uint8_t answer = 0xff;
        size_t len;
        assert_false(err_is(fd_wait_readable(agent.lane[i], PATIENCE_MS)));
        assert_false(err_is(packet_receive(agent.lane[i], &answer, 1, &len, NULL, 0, NULL)));
        assert_int_equal(answer, 0);
    }
    int status;
    agent_process_close_lanes(&agent);
    assert_int_equal(waitpid(agent.pid, &status, 0), agent.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_int_equal(fd_count(), before);
}

static void one_lane(void **state)
{
    (void)state;
    each_lane_reaches_an_agent_that_has_nothing_else(1);
}

static void all_lanes(void **state)
{
    (void)state;
    each_lane_reaches_an_agent_that_has_nothing_else(AGENT_LANES_MAX);
}

/* What the starter has open must not matter, inherited or in the way of the agent's own. */
static void descriptors_of_the_starter_stay_with_it(void **state)
{
    (void)state;
    int extra[80];
    for (size_t i = 0; i < 80; i++)
        assert_true((extra[i] = dup(0)) >= 0); /* without close-on-exec */
    for (size_t i = 0; i < 80; i += 2)
        (void)close(extra[i]);
    each_lane_reaches_an_agent_that_has_nothing_else(7);
    for (size_t i = 1; i < 80; i += 2)
        (void)close(extra[i]);
}

static void a_program_that_is_not_there_exits_with_127(void **state)
{
    (void)state;
    struct agent_config config = good(2);
    struct agent_process agent;
    uint8_t byte;
    size_t len;
    int status;
    assert_false(err_is(agent_process_start("/nonexistent/agent", &config, &agent)));
    assert_false(err_is(fd_wait_readable(agent.lane[0], PATIENCE_MS)));
    assert_int_equal(packet_receive(agent.lane[0], &byte, 1, &len, NULL, 0, NULL).code,
                     ERR_UNAVAILABLE);
    agent_process_close_lanes(&agent);
    assert_int_equal(waitpid(agent.pid, &status, 0), agent.pid);
    assert_int_equal(WEXITSTATUS(status), 127);
}

static void lanes_out_of_range_start_nothing(void **state)
{
    (void)state;
    unsigned before = fd_count();
    const uint32_t wrong[] = {0, AGENT_LANES_MAX + 1};
    for (size_t i = 0; i < 2; i++) {
        struct agent_config config = good(wrong[i]);
        struct agent_process agent = {.pid = 77};
        assert_int_equal(agent_process_start(AGENT_PROBE, &config, &agent).code, ERR_INTERNAL);
        assert_int_equal(agent.pid, 77);
    }
    assert_int_equal(fd_count(), before);
}

static void kill_ends_and_reaps_it(void **state)
{
    (void)state;
    unsigned before = fd_count();
    struct agent_config config = good(3);
    struct agent_process agent;
    assert_false(err_is(agent_process_start("/bin/cat", &config, &agent)));
    pid_t pid = agent.pid;
    agent_process_kill(&agent);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    agent_process_kill(&agent); /* twice does no harm */
    assert_int_equal(fd_count(), before);
}

int main(void)
{
    (void)alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_comes_back_as_it_was),
        cmocka_unit_test(only_an_agent_that_destroys_knows_a_doomed_key),
        cmocka_unit_test(an_external_ring_comes_back_as_it_was),
        cmocka_unit_test(rules_of_the_other_mode_are_refused),
        cmocka_unit_test(the_longest_configuration_fits),
        cmocka_unit_test(truncated_and_longer_bytes_are_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(one_lane),
        cmocka_unit_test(all_lanes),
        cmocka_unit_test(descriptors_of_the_starter_stay_with_it),
        cmocka_unit_test(a_program_that_is_not_there_exits_with_127),
        cmocka_unit_test(lanes_out_of_range_start_nothing),
        cmocka_unit_test(kill_ends_and_reaps_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
