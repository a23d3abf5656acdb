/* SPDX-License-Identifier: Apache-2.0 */
/* The admin API over a real socket: what it tells of the ring, how orders end, and who may ask. */
#include "admin_stand.h"
#include "client_call.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { WAIT_MS = 10000, NOBODY = 65534 };

#define ADMIN_SERVICE "p11kms.admin.v1.Admin"

#define CLIENT(name, stand)                                                                        \
    CLEANUP(admin_client_close_p) struct admin_client *name = admin_stand_client(stand)

/* --- status ------------------------------------------------------------------------------ */

static void status_of_a_ring_that_is_well(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek first = admin_kek(1, KEY_ACTIVE);
    CLEANUP(admin_status_release) struct admin_status status = {.ok = false};
    struct kms_failure failure;
    CLIENT(client, stand);
    assert_false(err_is(admin_client_status(client, WAIT_MS, &status, &failure)));
    assert_string_equal(status.version, P11KMS_VERSION);
    assert_string_equal(status.ring, "k8s");
    assert_string_equal(status.mode, "managed");
    assert_string_equal(status.token, "pkcs11:token=t");
    assert_true(status.ok && !status.failed && status.has_active);
    assert_string_equal(status.healthz, "ok");
    assert_string_equal(status.key_id.text, first.key_id.text);
    assert_string_equal(status.active.key_id, first.key_id.text);
    assert_int_equal(status.active.generation, 1);
    assert_int_equal(status.active.made_ms, ADMIN_MADE_MS + 1);
    assert_true(status.active.seals);
    assert_int_equal(status.keys.active, 1);
    assert_int_equal(status.missing.n + status.quarantined.n, 0);
}

static void status_tells_all_that_is_wrong(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek keys[] = {admin_kek(1, KEY_COMPROMISED), admin_kek(2, KEY_DEACTIVATED),
                         admin_kek(3, KEY_ACTIVE), admin_kek(4, KEY_PRE_ACTIVE)};
    const struct kek gone = admin_kek(9, KEY_ACTIVE);
    const struct health health = {.failed = true, .text = "the active KEK is gone"};
    const struct rotation_status life = {.rotate_due_ms = 1,
                                         .activate_due_ms = 2,
                                         .pending = keys[3].key_id,
                                         .seals = UINT64_C(1) << 40,
                                         .max_seals = 5,
                                         .blocked = "a KEK is missing",
                                         .failed = "no room on the token"};
    CLEANUP(admin_status_release) struct admin_status status = {.ok = true};
    struct kms_failure failure;
    keys[0].quarantined = true;
    keys[1].wrong = ATTR_BIT(ATTR_LOCAL);
    admin_publish(stand, keys, 4, SIZE_MAX, &gone.key_id, &health);
    admin_set_life(stand, &life);
    CLIENT(client, stand);
    assert_false(err_is(admin_client_status(client, WAIT_MS, &status, &failure)));
    assert_true(!status.ok && status.failed && !status.has_active);
    assert_string_equal(status.healthz, "the active KEK is gone");
    assert_int_equal(status.missing.n, 1);
    assert_string_equal(status.missing.id[0].text, gone.key_id.text);
    assert_int_equal(status.quarantined.n, 1);
    assert_string_equal(status.quarantined.id[0].text, keys[0].key_id.text);
    assert_int_equal(status.keys.compromised, 1);
    assert_int_equal(status.keys.deactivated, 1);
    assert_int_equal(status.keys.active, 1);
    assert_int_equal(status.keys.pre_active, 1);
    assert_int_equal(status.keys.unusable, 2);
    assert_int_equal(status.rotate_due_ms, 1);
    assert_int_equal(status.activate_due_ms, 2);
    assert_string_equal(status.pending.text, keys[3].key_id.text);
    assert_int_equal(status.seals, UINT64_C(1) << 40);
    assert_int_equal(status.max_seals, 5);
    assert_string_equal(status.blocked, "a KEK is missing");
    assert_string_equal(status.rotation_failed, "no room on the token");
}

