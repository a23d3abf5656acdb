/* SPDX-License-Identifier: Apache-2.0 */
/* What a good configuration means. */
#include "config.h"
#include "keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LEAST                                                                                      \
    "apiVersion: p11-kms/v1\ntoken:\n  module: /usr/lib/softhsm/libsofthsm2.so\n"                  \
    "  uri: \"pkcs11:token=k8s-kek\"\n  pinSource: credential:pin\n"

static struct config load(const char *yaml)
{
    struct config config;
    struct config_error error = {.line = 0};
    char text[1024];
    if (err_is(config_load(bytes_of_string(yaml), &config, &error)))
        fail_msg("%s", config_error_format("yaml", &error, text, sizeof text));
    return config;
}

static void defaults_are_as_documented(void **state)
{
    (void)state;
    struct config c = load(LEAST);
    assert_string_equal(c.socket_path, "/run/p11-kms/kms.sock");
    assert_string_equal(c.socket_group, "");
    assert_int_equal(c.n_allow_uids, 1);
    assert_int_equal(c.allow_uids[0], 0);
    assert_int_equal(c.n_allow_gids, 0);
    assert_string_equal(c.status_version, "v2beta1");
    assert_string_equal(c.state_dir, "/var/lib/p11-kms");
    assert_false(c.require_mlock);
    assert_int_equal(c.token.sessions, 4);
    assert_int_equal(c.token.timeout_ms, 2000);
    assert_int_equal(c.token.generate_timeout_ms, 180000);
    assert_int_equal(c.token.probe_every_ms, 10000);
    assert_string_equal(c.ring.name, "k8s");
    assert_int_equal(c.ring.scheme, SCHEME_NONE);
    assert_int_equal(c.ring.verify_seals, VERIFY_ALL);
    assert_int_equal(c.ring.verify_opens, VERIFY_ALL);
    assert_int_equal(c.ring.rescan_every_ms, 60000);
    assert_true(c.ring.rotate_every_ms == INT64_C(30) * 86400000);
    assert_int_equal(c.ring.activation_delay_ms, 300000);
    assert_int_equal(c.ring.max_seals, 1 << 28);
    assert_int_equal(c.log.format, LOG_FORMAT_AUTO);
    assert_int_equal(c.log.level, LOG_LEVEL_INFO);
}

