/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kms status and keys against the real admin API, as an operator would run them. */
#include "admin_stand.h"
#include "cli_words.h"

#include <fcntl.h>
#include <string.h>

static const struct health well = {.ok = true, .text = "ok"};

static int run(const struct admin_stand *stand, const char *const *words)
{
    char socket[128];
    (void)snprintf(socket, sizeof socket, "--admin-socket=unix://%s", stand->base.path);
    return cli_words(cli_input(""), words, socket);
}

#define RUN(stand, ...) run((stand), (const char *const[]){__VA_ARGS__, NULL})

static void assert_says(const char *all, const char *part)
{
    if (!strstr(all, part))
        fail_msg("%s\nis not in\n%s", part, all);
}

/* --- status ------------------------------------------------------------------------------ */

static void status_of_a_daemon_that_is_well(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek first = admin_kek(1, KEY_ACTIVE);
    const struct rotation_status life = {
        .rotate_due_ms = ADMIN_MADE_MS, .seals = 12, .max_seals = 99};
    char expected[512];
    admin_set_life(stand, &life);
    assert_int_equal(RUN(stand, "status"), 0);
    (void)snprintf(expected, sizeof expected,
                   "status:      ok\nkey_id:      %s (generation 1)\n"
                   "made:        2025-06-15T15:06:40Z (",
                   first.key_id.text);
    assert_memory_equal(cli_output, expected, strlen(expected));
    assert_says(cli_output, "\nseals:       12 of 99 by this daemon\n");
    assert_says(cli_output, "\nrotation:    2025-06-15T15:06:40Z (");
    assert_says(cli_output, "\nkeys:        1 active\nring:        k8s (managed)\n"
                            "token:       pkcs11:token=t\nversion:     " P11KMS_VERSION "\n"
                            "socket:      unix:///");
    assert_null(strstr(cli_output, "missing"));
    assert_null(strstr(cli_output, "\033"));
}

static void status_names_what_is_wrong(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek keys[] = {admin_kek(1, KEY_ACTIVE), admin_kek(2, KEY_PRE_ACTIVE),
                         admin_kek(3, KEY_COMPROMISED)};
    const struct kek gone = admin_kek(9, KEY_ACTIVE);
    const struct health health = {.text = "the token \"t\" is away"};
    const struct rotation_status life = {
        .pending = keys[1].key_id, .blocked = "a KEK is missing", .failed = "no room"};
    char expected[512];
    keys[0].quarantined = true;
    admin_publish(stand, keys, 3, SIZE_MAX, &gone.key_id, &health);
    admin_set_life(stand, &life);
    assert_int_equal(RUN(stand, "status"), 5);
    assert_says(cli_output, "status:      the token \"t\" is away\nkey_id:      (none yet)\n");
    assert_says(cli_output, "\nrotation:    not by age\n");
    assert_says(cli_output, ", active only by \"p11-kms keys activate\"\n"
                            "blocked:     a KEK is missing\nfailed:      no room\n");
    (void)snprintf(expected, sizeof expected, "\nmissing:     %s\nquarantined: %s\n",
                   gone.key_id.text, keys[0].key_id.text);
    assert_says(cli_output, expected);
    assert_says(cli_output, "\ncompromised: rewrite what such KEKs have sealed");
    assert_says(cli_output, "\nkeys:        1 pre-active, 1 active, 1 compromised, "
                            "1 of them unusable\n");
}

