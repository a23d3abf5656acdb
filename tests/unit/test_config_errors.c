/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator is told of a bad configuration: the exact line. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define A_PLACE "must be 127.0.0.1:PORT, [::1]:PORT or unix:///absolute/path"
#define LOOPBACK                                                                                   \
    "must be an address of the loopback interface, such as 127.0.0.1:8082: it is served without "  \
    "any authentication"
#define LEAST                                                                                      \
    "apiVersion: p11-kms/v1\ntoken:\n  module: /m.so\n  uri: \"pkcs11:token=a\"\n"                 \
    "  pinSource: credential:pin\n"                                       /* 5 lines */
#define EXTERNAL LEAST "ring:\n  mode: external\n  select: label:k8s-*\n" /* 8 lines */
#define FOR_MANAGED                                                                                \
    " is for ring.mode: managed; here you make the keys, whose type says their scheme, and "       \
    "`p11-kms keys adopt` activates them"
#define KEY_OF_RING                                                                                \
    ":9: ring.active: must be a key_id of this ring: its name, a dot, and the CKA_ID in "          \
    "lower-case hex"
#define TOKEN(uri) "apiVersion: p11-kms/v1\ntoken:\n  module: /m.so\n  uri: \"" uri "\"\n"
#define DURATION   "must be a whole number and one unit (ms, s, m, h or d), such as 250ms or 2s"

