/* SPDX-License-Identifier: Apache-2.0 */
/* What a ring of many KEKs costs, for tests/bench/run-ring. Prints one line of JSON.
 *
 *   bench-ring agent AGENT MODULE URI PIN-FILE STATE-DIR   an agent of its own: its start, a look
 * at ring k8s, and a DEK sealed under each key_id read from stdin ("sealed", in hex) bench-ring
 * ready SOCKET SINCE   ms from SINCE (ns, monotonic) until Status says ok bench-ring calls SOCKET
 * ciphertexts in hex from stdin: each opened for the first time, then the first and the last one
 * again and again, and Encrypts
 */
#include "agent_process.h"
#include "cleanup.h"
#include "kms_client.h"
#include "ring_look.h"
#include "text.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CALL_MS = 60000, LOOKS = 5, CALLS = 400, HEAP = 1 << 16, LINE = 2 * ENVELOPE_MAX + 2 };

static double ms_since(int64_t start)
{
    return (double)(clock_monotonic_ns() - start) / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *of, size_t n)
{
    qsort(of, n, sizeof *of, compare);
    return n ? of[n / 2] : 0;
}

/* A line of stdin without its end; false: no more. */
static bool next_line(char line[static LINE])
{
    if (!fgets(line, LINE, stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* --- the agent --------------------------------------------------------------------------- */

/* As the keeper takes it: listed, judged, made a view of. */
static struct err look(int lane, double *ret_ms)
{
    CLEANUP(ring_look_clear) struct ring_look found = {.n = 0};
    CLEANUP(ring_view_unref_p) struct ring_view *view = NULL;
    const struct ring_memory nothing = {.generation = 0};
    struct lane_status status = {.text = ""};
    struct health health;
    size_t active = SIZE_MAX;
    int64_t start = clock_monotonic_ns();
    const struct ring_rules rules = {.name = "k8s"};
    TRY(ring_look_take(lane, CALL_MS, NULL, &rules, &found, &status));
    if (ring_look_judge(&found, "k8s", &nothing, &active, &health) != VERDICT_SEALS)
        return err_make(ERR_TOKEN, "the ring has no active KEK");
    const struct ring_content content = {.keys = found.keys, .n = found.n, .active = active};
    TRY(ring_view_new(&content, &view));
    *ret_ms = ms_since(start);
    return ERR_OK;
}

static struct err seal(int lane, const char *key_id, char hex[static LINE])
{
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_reply reply;
    struct lane_request q = {.op = LANE_SEAL, .number = 1};
    q.u.seal.family = FAMILY_V2;
    q.u.seal.scheme = SCHEME_AES_GCM;
    q.u.seal.verify = true;
    q.u.seal.plaintext = bytes_of_string("thirty-two bytes of a secret DEK");
    if (!bytes_to_string(bytes_of_string(key_id), q.u.seal.key_id.text,
                         sizeof q.u.seal.key_id.text))
        return err_make(ERR_INVALID, "key_id");
    TRY(lane_call(lane, &q, CALL_MS, packet, sizeof packet, &reply));
    TRY(lane_status_err(&reply));
    return hex_encode(reply.u.envelope, hex, LINE);
}

static struct err use_agent(int lane, int64_t start)
{
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_reply reply;
    double looks[LOOKS];
    char line[LINE], hex[LINE];
    const char *before = "";
    TRY(lane_hello(lane, CALL_MS, packet, sizeof packet, &reply));
    TRY(lane_status_err(&reply));
    (void)printf("{\"start_ms\": %.2f", ms_since(start));
    for (size_t i = 0; i < LOOKS; i++)
        TRY(look(lane, &looks[i]));
    (void)printf(", \"first_look_ms\": %.2f, \"look_ms\": %.2f, \"sealed\": [", looks[0],
                 median(looks, LOOKS));
    for (; next_line(line); before = ", ") {
        TRY(seal(lane, line, hex));
        (void)printf("%s\"%s\"", before, hex);
    }
    (void)puts("]}");
    return ERR_OK;
}

static struct err agent(char **argv)
{
    struct agent_config config = {.role = AGENT_SERVE, .lanes = 1, .ring = "k8s"};
    struct agent_process process;
    (void)snprintf(config.module, sizeof config.module, "%s", argv[3]);
    (void)snprintf(config.uri, sizeof config.uri, "%s", argv[4]);
    (void)snprintf(config.pin_source, sizeof config.pin_source, "file:%s", argv[5]);
    (void)snprintf(config.state_dir, sizeof config.state_dir, "%s", argv[6]);
    int64_t start = clock_monotonic_ns();
    TRY(agent_process_start(argv[2], &config, &process));
    struct err e = use_agent(process.lane[0], start);
    agent_process_kill(&process);
    return e;
}

/* --- the daemon -------------------------------------------------------------------------- */

static struct err ready(char **argv)
{
    const struct kms_client_options options = {.socket_path = argv[2]};
    struct kms_client_status status = {.healthz = ""};
    struct kms_failure failure;
    uint64_t since;
    TRY(parse_u64(argv[3], 0, INT64_MAX, &since));
    while (strcmp(status.healthz, "ok") != 0) {
        CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
        if (ms_since((int64_t)since) > CALL_MS)
            return err_make(ERR_DEADLINE, "Status");
        if (err_is(kms_client_open(&options, &client)) ||
            err_is(kms_client_status(client, KMS_API_V2, CALL_MS, &status, &failure)) ||
            strcmp(status.healthz, "ok") != 0)
            (void)poll(NULL, 0, 1);
    }
    (void)printf("{\"start_ms\": %.2f}\n", ms_since((int64_t)since));
    return ERR_OK;
}

static struct err decrypt(struct kms_client *client, const char *hex, double *ret_us)
{
    AUTO_SECRET struct secret *plaintext = NULL;
    struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    struct envelope envelope;
    uint8_t raw[ENVELOPE_MAX];
    size_t len = 0;
    TRY(hex_decode(hex, raw, sizeof raw, &len));
    sealed.ciphertext = bytes_of(raw, len);
    TRY(envelope_parse(sealed.ciphertext, &envelope));
    if (!bytes_to_string(envelope.key_id, sealed.key_id, sizeof sealed.key_id))
        return err_make(ERR_INVALID, "key_id");
    TRY(secret_new(PLAINTEXT_MAX, &plaintext));
    int64_t start = clock_monotonic_ns();
    TRY(kms_client_decrypt(client, KMS_API_V2, &sealed, CALL_MS, plaintext, &failure));
    *ret_us = ms_since(start) * 1e3;
    return ERR_OK;
}

static struct err again(struct kms_client *client, const char *hex, double *ret_us)
{
    double us[CALLS];
    for (size_t i = 0; i < CALLS; i++)
        TRY(decrypt(client, hex, &us[i]));
    *ret_us = median(us, CALLS);
    return ERR_OK;
}

static struct err encrypts(struct kms_client *client, double *ret_us)
{
    double us[CALLS];
    struct kms_failure failure;
    for (size_t i = 0; i < CALLS; i++) {
        CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
        int64_t start = clock_monotonic_ns();
        TRY(kms_client_encrypt(client, KMS_API_V2, bytes_of_string("a data encryption key"),
                               CALL_MS, &sealed, &failure));
        us[i] = ms_since(start) * 1e3;
    }
    *ret_us = median(us, CALLS);
    return ERR_OK;
}

static struct err calls(char **argv)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
    const struct kms_client_options options = {.socket_path = argv[2]};
    char first[LINE] = "", last[LINE] = "";
    double firsts[CALLS], encrypt = 0, oldest = 0, newest = 0, warm = 0;
    size_t n = 0;
    TRY(kms_client_open(&options, &client));
    TRY(encrypts(client, &warm)); /* the connection, and the cores */
    while (n < CALLS && next_line(last)) {
        TRY(decrypt(client, last, &firsts[n]));
        if (n++ == 0)
            memcpy(first, last, sizeof first);
    }
    double oldest_first = n ? firsts[0] : 0;
    TRY(again(client, first, &oldest));
    TRY(again(client, last, &newest));
    TRY(encrypts(client, &encrypt));
    (void)printf("{\"oldest_first_us\": %.0f, \"first_us\": %.0f, \"oldest_us\": %.0f, "
                 "\"newest_us\": %.0f, \"encrypt_us\": %.0f}\n",
                 oldest_first, median(firsts, n), oldest, newest, encrypt);
    return ERR_OK;
}

static struct err run(int argc, char **argv)
{
    bool locked = false;
    TRY(secret_init(HEAP, &locked));
    if (argc == 7 && strcmp(argv[1], "agent") == 0)
        return agent(argv);
    if (argc == 4 && strcmp(argv[1], "ready") == 0)
        return ready(argv);
    if (argc == 3 && strcmp(argv[1], "calls") == 0)
        return calls(argv);
    return err_make(ERR_USAGE, "bench-ring agent|ready|calls ...");
}

int main(int argc, char **argv)
{
    char text[160];
    struct err e = run(argc, argv);
    (void)fflush(stdout);
    if (err_is(e))
        (void)fprintf(stderr, "bench-ring: %s\n", err_format(e, text, sizeof text));
    _exit(err_exit_code(e)); /* gRPC's own shutdown may take ten seconds */
}