static void status_in_json(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek first = admin_kek(1, KEY_ACTIVE), gone = admin_kek(9, KEY_ACTIVE);
    const struct rotation_status life = {.activate_due_ms = ADMIN_MADE_MS,
                                         .pending = gone.key_id,
                                         .seals = 3,
                                         .max_seals = 4,
                                         .blocked = "a \"b\""};
    char expected[1024];
    admin_publish(stand, &first, 1, 0, &gone.key_id, &well);
    admin_set_life(stand, &life);
    assert_int_equal(RUN(stand, "status", "--json"), 0);
    (void)snprintf(expected, sizeof expected,
                   "{\"ok\": true, \"healthz\": \"ok\", \"failed\": false, \"key_id\": \"%s\", "
                   "\"ring\": \"k8s\", \"mode\": \"managed\", \"token\": \"pkcs11:token=t\", "
                   "\"active\": {\"key_id\": \"%s\", \"generation\": 1, ",
                   first.key_id.text, first.key_id.text);
    assert_memory_equal(cli_output, expected, strlen(expected));
    (void)snprintf(expected, sizeof expected,
                   ", \"rotation\": {\"due\": null, \"pending\": \"%s\", "
                   "\"activates\": \"2025-06-15T15:06:40Z\", \"seals\": 3, \"max_seals\": 4, "
                   "\"blocked\": \"a \\\"b\\\"\", \"failed\": \"\"}, \"missing\": [\"%s\"], "
                   "\"quarantined\": [], \"keys\": {\"pre-active\": 0, \"active\": 1, "
                   "\"deactivated\": 0, \"compromised\": 0, \"unusable\": 0}, \"version\": ",
                   gone.key_id.text, gone.key_id.text);
    assert_says(cli_output, expected);
}

static void status_of_a_plugin_where_no_daemon_answers(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    char socket[128];
    (void)snprintf(socket, sizeof socket, "--socket=unix://%s", stand->path);
    const char *const words[] = {"status", "--admin-socket", "unix:///nonexistent/admin.sock",
                                 NULL};
    assert_int_equal(cli_words(cli_input(""), words, socket), 0);
    assert_says(cli_output, "status:  ok\nkey_id:  " FAKE_KEY_ID);
    assert_int_equal(cli_words(cli_input(""), words, NULL), 5);
    assert_says(cli_errors, "nobody listens on /nonexistent/admin.sock");
}

static void *get_well(void *argument)
{
    struct admin_stand *stand = (struct admin_stand *)argument;
    const struct kek first = admin_kek(1, KEY_ACTIVE);
    admin_publish(stand, &first, 1, 0, NULL, &well);
    return NULL;
}

static void status_waits_until_it_is_well(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct health sick = {.text = "starting"};
    pthread_t healer;
    admin_publish(stand, NULL, 0, SIZE_MAX, NULL, &sick);
    assert_int_equal(RUN(stand, "status", "--wait", "1ms"), 5);
    assert_int_equal(pthread_create(&healer, NULL, get_well, stand), 0);
    assert_int_equal(RUN(stand, "status", "--wait", "20s"), 0);
    (void)pthread_join(healer, NULL);
}

/* --- keys list, show --------------------------------------------------------------------- */

static void keys_are_listed_newest_first(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek keys[] = {admin_kek(9, KEY_COMPROMISED), admin_kek(10, KEY_ACTIVE),
                         admin_kek(11, KEY_PRE_ACTIVE)};
    char expected[1024];
    keys[0].wrong = ATTR_BIT(ATTR_LOCAL) | ATTR_BIT(ATTR_WRAP);
    keys[0].quarantined = true;
    keys[2].label.scheme = SCHEME_RSA_OAEP_SIGN; /* the longest word makes the column */
    admin_publish(stand, keys, 3, 1, NULL, &well);
    assert_int_equal(RUN(stand, "keys", "list"), 0);
    assert_says(cli_output,
                "KEY_ID                                       GEN  STATE        SCHEME  "
                "       MADE                  AGE          NOTE\n");
    (void)snprintf(expected, sizeof expected,
                   "%s      11  pre-active   rsa-oaep-sign  2025-06-15T15:06:40Z  ",
                   keys[2].key_id.text);
    const char *first = strstr(cli_output, expected);
    (void)snprintf(expected, sizeof expected,
                   "%s      10  active       aes-gcm        2025-06-15T15:06:40Z  ",
                   keys[1].key_id.text);
    const char *second = strstr(cli_output, expected);
    (void)snprintf(expected, sizeof expected,
                   "%s       9  compromised  aes-gcm        2025-06-15T15:06:40Z  ",
                   keys[0].key_id.text);
    const char *third = strstr(cli_output, expected);
    assert_true(first && second && third && first < second && second < third);
    assert_says(second, "  seals\n");
    assert_says(third, "  refused: LOCAL,WRAP; quarantined\n");
}