static const struct row {
    const char *yaml;
    const char *expected; /* behind the file's name */
} rows[] = {
    {"", ":1: the file is empty; it begins with apiVersion: p11-kms/v1"},
    {"---\n# nothing\n", ":1: the file is empty; it begins with apiVersion: p11-kms/v1"},
    {"- 1\n", ":1: the file must hold keys, beginning with apiVersion: p11-kms/v1"},
    {"a: [1\nb: 2\n", ":2: not YAML: did not find expected ',' or ']'"},
    {"a: 1\nb: \x01\n", ":2: not YAML: control characters are not allowed"},
    {"a: 1\nb: \xff\n", ":2: not valid UTF-8 text"},
    {"token:\n\tmodule: /m\n", ":2: a tab character; indent and separate with spaces"},
    {LEAST "---\napiVersion: p11-kms/v1\n", ":6: a second document begins here; one is taken"},
    {"socket: &a x\nstateDir: *a\n",
     ":1: anchors and aliases (& and *) are refused; quote the value if it begins so"},
    {"socket: !!str x\n", ":1: tags (!) are refused; quote the value if it begins so"},
    {"%YAML 1.1\n---\na: 1\n", ":1: directives (%) are refused"},
    {"{a: 1}: 2\n", ":1: a key must be a plain word"},

    {LEAST "  timeuot: 2s\n", ":6: token.timeuot: unknown key; did you mean token.timeout?"},
    {LEAST "timeout: 2s\n", ":6: timeout: unknown key; did you mean token.timeout?"},
    {LEAST "  pin: 1234\n", ":6: token.pin: unknown key; did you mean token.pinSource?"},
    {LEAST "token.timeout: 2s\n", ":6: token.timeout: unknown key; did you mean token.timeout?"},
    {LEAST "zzzzzz: 1\n", ":6: zzzzzz: unknown key"},
    {LEAST "  module: /n.so\n", ":6: token.module: given twice; first in line 3"},
    {LEAST "log: text\n", ":6: log: must hold keys of its own"},
    {LEAST "stateDir:\n", ":6: stateDir: has no value; give one or remove the key"},
    {LEAST "stateDir: [/x]\n", ":6: stateDir: must be a single value"},
    {LEAST "stateDir: \"/x\\n\"\n", ":6: stateDir: holds a control character or a line end"},
    {LEAST "allowUids: 0\n", ":6: allowUids: must be a list, such as [0]"},
    {LEAST "allowUids:\n- 0\n- root\n", ":8: allowUids: must be a number from 0 to 4294967294"},
    {LEAST "allowUids: [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]\n",
     ":6: allowUids: has more than 16 items"},
    {LEAST "allowUids: []\n",
     ":6: allowUids: nobody could connect: allowUids and allowGids are both empty"},
    {"apiVersion: p11-kms/v2\n",
     ":1: apiVersion: unsupported version; this program reads p11-kms/v1"},
    {"socket: unix:///x\n", ":1: apiVersion: is missing and has no default"},
    {"apiVersion: p11-kms/v1\ntoken: {}\n", ":2: token.module: is missing and has no default"},
    {LEAST "socket: /run/x.sock\n", ":6: socket: must be unix:///absolute/path"},
    {LEAST "socket: unix:///@x\n", ":6: socket: abstract sockets are refused: they have no file "
                                   "mode; write unix:///absolute/path"},
    {LEAST "socket: unix:///a/../b\n", ":6: socket: must be an absolute path without '.', '..', "
                                       "'//' or a '/' at its end"},
    {LEAST "socketGroup: a b\n", ":6: socketGroup: must be the name of a group, or its number"},
    {LEAST "statusVersion: v2alpha1\n", ":6: statusVersion: must be one of v2beta1, v2"},
    {LEAST "requireMlock: yes\n", ":6: requireMlock: must be true or false"},
    {LEAST "  sessions: 65\n", ":6: token.sessions: out of range: 1 to 64"},
    {LEAST "  sessions: four\n", ":6: token.sessions: must be a whole number from 1 to 64"},
    {LEAST "  timeout: 2\n", ":6: token.timeout: " DURATION},
    {LEAST "  timeout: 1m30s\n", ":6: token.timeout: " DURATION},
    {LEAST "  timeout: 99ms\n", ":6: token.timeout: out of range: 100ms to 1m"},
    {LEAST "  timeout: 99999999999999999999999d\n", ":6: token.timeout: out of range: 100ms to 1m"},
    {LEAST "  generateTimeout: 1h\n", ":6: token.generateTimeout: out of range: 1s to 10m"},
    {LEAST "  probeEvery: 1d\n", ":6: token.probeEvery: out of range: 1s to 1h"},
    {LEAST "ring: {rescanEvery: 2d}\n", ":6: ring.rescanEvery: out of range: 1s to 1d"},
    {LEAST "ring: {rotateEvery: 3651d}\n", ":6: ring.rotateEvery: out of range: 1s to 3650d"},
    {LEAST "ring: {rotateEvery: always}\n",
     ":6: ring.rotateEvery: must be a whole number and one unit, such as 30d, or never"},
    {LEAST "ring: {maxSeals: 999}\n", ":6: ring.maxSeals: out of range: 1000 to 268435456"},
    {LEAST "ring:\n  activationDelay: 59s\n",
     ":7: ring.activationDelay: must be ring.rescanEvery or more, so that every replica has seen a "
     "new KEK before it seals; 0s where one daemon alone uses the token"},
    {LEAST "ring: {name: K8S}\n", ":6: ring.name: must be 1 to 16 of a-z, 0-9 and '-'"},
    {LEAST "ring: {mode: extern}\n", ":6: ring.mode: must be one of managed, external"},
    {LEAST "ring:\n  mode: external\n", ":6: ring.select: is missing: ring.mode external needs it"},
    {LEAST "ring:\n  select: label:k8s-*\n", ":7: ring.select: needs ring.mode: external"},
    {LEAST "ring:\n  active: k8s.0a\n", ":7: ring.active: needs ring.mode: external"},
    {LEAST "ring:\n  waive: []\n", ":7: ring.waive: needs ring.mode: external"},
    {EXTERNAL "  rotateEvery: 30d\n", ":9: ring.rotateEvery:" FOR_MANAGED},
    {EXTERNAL "  activationDelay: 5m\n", ":9: ring.activationDelay:" FOR_MANAGED},
    {EXTERNAL "  maxSeals: 1000\n", ":9: ring.maxSeals:" FOR_MANAGED},
    {EXTERNAL "  scheme: hmac-derive\n", ":9: ring.scheme:" FOR_MANAGED},
    {EXTERNAL "  waive: [usage, sensitive]\n", ":9: ring.waive: must be one of local, usage"},
    {EXTERNAL "  waive: usage\n", ":9: ring.waive: must be a list, such as [0]"},
    {EXTERNAL "  active: k8s\n", ":9: ring.active: must be a key_id, such as `p11-kms init` shows"},
    {EXTERNAL "  active: other.0a\n", KEY_OF_RING},
    {EXTERNAL "  active: k8s.01890101-0101-7101-8101-010101010101\n", KEY_OF_RING},
    {LEAST "ring: {mode: external, select: k8s}\n",
     ":6: ring.select: must be label:GLOB, id:HEX-GLOB or pkcs11:object=LABEL;id=%0A%01"},
    {LEAST "ring: {mode: external, select: \"pkcs11:token=a\"}\n",
     ":6: ring.select: the URI may have object, id and type=secret-key, with ; between them: the "
     "token is named by token.uri, and nothing else is taken"},
    {LEAST "ring: {scheme: des}\n",
     ":6: ring.scheme: must be auto, aes-gcm, hmac-derive, aes-cbc-hmac or rsa-oaep-sign"},
    {LEAST "audit: {path: /var/log/audit}\n",
     ":6: audit: not built in this version; remove the key"},
    {LEAST "audit: {path: /x}\n", ":6: audit: not built in this version; remove the key"},
    {LEAST "socket: unix:///x\nadminSocket: unix:///x\n",
     ":7: adminSocket: must be another path than socket"},
    {LEAST "socket: unix:///run/p11-kms/admin.sock\n",
     ":1: adminSocket: must be another path than socket"},
    {LEAST "http: 8082\n", ":6: http: " A_PLACE},
    {LEAST "http: localhost:8082\n", ":6: http: " A_PLACE},
    {LEAST "http: \":8082\"\n", ":6: http: " A_PLACE},
    {LEAST "http: \"::1:8082\"\n", ":6: http: " A_PLACE},
    {LEAST "http: \"[127.0.0.1]:8082\"\n", ":6: http: " A_PLACE},
    {LEAST "http: 127.0.0.1\n", ":6: http: " A_PLACE},
    {LEAST "http: 127.0.0.1:0\n", ":6: http: " A_PLACE},
    {LEAST "http: 127.0.0.1:65536\n", ":6: http: " A_PLACE},
    {LEAST "http: http://127.0.0.1:8082\n", ":6: http: " A_PLACE},
    {LEAST "http: 0.0.0.0:8082\n", ":6: http: " LOOPBACK},
    {LEAST "http: 10.0.0.1:8082\n", ":6: http: " LOOPBACK},
    {LEAST "http: \"[::]:8082\"\n", ":6: http: " LOOPBACK},
    {LEAST "http: \"[::ffff:127.0.0.1]:8082\"\n", ":6: http: " LOOPBACK},
    {LEAST "http: unix:health.sock\n", ":6: http: must be unix:///absolute/path"},
    {LEAST "socket: unix:///x\nhttp: unix:///x\n",
     ":7: http: must be another path than socket and adminSocket"},
    {LEAST "http: unix:///run/p11-kms/admin.sock\n",
     ":6: http: must be another path than socket and adminSocket"},
    {LEAST "log: {level: loud}\n", ":6: log.level: must be one of error, warning, info, debug"},

    {"apiVersion: p11-kms/v1\ntoken: {module: m.so}\n",
     ":2: token.module: must be an absolute path without '.', '..', '//' or a '/' at its end"},
    {TOKEN("http://x"), ":4: token.uri: must be a PKCS#11 URI, such as pkcs11:token=NAME"},
    {TOKEN("pkcs11:"), ":4: token.uri: must name a token: by token, serial, model or manufacturer"},
    {TOKEN("pkcs11:tokn=a"),
     ":4: token.uri: unknown attribute; the URI may have token, serial, model, manufacturer, "
     "slot-id, slot-description, slot-manufacturer, library-description, library-manufacturer "
     "and library-version"},
    {TOKEN("pkcs11:token=a;object=k"),
     ":4: token.uri: object names an object; the URI must name a token only"},
    {TOKEN("pkcs11:token=a;token=b"), ":4: token.uri: token is given twice"},
    {TOKEN("pkcs11:token=a?pin-value=1234"), ":4: token.uri: pin-value is not taken in the URI: "
                                             "the PIN never stands in this file; use "
                                             "token.pinSource"},
    {TOKEN("pkcs11:token=a?module-path=/x"),
     ":4: token.uri: module-path is not taken in the URI: use token.module"},
    {TOKEN("pkcs11:token=a?x-vendor=1"),
     ":4: token.uri: unknown attribute after '?': none is taken there"},
    {TOKEN("pkcs11:token=%zz"), ":4: token.uri: not a well-formed PKCS#11 URI (RFC 7512)"},
    {TOKEN("pkcs11:token=a") "  pinSource: \"1234\"\n",
     ":5: token.pinSource: must be credential:NAME, file:/absolute/path or protected; a PIN "
     "itself never stands in this file"},
};