/* --- keys -------------------------------------------------------------------------------- */

static void a_key_is_told_as_the_token_shows_it(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct kek keys[] = {admin_kek(1, KEY_ACTIVE), admin_kek(2, KEY_PRE_ACTIVE)};
    const struct health health = {.ok = true, .text = "ok"};
    struct admin_key key;
    struct kms_failure failure;
    keys[1].wrong = ATTR_BIT(ATTR_LOCAL) | ATTR_BIT(ATTR_WRAP);
    keys[1].waived = ATTR_BIT(ATTR_UNWRAP);
    keys[1].ambiguous = true;
    keys[1].attributes.known &= ~ATTR_BIT(ATTR_DERIVE);
    admin_publish(stand, keys, 2, 0, NULL, &health);
    CLIENT(client, stand);
    assert_false(err_is(admin_client_key(client, keys[1].key_id.text, WAIT_MS, &key, &failure)));
    assert_string_equal(key.key_id, keys[1].key_id.text);
    assert_int_equal(key.generation, 2);
    assert_string_equal(key.scheme, "aes-gcm");
    assert_string_equal(key.state, "pre-active");
    assert_string_equal(key.label, "p11-kms/k8s/2/aes-gcm/pre-active");
    assert_int_equal(key.made_ms, ADMIN_MADE_MS + 2);
    assert_string_equal(key.is_true, "TOKEN,PRIVATE,SENSITIVE,ALWAYS_SENSITIVE,NEVER_EXTRACTABLE,"
                                     "LOCAL,ENCRYPT,DECRYPT");
    assert_string_equal(key.is_false, "EXTRACTABLE,SIGN,VERIFY,WRAP,UNWRAP");
    assert_string_equal(key.wrong, "LOCAL,WRAP");
    assert_string_equal(key.waived, "UNWRAP");
    assert_true(key.ambiguous && !key.quarantined && !key.seals);
}

static void unknown_and_malformed_key_ids_are_refused(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    static const char *const malformed[] = {
        "", "k8s", "k8s.", "k8s.1", "K8S.x", "k8s.01976000-0000-7000-8000-00000000000X"};
    const struct kek other = admin_kek(7, KEY_ACTIVE), gone = admin_kek(8, KEY_ACTIVE);
    const struct kek first = admin_kek(1, KEY_ACTIVE);
    const struct health health = {.ok = true, .text = "ok"};
    struct admin_key key;
    struct admin_report report;
    struct kms_failure failure;
    struct key_id foreign;
    admin_publish(stand, &first, 1, 0, &gone.key_id, &health);
    CLIENT(client, stand);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        assert_int_equal(admin_client_key(client, malformed[i], WAIT_MS, &key, &failure).code,
                         ERR_INVALID);
        assert_string_equal(failure.name, "INVALID_ARGUMENT");
        assert_int_equal(
            admin_client_order(client, ADMIN_COMPROMISE, malformed[i], WAIT_MS, &report, &failure)
                .code,
            ERR_INVALID);
    }
    assert_int_equal(admin_client_key(client, other.key_id.text, WAIT_MS, &key, &failure).code,
                     ERR_NOT_FOUND);
    assert_int_equal(admin_client_key(client, gone.key_id.text, WAIT_MS, &key, &failure).code,
                     ERR_NOT_FOUND);
    assert_non_null(strstr(failure.message, "missing"));
    assert_false(err_is(key_id_make("other", &first.id, &foreign)));
    assert_int_equal(admin_client_key(client, foreign.text, WAIT_MS, &key, &failure).code,
                     ERR_NOT_FOUND);
    assert_non_null(strstr(failure.message, "this daemon serves k8s"));
    assert_int_equal(admin_orders(stand), 0); /* nothing malformed reached it */
}

static int by_generation(const void *a, const void *b)
{
    const struct admin_key *x = (const struct admin_key *)a, *y = (const struct admin_key *)b;
    return x->generation < y->generation ? -1 : x->generation > y->generation;
}