static void keys_in_json(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek key = admin_kek(9, KEY_ACTIVE);
    char expected[1024];
    key.attributes.known = ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_WRAP);
    key.attributes.value = ATTR_BIT(ATTR_TOKEN);
    key.wrong = ATTR_BIT(ATTR_LOCAL) | ATTR_BIT(ATTR_SENSITIVE);
    admin_publish(stand, &key, 1, SIZE_MAX, NULL, &well);
    assert_int_equal(RUN(stand, "keys", "list", "--json"), 0);
    (void)snprintf(expected, sizeof expected,
                   "{\"keys\": [\n {\"key_id\": \"%s\", \"generation\": 9, "
                   "\"scheme\": \"aes-gcm\", \"state\": \"active\", "
                   "\"label\": \"p11-kms/k8s/9/aes-gcm/active\", "
                   "\"made\": \"2025-06-15T15:06:40Z\", \"seals\": false, "
                   "\"attributes\": {\"TOKEN\": true, \"WRAP\": false}, "
                   "\"wrong\": [\"SENSITIVE\", \"LOCAL\"], \"waived\": [], "
                   "\"ambiguous\": false, \"quarantined\": false}]}\n",
                   key.key_id.text);
    assert_string_equal(cli_output, expected);
    assert_int_equal(RUN(stand, "keys", "show", key.key_id.text, "--json"), 0);
    assert_memory_equal(cli_output, "{\"key_id\": ", 11);
}

static void thousands_of_keys_are_listed(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    AUTO_FREE struct kek *keys = (struct kek *)calloc(ADMIN_KEYS_MAX, sizeof *keys);
    assert_non_null(keys);
    for (uint32_t i = 0; i < ADMIN_KEYS_MAX; i++)
        keys[i] = admin_kek(i + 1, KEY_DEACTIVATED);
    admin_publish(stand, keys, ADMIN_KEYS_MAX, SIZE_MAX, NULL, &well);
    assert_int_equal(RUN(stand, "keys", "list"), 0);
    assert_says(cli_output, keys[ADMIN_KEYS_MAX - 1].key_id.text);
}

static void a_key_is_shown(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek key = admin_kek(3, KEY_ACTIVE);
    key.wrong = ATTR_BIT(ATTR_LOCAL);
    key.quarantined = key.ambiguous = true;
    admin_publish(stand, &key, 1, 0, NULL, &well);
    assert_int_equal(RUN(stand, "keys", "show", key.key_id.text), 0);
    assert_says(cli_output, "\nlabel:       p11-kms/k8s/3/aes-gcm/active\n"
                            "state:       active, seals\ngeneration:  3\n");
    assert_says(cli_output, "\n  true:      TOKEN,PRIVATE,SENSITIVE,");
    assert_says(cli_output, "\nrefused:     not as they must be: LOCAL\n"
                            "refused:     two objects have its CKA_ID\n"
                            "quarantined: other key material stands behind its CKA_ID\n");
    assert_int_equal(RUN(stand, "keys", "show"), 2);
    assert_int_equal(RUN(stand, "keys", "show", "k8s.x"), 1);
    assert_says(cli_errors, "INVALID_ARGUMENT");
    assert_int_equal(RUN(stand, "keys", "show", admin_kek(4, KEY_ACTIVE).key_id.text), 1);
    assert_says(cli_errors, "NOT_FOUND (5): the ring has no such KEK");
}

/* --- orders ------------------------------------------------------------------------------ */

