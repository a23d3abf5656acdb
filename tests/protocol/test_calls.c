/* SPDX-License-Identifier: Apache-2.0 */
/* What may become of a call: late, cancelled, too long, compressed, many at once, cut off. */
#include "async_call.h"

#include "rpc_server.h"

#include <stdlib.h>
#include <string.h>

enum { LONG_MS = 20000, FLOOD = 64 };

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