static void a_list_of_thousands_fits(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct health health = {.ok = true, .text = "ok"};
    CLEANUP(admin_key_list_release) struct admin_key_list list = {NULL, 0};
    AUTO_FREE struct kek *keys = (struct kek *)calloc(ADMIN_KEYS_MAX, sizeof *keys);
    struct kms_failure failure;
    assert_non_null(keys);
    for (uint32_t i = 0; i < ADMIN_KEYS_MAX; i++) {
        keys[i] = admin_kek(i + 1, i + 1 == ADMIN_KEYS_MAX ? KEY_ACTIVE : KEY_DEACTIVATED);
        keys[i].wrong = ATTR_BIT(ATTR_COUNT) - 1; /* as long as an answer gets */
    }
    admin_publish(stand, keys, ADMIN_KEYS_MAX, ADMIN_KEYS_MAX - 1, NULL, &health);
    CLIENT(client, stand);
    assert_false(err_is(admin_client_list(client, WAIT_MS, &list, &failure)));
    assert_int_equal(list.n, ADMIN_KEYS_MAX);
    qsort(list.key, list.n, sizeof *list.key, by_generation);
    for (uint32_t i = 0; i < ADMIN_KEYS_MAX; i++) {
        assert_string_equal(list.key[i].key_id, keys[i].key_id.text);
        assert_int_equal(list.key[i].seals, i + 1 == ADMIN_KEYS_MAX);
    }
}

static void an_empty_ring_has_an_empty_list(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct health health = {.text = "no KEK yet"};
    CLEANUP(admin_key_list_release) struct admin_key_list list = {NULL, 1};
    struct kms_failure failure;
    admin_publish(stand, NULL, 0, SIZE_MAX, NULL, &health);
    CLIENT(client, stand);
    assert_false(err_is(admin_client_list(client, WAIT_MS, &list, &failure)));
    assert_int_equal(list.n, 0);
}

/* What many bytes a foreign client would get: proto/admin.proto names them. */
static void a_key_takes_at_most_what_the_proto_says(void **state)
{
    const struct admin_stand *stand = (const struct admin_stand *)*state;
    AUTO_RESPONSE struct client_response response = {NULL, 0};
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(&stand->base);
    struct kms_failure failure;
    assert_false(err_is(client_call(client, ADMIN_SERVICE, "ListKeys", bytes_of(NULL, 0), WAIT_MS,
                                    &response, &failure)));
    assert_in_range(response.len, 100, 400);
}

/* --- orders ------------------------------------------------------------------------------ */

static void each_order_reaches_the_rotation(void **state)
{
    static const enum ring_command commands[] = {[ADMIN_ROTATE] = RING_ROTATE,
                                                 [ADMIN_ACTIVATE] = RING_ACTIVATE,
                                                 [ADMIN_DEACTIVATE] = RING_DEACTIVATE,
                                                 [ADMIN_COMPROMISE] = RING_COMPROMISE,
                                                 [ADMIN_ADOPT] = RING_ADOPT};
    struct admin_stand *stand = (struct admin_stand *)*state;
    const struct kek named = admin_kek(1, KEY_ACTIVE), made = admin_kek(2, KEY_PRE_ACTIVE);
    struct ring_report told = {.key_id = made.key_id, .active_ms = 77, .text = "made"};
    char expected[256];
    CLIENT(client, stand);
    admin_set_report(stand, &told);
    for (int i = ADMIN_ROTATE; i <= ADMIN_ADOPT; i++) {
        struct admin_report report;
        struct kms_failure failure;
        assert_false(err_is(admin_client_order(client, (enum admin_order)i, named.key_id.text,
                                               WAIT_MS, &report, &failure)));
        assert_string_equal(report.key_id.text, made.key_id.text);
        assert_int_equal(report.active_ms, 77);
        assert_string_equal(report.text, "made");
        struct ring_order order = admin_last_order(stand);
        assert_int_equal(order.command, commands[i]);
        assert_true(object_id_equal(&order.id, &named.id));
    }
    assert_int_equal(atomic_load(&stand->ordered), 5);
    (void)snprintf(expected, sizeof expected, "Adopt %s %u", named.key_id.text, (unsigned)getuid());
    assert_string_equal(stand->last_ordered, expected);
}