static void a_rotation_says_what_it_made(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek made = admin_kek(2, KEY_PRE_ACTIVE), lost = admin_kek(5, KEY_ACTIVE);
    struct ring_report report = {
        .key_id = made.key_id, .active_ms = ADMIN_MADE_MS, .text = "made it"};
    char expected[512];
    admin_set_report(stand, &report);
    assert_int_equal(RUN(stand, "keys", "rotate"), 0);
    (void)snprintf(expected, sizeof expected, "key_id: %s\nactive: 2025-06-15T15:06:40Z (",
                   made.key_id.text);
    assert_memory_equal(cli_output, expected, strlen(expected));
    assert_says(cli_output, " ago)\nmade it\n");
    assert_int_equal(RUN(stand, "keys", "rotate", "--acknowledge-loss", lost.key_id.text, "--json"),
                     0);
    (void)snprintf(expected, sizeof expected,
                   "{\"key_id\": \"%s\", \"active\": \"2025-06-15T15:06:40Z\", "
                   "\"text\": \"made it\"}\n",
                   made.key_id.text);
    assert_string_equal(cli_output, expected);
    const struct ring_order order = admin_last_order(stand);
    assert_true(object_id_equal(&order.id, &lost.id));
    assert_int_equal(RUN(stand, "keys", "rotate", "--acknowledge-loss="), 2);
    assert_int_equal(RUN(stand, "keys", "rotate", "one"), 2);
}

static void *activate(void *argument)
{
    struct admin_stand *stand = (struct admin_stand *)argument;
    const struct kek keys[] = {admin_kek(1, KEY_ACTIVE), admin_kek(2, KEY_ACTIVE)};
    admin_wait_orders(stand, 2);
    admin_publish(stand, keys, 2, 1, NULL, &well);
    return NULL;
}

static void a_rotation_waits_until_the_key_seals(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek keys[] = {admin_kek(1, KEY_ACTIVE), admin_kek(2, KEY_PRE_ACTIVE)};
    struct ring_report report = {.key_id = keys[1].key_id, .active_ms = 1, .text = "made"};
    pthread_t activator;
    admin_set_report(stand, &report);
    admin_publish(stand, keys, 2, 0, NULL, &well);
    assert_int_equal(RUN(stand, "keys", "rotate", "--wait", "1ms"), 1);
    assert_says(cli_errors, "does not seal yet");
    assert_int_equal(pthread_create(&activator, NULL, activate, stand), 0);
    assert_int_equal(RUN(stand, "keys", "rotate", "--wait", "20s"), 0);
    (void)pthread_join(activator, NULL);
    keys[1].label.state = KEY_DEACTIVATED;
    admin_publish(stand, keys, 2, 0, NULL, &well);
    assert_int_equal(RUN(stand, "keys", "rotate", "--wait", "20s"), 1);
    assert_says(cli_errors, "was superseded: it is deactivated now");
    assert_int_equal(RUN(stand, "keys", "rotate", "--wait", "soon"), 2);
}

static void refusals_are_exit_6_with_the_reason(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct ring_report report = {.code = ERR_REFUSED, .text = "a KEK is missing"};
    admin_set_report(stand, &report);
    assert_int_equal(RUN(stand, "keys", "rotate"), 6);
    assert_string_equal(cli_errors, "p11-kms keys rotate: refused: a KEK is missing\n");
    report.code = ERR_TOKEN;
    admin_set_report(stand, &report);
    assert_int_equal(RUN(stand, "keys", "rotate"), 5);
    assert_says(cli_errors, "UNAVAILABLE (14): a KEK is missing\n");
}

static void orders_name_their_key(void **state)
{
    static const struct {
        const char *word;
        enum ring_command command;
    } rows[] = {{"activate", RING_ACTIVATE},
                {"adopt", RING_ADOPT},
                {"deactivate", RING_DEACTIVATE},
                {"compromise", RING_COMPROMISE}};
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek key = admin_kek(1, KEY_ACTIVE);
    struct ring_report report = {.key_id = key.key_id, .text = "done"};
    admin_set_report(stand, &report);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i < 2)
            assert_int_equal(RUN(stand, "keys", rows[i].word, key.key_id.text), 0);
        else
            assert_int_equal(RUN(stand, "keys", rows[i].word, key.key_id.text, "--yes"), 0);
        assert_int_equal(admin_last_order(stand).command, rows[i].command);
        assert_says(cli_output, "\ndone\n");
        assert_int_equal(RUN(stand, "keys", rows[i].word), 2);
    }
    assert_int_equal(admin_orders(stand), 4);
}

