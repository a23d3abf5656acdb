/* SPDX-License-Identifier: Apache-2.0 */
/* What may become of a call: late, cancelled, too long, compressed, many at once, cut off. */
#include "async_call.h"

#include "raw_peer.h"
#include "rpc_server.h"
#include "rpc_tally.h"
#include "timed.h"

#include <stdlib.h>
#include <string.h>

enum { LONG_MS = 20000, FLOOD = 64, GREEDY = 4, GREEDY_CALLS = 600 };

static void test_deadline_in_flight(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    fake_set_mode(&stand->fake, FAKE_HOLD);
    async_open(stand, &client);
    /* On a busy machine one may pass before the call arrives: then a longer one is tried. */
    for (int ms = 50; ms < LONG_MS && fake_submitted(&stand->fake) == 0; ms *= 4) {
        async_start(&client, &call, V2_ENCRYPT, PING, ms, ASYNC_PLAIN);
        assert_int_equal(async_wait(&call), GRPC_STATUS_DEADLINE_EXCEEDED);
    }
    fake_wait_held(&stand->fake, 1);
    fake_wait_cancelled(&stand->fake);
    fake_release(&stand->fake);
    async_close(&client);
}

/* A call that waits in the socket past its deadline never reaches the service. */
/* One call stalls the server, the deadline of another passes meanwhile. How many were submitted. */
static int submitted_with_one_late(struct stand *stand)
{
    struct async_client client, other;
    struct async_call first, late, after;
    int before = (int)fake_submitted(&stand->fake);
    fake_set_mode(&stand->fake, FAKE_STALL);
    async_open(stand, &client);
    async_open(stand, &other);
    async_start(&client, &first, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    fake_wait_submitted(&stand->fake, (unsigned)before + 1);
    async_start(&other, &late, V2_ENCRYPT, PING, 50, ASYNC_PLAIN);
    assert_int_equal(async_wait(&late), GRPC_STATUS_DEADLINE_EXCEEDED);
    fake_set_mode(&stand->fake, FAKE_AT_ONCE);
    assert_int_equal(async_wait(&first), GRPC_STATUS_OK);
    async_start(&other, &after, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    assert_int_equal(async_wait(&after), GRPC_STATUS_OK);
    async_close(&client);
    async_close(&other);
    return (int)fake_submitted(&stand->fake) - before;
}

/* grpc-timeout counts anew where it is read, and a client may know of its deadline before its
 * RST_STREAM is on the way: then the late call is rightly submitted. That is rare; a server that
 * does not look at deadlines submits it in every round. */
static void test_deadline_before_arrival(void **state)
{
    struct stand *stand = (struct stand *)*state;
    int rounds = 0, submitted;
    do
        submitted = submitted_with_one_late(stand);
    while (submitted == 3 && ++rounds < 5);
    assert_int_equal(submitted, 2);
}

static void test_cancel(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call, after;
    fake_set_mode(&stand->fake, FAKE_HOLD);
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    fake_wait_held(&stand->fake, 1);
    async_cancel(&call);
    assert_int_equal(async_wait(&call), GRPC_STATUS_CANCELLED);
    fake_wait_cancelled(&stand->fake);
    fake_release(&stand->fake);
    async_start(&client, &after, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    assert_int_equal(async_wait(&after), GRPC_STATUS_OK);
    async_close(&client);
}

/* The peer's death cancels what it asked for. */
static void test_disconnect_cancels(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call calls[4];
    fake_set_mode(&stand->fake, FAKE_HOLD);
    async_open(stand, &client);
    for (int i = 0; i < 4; i++)
        async_start(&client, &calls[i], V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    fake_wait_held(&stand->fake, 4);
    for (int i = 0; i < 4; i++) {
        async_cancel(&calls[i]);
        (void)async_wait(&calls[i]);
    }
    async_close(&client);
    fake_wait_cancelled(&stand->fake);
    EVENTUALLY(stand_connections(stand) == 0);
}

static void test_too_long_message(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    uint8_t *big = (uint8_t *)calloc(1, RPC_RECEIVE_MAX + 1);
    assert_non_null(big);
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, bytes_of(big, RPC_RECEIVE_MAX + 1), LONG_MS,
                ASYNC_PLAIN);
    assert_int_equal(async_wait(&call), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(fake_submitted(&stand->fake), 0);
    async_close(&client);
    free(big);
}

/* Longer than what gRPC reads at once, so that it comes in several pieces and is joined. */
static void test_message_in_pieces(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    enum { PLAINTEXT = 12000 };
    uint8_t *request = (uint8_t *)calloc(1, 60000);
    assert_non_null(request);
    memcpy(request, "\x0a\xe0\x5d", 3); /* field 1, 12000 bytes */
    memset(request + 3, 'p', PLAINTEXT);
    /* One unknown field, which the arena has no room for, after a plaintext that it has: the
     * joined message was read to its end. */
    memcpy(request + 3 + PLAINTEXT, "\x7a\xb9\xf6\x02", 4); /* field 15, 47929 bytes */
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, bytes_of(request, 3 + PLAINTEXT), LONG_MS, ASYNC_PLAIN);
    assert_int_equal(async_wait(&call), GRPC_STATUS_INTERNAL); /* longer than the fake takes */
    assert_int_equal(fake_last(&stand->fake, NULL).input.len, PLAINTEXT);
    async_start(&client, &call, V2_ENCRYPT, bytes_of(request, 3 + PLAINTEXT + 4 + 47929 - 1),
                LONG_MS, ASYNC_PLAIN);
    assert_int_equal(async_wait(&call), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(fake_submitted(&stand->fake), 1);
    async_close(&client);
    free(request);
}

static void test_compressed_message(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    static const uint8_t zeros[4096];
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, bytes_of(zeros, sizeof zeros), LONG_MS, ASYNC_GZIP);
    assert_int_equal(async_wait(&call), GRPC_STATUS_UNIMPLEMENTED);
    assert_int_equal(fake_submitted(&stand->fake), 0);
    async_close(&client);
}

static void test_no_message(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, PING, LONG_MS, ASYNC_NO_MESSAGE);
    assert_int_equal(async_wait(&call), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(fake_submitted(&stand->fake), 0);
    async_close(&client);
}

static void test_reply_from_another_thread(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    fake_set_mode(&stand->fake, FAKE_THREAD);
    async_open(stand, &client);
    for (int i = 0; i < 200; i++) {
        async_start(&client, &call, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
        assert_int_equal(async_wait(&call), GRPC_STATUS_OK);
    }
    async_close(&client);
}

/* All held at once, answered in another order by another thread; Status answers meanwhile. */
static void test_flood(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call calls[FLOOD], status;
    async_open(stand, &client);
    for (int round = 0; round < 10; round++) {
        fake_set_mode(&stand->fake, FAKE_HOLD);
        for (int i = 0; i < FLOOD; i++)
            async_start(&client, &calls[i], V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
        fake_wait_held(&stand->fake, FLOOD);
        async_start(&client, &status, "/v2.KeyManagementService/Status", bytes_of(NULL, 0), LONG_MS,
                    ASYNC_PLAIN);
        assert_int_equal(async_wait(&status), GRPC_STATUS_OK);
        fake_release(&stand->fake);
        for (int i = 0; i < FLOOD; i++)
            assert_int_equal(async_wait(&calls[i]), GRPC_STATUS_OK);
    }
    async_close(&client);
}

static void test_stop_waits_for_calls(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call calls[8];
    fake_set_mode(&stand->fake, FAKE_HOLD);
    async_open(stand, &client);
    for (int i = 0; i < 8; i++)
        async_start(&client, &calls[i], V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    fake_wait_held(&stand->fake, 8);
    fake_set_mode(&stand->fake, FAKE_THREAD);
    assert_false(err_is(stand_stop(stand, LONG_MS)));
    for (int i = 0; i < 8; i++)
        assert_int_equal(async_wait(&calls[i]), GRPC_STATUS_OK);
    async_close(&client);
}

static void *release_when_cancelled(void *argument)
{
    struct kms_service *fake = (struct kms_service *)argument;
    fake_wait_cancelled(fake);
    fake_release(fake);
    return NULL;
}

static void test_stop_cancels_after_its_grace(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    pthread_t releaser;
    fake_set_mode(&stand->fake, FAKE_HOLD);
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    fake_wait_held(&stand->fake, 1);
    assert_int_equal(pthread_create(&releaser, NULL, release_when_cancelled, &stand->fake), 0);
    assert_false(err_is(stand_stop(stand, 20)));
    (void)pthread_join(releaser, NULL);
    assert_int_not_equal(async_wait(&call), GRPC_STATUS_OK);
    async_close(&client);
}

/* --- many calls, of one client ----------------------------------------------------------- */

static uint64_t n_ended(const struct stand *stand, const char *method, grpc_status_code status)
{
    const char *path = NULL;
    const struct timed *ended;
    struct timed_count n = {0};
    for (size_t i = 0; (ended = rpc_tally(stand->server, i, &path)) != NULL; i++)
        if (path && strcmp(path, method) == 0)
            timed_read(&ended[status], &n);
    return n.count;
}

static grpc_status_code encrypt_code(struct async_client *client)
{
    struct async_call call;
    async_start(client, &call, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    return async_wait(&call);
}

/* Asks the same again and again on a connection of its own, and leaves no room for the replies,
 * which thus stay unsent. */
static int ask_and_never_read(const struct stand *stand, const char *path, struct bytes message)
{
    static uint8_t memory[1 << 18];
    struct writer w = writer_over(memory, sizeof memory);
    int fd = stand_connect(stand);
    put_greeting(&w, false);
    for (uint32_t stream = 1; stream < 2 * GREEDY_CALLS; stream += 2) {
        put_call(&w, stream, END_HEADERS, path);
        put_frame(&w, FRAME_DATA, END_STREAM, stream, message);
    }
    assert_false(w.full);
    assert_int_equal(write(fd, memory, w.len), w.len);
    return fd;
}

static void test_replies_that_nobody_reads_keep_nobody_out(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    int fds[GREEDY];
    for (int i = 0; i < GREEDY; i++)
        fds[i] = ask_and_never_read(stand, RAW_STATUS, bytes_of("\0\0\0\0\0", 5));
    EVENTUALLY(n_ended(stand, RAW_STATUS, GRPC_STATUS_OK) == GREEDY * GREEDY_CALLS);
    async_open(stand, &client);
    assert_int_equal(encrypt_code(&client), GRPC_STATUS_OK);
    async_close(&client);
    for (int i = 0; i < GREEDY; i++)
        (void)close(fds[i]);
}

static uint64_t n_decrypts_refused(const struct stand *stand)
{
    return n_ended(stand, RAW_DECRYPT, GRPC_STATUS_RESOURCE_EXHAUSTED);
}

/* Who leaves nothing for others is refused; nobody else is, nor who is alone. */
static void test_calls_that_wait_keep_nobody_out(void **state)
{
    static const uint8_t decrypt[] = "\0\0\0\0\12\x0a\5\xeeping\x1a\1k";
    struct stand *stand = (struct stand *)*state;
    struct async_client client;
    struct async_call call;
    int fds[GREEDY];
    fake_set_mode(&stand->fake, FAKE_HOLD);
    for (unsigned i = 0; i < GREEDY; i++) {
        fds[i] = ask_and_never_read(stand, RAW_DECRYPT, bytes_of(decrypt, sizeof decrypt - 1));
        EVENTUALLY(fake_submitted(&stand->fake) + n_decrypts_refused(stand) ==
                   (i + 1) * GREEDY_CALLS);
        assert_true(i > 0 || n_decrypts_refused(stand) == 0);
    }
    unsigned before = fake_submitted(&stand->fake);
    async_open(stand, &client);
    async_start(&client, &call, V2_ENCRYPT, PING, LONG_MS, ASYNC_PLAIN);
    EVENTUALLY(fake_submitted(&stand->fake) == before + 1);
    fake_release(&stand->fake);
    assert_int_equal(async_wait(&call), GRPC_STATUS_OK);
    EVENTUALLY(n_ended(stand, RAW_DECRYPT, GRPC_STATUS_OK) == before);
    assert_int_equal(encrypt_code(&client), GRPC_STATUS_OK);
    async_close(&client);
    for (int i = 0; i < GREEDY; i++)
        (void)close(fds[i]);
}

#define STAND_TEST(test) cmocka_unit_test_setup_teardown(test, stand_up, stand_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAND_TEST(test_deadline_in_flight),
        STAND_TEST(test_deadline_before_arrival),
        STAND_TEST(test_cancel),
        STAND_TEST(test_disconnect_cancels),
        STAND_TEST(test_too_long_message),
        STAND_TEST(test_message_in_pieces),
        STAND_TEST(test_compressed_message),
        STAND_TEST(test_no_message),
        STAND_TEST(test_reply_from_another_thread),
        STAND_TEST(test_flood),
        STAND_TEST(test_stop_waits_for_calls),
        STAND_TEST(test_stop_cancels_after_its_grace),
        STAND_TEST(test_replies_that_nobody_reads_keep_nobody_out),
        STAND_TEST(test_calls_that_wait_keep_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