static void a_rotation_needs_no_key_id(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct admin_report report;
    struct kms_failure failure;
    CLIENT(client, stand);
    assert_false(err_is(admin_client_order(client, ADMIN_ROTATE, "", WAIT_MS, &report, &failure)));
    assert_int_equal(admin_last_order(stand).id.len, 0);
    assert_int_equal(
        admin_client_order(client, ADMIN_ACTIVATE, "", WAIT_MS, &report, &failure).code,
        ERR_INVALID);
}

static void refusals_and_troubles_are_told_apart(void **state)
{
    static const struct {
        enum err_code told, heard;
        const char *name;
    } rows[] = {
        {ERR_REFUSED, ERR_REFUSED, "FAILED_PRECONDITION"},
        {ERR_TOKEN, ERR_UNAVAILABLE, "UNAVAILABLE"},
        {ERR_UNAVAILABLE, ERR_UNAVAILABLE, "UNAVAILABLE"},
        {ERR_NOT_FOUND, ERR_NOT_FOUND, "NOT_FOUND"},
        {ERR_INTERNAL, ERR_INTERNAL, "INTERNAL"},
    };
    struct admin_stand *stand = (struct admin_stand *)*state;
    CLIENT(client, stand);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ring_report told = {.code = rows[i].told, .text = "why not"};
        struct admin_report report;
        struct kms_failure failure;
        admin_set_report(stand, &told);
        assert_int_equal(
            admin_client_order(client, ADMIN_ROTATE, "", WAIT_MS, &report, &failure).code,
            rows[i].heard);
        assert_string_equal(failure.name, rows[i].name);
        assert_string_equal(failure.message, "why not");
    }
}

static void *order_rotation(void *argument)
{
    const struct admin_stand *stand = (const struct admin_stand *)argument;
    struct admin_report report;
    struct kms_failure failure;
    CLIENT(client, stand);
    struct err e = admin_client_order(client, ADMIN_ROTATE, "", WAIT_MS, &report, &failure);
    return err_is(e) ? argument : NULL;
}

/* The rotation may take minutes; nobody who asks waits for it. */
static void an_order_under_way_holds_up_no_question(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    CLEANUP(admin_status_release) struct admin_status status = {.ok = false};
    struct kms_failure failure;
    pthread_t orderer;
    void *failed = stand;
    admin_hold_orders(stand);
    assert_int_equal(pthread_create(&orderer, NULL, order_rotation, stand), 0);
    admin_wait_orders(stand, 1);
    CLIENT(client, stand);
    assert_false(err_is(admin_client_status(client, WAIT_MS, &status, &failure)));
    admin_let_go(stand);
    (void)pthread_join(orderer, &failed);
    assert_null(failed);
}

/* The order is carried out all the same, and its end finds nobody. */
static void an_order_outlives_its_caller(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    struct admin_report report;
    struct kms_failure failure;
    admin_hold_orders(stand);
    CLIENT(client, stand);
    assert_int_equal(admin_client_order(client, ADMIN_ROTATE, "", 200, &report, &failure).code,
                     ERR_DEADLINE);
    admin_wait_orders(stand, 1);
    admin_let_go(stand);
    assert_false(err_is(admin_client_order(client, ADMIN_ROTATE, "", WAIT_MS, &report, &failure)));
}

/* --- who, and where ---------------------------------------------------------------------- */

static void requests_that_are_none_are_refused(void **state)
{
    static const char *const methods[] = {"Status", "ListKeys", "GetKey", "Rotate", "Adopt"};
    const struct admin_stand *stand = (const struct admin_stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(&stand->base);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        AUTO_RESPONSE struct client_response response = {NULL, 0};
        struct kms_failure failure;
        assert_int_equal(client_call(client, ADMIN_SERVICE, methods[i], bytes_of_string("\x0a\x7f"),
                                     WAIT_MS, &response, &failure)
                             .code,
                         ERR_INVALID);
    }
}