static void what_cannot_be_undone_needs_a_yes(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek key = admin_kek(1, KEY_ACTIVE);
    assert_int_equal(RUN(stand, "keys", "deactivate", key.key_id.text), 2);
    assert_says(cli_errors, "--yes where nobody can be asked");
    assert_int_equal(RUN(stand, "keys", "compromise", key.key_id.text), 2);
    assert_int_equal(admin_orders(stand), 0);
}

/* The command with a terminal as its input, where somebody types. */
static int run_typing(const struct admin_stand *stand, const char *typed, const char *key_id)
{
    const char *const words[] = {"keys", "deactivate", key_id, NULL};
    char socket[128], name[64];
    AUTO_CLOSE int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    assert_int_equal(ptsname_r(master, name, sizeof name), 0);
    FILE *in = fdopen(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC), "r");
    assert_non_null(in);
    assert_int_equal(write(master, typed, strlen(typed)), strlen(typed));
    (void)snprintf(socket, sizeof socket, "--admin-socket=unix://%s", stand->base.path);
    return cli_words(in, words, socket);
}

static void on_a_terminal_it_asks(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek key = admin_kek(1, KEY_ACTIVE);
    struct ring_report report = {.key_id = key.key_id, .text = "done"};
    admin_set_report(stand, &report);
    assert_int_equal(run_typing(stand, "no\n", key.key_id.text), 1);
    assert_says(cli_errors, "nothing was changed");
    assert_int_equal(run_typing(stand, "yes please\n", key.key_id.text), 1);
    assert_int_equal(admin_orders(stand), 0);
    assert_int_equal(run_typing(stand, "yes\n", key.key_id.text), 0);
    assert_says(cli_errors, "This cannot be undone.\nType yes to go on: ");
    assert_int_equal(admin_orders(stand), 1);
}

static void the_wrong_socket_is_said(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    char socket[128];
    (void)snprintf(socket, sizeof socket, "--admin-socket=unix://%s", stand->path);
    assert_int_equal(cli_words(cli_input(""), (const char *const[]){"keys", "list", NULL}, socket),
                     1);
    assert_says(cli_errors, "UNIMPLEMENTED (12)");
    assert_says(cli_errors, "want the admin socket of a p11-kmsd");
}

#define ADMIN_TEST(test) cmocka_unit_test_setup_teardown(test, admin_stand_up, admin_stand_down)
#define KMS_TEST(test)   cmocka_unit_test_setup_teardown(test, stand_up, stand_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ADMIN_TEST(status_of_a_daemon_that_is_well),
        ADMIN_TEST(status_names_what_is_wrong),
        ADMIN_TEST(status_in_json),
        KMS_TEST(status_of_a_plugin_where_no_daemon_answers),
        ADMIN_TEST(status_waits_until_it_is_well),
        ADMIN_TEST(keys_are_listed_newest_first),
        ADMIN_TEST(keys_in_json),
        ADMIN_TEST(thousands_of_keys_are_listed),
        ADMIN_TEST(a_key_is_shown),
        ADMIN_TEST(a_rotation_says_what_it_made),
        ADMIN_TEST(a_rotation_waits_until_the_key_seals),
        ADMIN_TEST(refusals_are_exit_6_with_the_reason),
        ADMIN_TEST(orders_name_their_key),
        ADMIN_TEST(what_cannot_be_undone_needs_a_yes),
        ADMIN_TEST(on_a_terminal_it_asks),
        KMS_TEST(the_wrong_socket_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