static void each_error_names_line_and_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config config;
        struct config_error error;
        char text[1024], expected[1024];
        struct err e = config_load(bytes_of_string(rows[i].yaml), &config, &error);
        if (e.code != ERR_CONFIG)
            fail_msg("accepted: %s", rows[i].yaml);
        (void)snprintf(expected, sizeof expected, "kms.yaml%s", rows[i].expected);
        assert_string_equal(config_error_format("kms.yaml", &error, text, sizeof text), expected);
    }
}

static void no_message_quotes_a_misplaced_pin(void **state)
{
    static const char *const yamls[] = {TOKEN("pkcs11:token=a?pin-value=s3cr3t"),
                                        TOKEN("pkcs11:token=a") "  pinSource: s3cr3t\n",
                                        LEAST "  pin: s3cr3t\n",
                                        LEAST "  sessions: s3cr3t\n",
                                        LEAST "requireMlock: s3cr3t\n",
                                        LEAST "socket: s3cr3t\n",
                                        "apiVersion: s3cr3t\n"};
    (void)state;
    for (size_t i = 0; i < sizeof yamls / sizeof yamls[0]; i++) {
        struct config config;
        struct config_error error;
        assert_true(err_is(config_load(bytes_of_string(yamls[i]), &config, &error)));
        assert_null(strstr(error.message, "s3cr3t"));
        assert_null(strstr(error.field, "s3cr3t"));
    }
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    (void)state;
    struct config config;
    struct config_error error;
    char path[] = "/tmp/p11-kms-config.XXXXXX", room[1024], text[256], expected[256];
    int fd = mkstemp(path);
    memset(room, '#', sizeof room);
    for (int i = 0; i < CONFIG_SIZE_MAX / 1024 + 1; i++)
        assert_int_equal(write(fd, room, sizeof room), sizeof room);
    (void)close(fd);
    assert_true(err_is(config_load_file(path, &config, &error)));
    (void)unlink(path);
    (void)snprintf(expected, sizeof expected, "%s:1: the file is larger than 65536 bytes", path);
    assert_string_equal(config_error_format(path, &error, text, sizeof text), expected);
}

static void a_file_that_is_missing_is_named(void **state)
{
    (void)state;
    struct config config;
    struct config_error error;
    char text[256];
    assert_true(err_is(config_load_file("/nonexistent/x.yaml", &config, &error)));
    assert_string_equal(config_error_format("/nonexistent/x.yaml", &error, text, sizeof text),
                        "/nonexistent/x.yaml: cannot be read: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_names_line_and_field),
        cmocka_unit_test(no_message_quotes_a_misplaced_pin),
        cmocka_unit_test(a_file_that_is_too_large_is_refused),
        cmocka_unit_test(a_file_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