static void the_kms_apis_are_not_served_here(void **state)
{
    const struct admin_stand *stand = (const struct admin_stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(&stand->base);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
        struct kms_client_status status;
        struct kms_failure failure;
        assert_int_equal(
            kms_client_status(client, (enum kms_api_version)v, WAIT_MS, &status, &failure).code,
            ERR_UNSUPPORTED);
        assert_int_equal(kms_client_encrypt(client, (enum kms_api_version)v, bytes_of_string("x"),
                                            WAIT_MS, &sealed, &failure)
                             .code,
                         ERR_UNSUPPORTED);
        assert_string_equal(failure.name, "UNIMPLEMENTED");
    }
}

static void the_admin_api_is_not_served_on_the_kms_socket(void **state)
{
    static const char *const methods[] = {"Status",   "ListKeys",   "GetKey",     "Rotate",
                                          "Activate", "Deactivate", "Compromise", "Adopt"};
    const struct stand *stand = (const struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        AUTO_RESPONSE struct client_response response = {NULL, 0};
        struct kms_failure failure;
        assert_int_equal(client_call(client, ADMIN_SERVICE, methods[i], bytes_of(NULL, 0), WAIT_MS,
                                     &response, &failure)
                             .code,
                         ERR_UNSUPPORTED);
        assert_string_equal(failure.name, "UNIMPLEMENTED");
    }
}

/* 0 when somebody hangs up on us before saying a byte. */
static int connect_as(const char *path, uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (setgid(uid) != 0 || setuid(uid) != 0)
        return 2;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return 3;
    return recv(fd, &byte, 1, 0) == 0 ? 0 : 4; /* gRPC would greet with its settings */
}

static void other_users_are_refused(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    int status = -1;
    if (geteuid() != 0)
        skip();
    /* The mode of the real one keeps them from connecting at all; this is what stands behind. */
    assert_int_equal(chmod(stand->base.directory, 0755), 0);
    assert_int_equal(chmod(stand->base.path, 0666), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(connect_as(stand->base.path, NOBODY));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(atomic_load(&stand->base.refused[RPC_REFUSED_ACCESS]), 1);
}

static void root_and_the_daemons_user_may_connect(void **state)
{
    const struct rpc_access access = admin_api_access();
    (void)state;
    assert_int_equal(access.n_uids, 2);
    assert_int_equal(access.n_gids, 0);
    assert_int_equal(access.uids[0], 0);
    assert_int_equal(access.uids[1], geteuid());
}

#define ADMIN_TEST(test) cmocka_unit_test_setup_teardown(test, admin_stand_up, admin_stand_down)
#define KMS_TEST(test)   cmocka_unit_test_setup_teardown(test, stand_up, stand_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ADMIN_TEST(status_of_a_ring_that_is_well),
        ADMIN_TEST(status_tells_all_that_is_wrong),
        ADMIN_TEST(a_key_is_told_as_the_token_shows_it),
        ADMIN_TEST(unknown_and_malformed_key_ids_are_refused),
        ADMIN_TEST(a_list_of_thousands_fits),
        ADMIN_TEST(an_empty_ring_has_an_empty_list),
        ADMIN_TEST(a_key_takes_at_most_what_the_proto_says),
        ADMIN_TEST(each_order_reaches_the_rotation),
        ADMIN_TEST(a_rotation_needs_no_key_id),
        ADMIN_TEST(refusals_and_troubles_are_told_apart),
        ADMIN_TEST(an_order_under_way_holds_up_no_question),
        ADMIN_TEST(an_order_outlives_its_caller),
        ADMIN_TEST(requests_that_are_none_are_refused),
        ADMIN_TEST(the_kms_apis_are_not_served_here),
        KMS_TEST(the_admin_api_is_not_served_on_the_kms_socket),
        ADMIN_TEST(other_users_are_refused),
        cmocka_unit_test(root_and_the_daemons_user_may_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