static void http_is_on_this_host_or_nowhere(void **state)
{
    (void)state;
    struct config c = load(LEAST);
    assert_int_equal(c.http.kind, HTTP_OFF);
    c = load(LEAST "http: 127.0.0.1:8082\n");
    assert_int_equal(c.http.kind, HTTP_IPV4);
    assert_memory_equal(c.http.address, "\x7f\0\0\1", 4);
    assert_int_equal(c.http.port, 8082);
    c = load(LEAST "http: \"[::1]:65535\"\n");
    assert_int_equal(c.http.kind, HTTP_IPV6);
    assert_memory_equal(c.http.address, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    assert_int_equal(c.http.port, 65535);
    c = load(LEAST "http: unix:///run/x/http.sock\n");
    assert_int_equal(c.http.kind, HTTP_UNIX);
    assert_string_equal(c.http.path, "/run/x/http.sock");
}

static void every_key_is_read(void **state)
{
    (void)state;
    struct config c = load(LEAST "  sessions: 64\n  timeout: 250ms\n  generateTimeout: 10m\n"
                                 "  probeEvery: 1h\n"
                                 "socket: unix:///tmp/x.sock\nsocketGroup: kms\n"
                                 "adminSocket: unix:///tmp/a.sock\n"
                                 "allowUids: [0, 1000]\nallowGids:\n- 7\n"
                                 "statusVersion: v2\nstateDir: /tmp/state\nrequireMlock: true\n"
                                 "ring: {name: a-1, mode: managed, scheme: aes-gcm,\n"
                                 "       verifySeals: v2, verifyOpens: none, rescanEvery: 1d,\n"
                                 "       rotateEvery: never,\n"
                                 "       activationDelay: 0s, maxSeals: 1000}\n"
                                 "log:\n  format: json\n  level: debug\n");
    assert_string_equal(c.socket_path, "/tmp/x.sock");
    assert_string_equal(c.admin_socket_path, "/tmp/a.sock");
    assert_string_equal(c.socket_group, "kms");
    assert_int_equal(c.n_allow_uids, 2);
    assert_int_equal(c.allow_uids[1], 1000);
    assert_int_equal(c.n_allow_gids, 1);
    assert_int_equal(c.allow_gids[0], 7);
    assert_string_equal(c.status_version, "v2");
    assert_string_equal(c.state_dir, "/tmp/state");
    assert_true(c.require_mlock);
    assert_string_equal(c.token.module, "/usr/lib/softhsm/libsofthsm2.so");
    assert_string_equal(c.token.uri, "pkcs11:token=k8s-kek");
    assert_string_equal(c.token.pin_source, "credential:pin");
    assert_int_equal(c.token.sessions, 64);
    assert_int_equal(c.token.timeout_ms, 250);
    assert_int_equal(c.token.generate_timeout_ms, 600000);
    assert_int_equal(c.token.probe_every_ms, 3600000);
    assert_string_equal(c.ring.name, "a-1");
    assert_int_equal(c.ring.scheme, SCHEME_AES_GCM);
    assert_int_equal(c.ring.verify_seals, VERIFY_V2);
    assert_int_equal(c.ring.verify_opens, VERIFY_NONE);
    assert_int_equal(c.ring.rescan_every_ms, 86400000);
    assert_true(c.ring.rotate_every_ms == 0);
    assert_int_equal(c.ring.activation_delay_ms, 0);
    assert_int_equal(c.ring.max_seals, 1000);
    assert_int_equal(c.log.format, LOG_FORMAT_JSON);
    assert_int_equal(c.log.level, LOG_LEVEL_DEBUG);
}

static void an_external_ring_is_read(void **state)
{
    (void)state;
    struct config c =
        load(LEAST "ring: {mode: external, select: \"label:k8s-*\", rescanEvery: 1h,\n"
                   "       active: k8s.0a01, waive: [usage, local]}\n");
    assert_int_equal(c.ring.mode, RING_EXTERNAL);
    assert_string_equal(c.ring.select, "label:k8s-*");
    assert_string_equal(c.ring.active.text, "k8s.0a01");
    assert_int_equal(config_waivers(&c), WAIVE_LOCAL | WAIVE_USAGE);
    c = load(LEAST "ring: {mode: external, select: \"id:0a*\", waive: [usage]}\n");
    assert_string_equal(c.ring.active.text, "");
    assert_int_equal(config_waivers(&c), WAIVE_USAGE);
    c = load(LEAST);
    assert_int_equal(c.ring.mode, RING_MANAGED);
    assert_int_equal(config_waivers(&c), 0);
}

static void an_empty_list_is_not_the_default(void **state)
{
    (void)state;
    struct config c = load("allowUids: []\nallowGids: [5]\n" LEAST);
    assert_int_equal(c.n_allow_uids, 0);
    assert_int_equal(c.n_allow_gids, 1);
}

static void a_reload_takes_over_what_may_change(void **state)
{
    (void)state;
    char restart[256];
    struct config current = load(LEAST);
    struct config next = load(
        LEAST "  timeout: 3s\nallowUids: [0, 5]\nallowGids: [6]\n"
              "ring: {rescanEvery: 5s, verifySeals: v2, verifyOpens: v2}\nlog: {level: error}\n");
    config_reload(&current, &next, restart, sizeof restart);
    assert_string_equal(restart, "");
    assert_int_equal(current.token.timeout_ms, 3000);
    assert_int_equal(current.n_allow_uids, 2);
    assert_int_equal(current.allow_gids[0], 6);
    assert_int_equal(current.ring.rescan_every_ms, 5000);
    assert_int_equal(current.ring.verify_seals, VERIFY_V2);
    assert_int_equal(current.ring.verify_opens, VERIFY_V2);
    assert_int_equal(current.log.level, LOG_LEVEL_ERROR);
}

static void a_reload_names_what_needs_a_restart(void **state)
{
    (void)state;
    char restart[256];
    struct config current = load(LEAST);
    struct config next = load(LEAST "  sessions: 5\nstateDir: /x\n");
    config_reload(&current, &next, restart, sizeof restart);
    assert_string_equal(restart, "stateDir, token.sessions");
    assert_int_equal(current.token.sessions, 4);
    assert_string_equal(current.state_dir, "/var/lib/p11-kms");
}

static void rejected_yaml_leaves_the_result_alone(void **state)
{
    (void)state;
    struct config config, before;
    struct config_error error;
    memset(&config, 0x5a, sizeof config);
    memset(&before, 0x5a, sizeof before);
    assert_true(err_is(config_load(bytes_of_string(LEAST "  sessions: 0\n"), &config, &error)));
    assert_memory_equal(&config, &before, sizeof config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(http_is_on_this_host_or_nowhere),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(an_external_ring_is_read),
        cmocka_unit_test(an_empty_list_is_not_the_default),
        cmocka_unit_test(a_reload_takes_over_what_may_change),
        cmocka_unit_test(a_reload_names_what_needs_a_restart),
        cmocka_unit_test(rejected_yaml_leaves_the_result_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
