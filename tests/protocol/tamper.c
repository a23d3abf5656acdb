/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is altered in what the API server stored, the answer is a gRPC error of the designed
 * code: never OK, and never the end of an agent. */
#include "harness.h"

#include "async.h"

#include <signal.h>
#include <string.h>

enum {
    CONNECTIONS = 4,
    WINDOW = 32, /* fewer than the Decrypts that may wait for a look at the token */
    SEALED_MAX = 512,
    HEADER = 4,
    TEST_SECONDS = 100
};

static const char plaintext[] = "thirty-two bytes of a DEK or KEK";

struct sealed {
    enum kms_api_version version;
    uint8_t ciphertext[SEALED_MAX];
    size_t len;
    char key_id[128]; /* in v1 too, from the header: what the tests need to know */
};

/* Everything under test, and what was found. */
struct fixture {
    struct harness *h;
    struct async *async;
    struct sealed samples[KMS_API_VERSIONS];
    pid_t front_end, agent;
    unsigned sent, wrong, not_found; /* written by the answering thread */
};

/* One altered Decrypt and what must come of it. */
struct attempt {
    struct fixture *f;
    grpc_status_code expected;
    char what[96];
};

static void judge(void *context, const struct async_answer *answer)
{
    struct attempt *attempt = context;
    attempt->f->not_found += answer->code == GRPC_STATUS_NOT_FOUND;
    if (answer->code != attempt->expected) {
        attempt->f->wrong++;
        print_error("%s: %s (%s), expected %s\n", attempt->what, async_code_name(answer->code),
                    answer->text, async_code_name(attempt->expected));
    }
    free(attempt);
}

static void try(struct fixture *f, const struct wire_decrypt *decrypt, grpc_status_code expected,
                const char *what, size_t at)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct attempt *attempt = calloc(1, sizeof *attempt);
    assert_non_null(attempt);
    attempt->f = f;
    attempt->expected = expected;
    (void)snprintf(attempt->what, sizeof attempt->what, "%s: %s %zu",
                   kms_api_version_name(decrypt->version), what, at);
    wire_put_decrypt(&w, decrypt);
    assert_false(w.full);
    async_wait(f->async, WINDOW - 1);
    async_start(f->async, &(struct async_request){.connection = f->sent++,
                                                  .version = decrypt->version,
                                                  .method = WIRE_DECRYPT,
                                                  .message = writer_bytes(&w),
                                                  .timeout_ms = HARNESS_CALL_MS,
                                                  .done = judge,
                                                  .context = attempt});
}

static struct wire_decrypt intact(const struct sealed *s)
{
    return (struct wire_decrypt){.version = s->version,
                                 .ciphertext = bytes_of(s->ciphertext, s->len),
                                 .key_id = bytes_of_string(s->key_id)};
}

/* --- set-up ------------------------------------------------------------------------------ */

static void seal(const struct harness *h, enum kms_api_version version, struct sealed *ret)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    assert_false(err_is(kms_client_encrypt(client, version, bytes_of_string(plaintext),
                                           HARNESS_CALL_MS, &sealed, &failure)));
    assert_in_range(sealed.ciphertext.len, HEADER + 1, SEALED_MAX);
    ret->version = version;
    ret->len = sealed.ciphertext.len;
    memcpy(ret->ciphertext, sealed.ciphertext.data, ret->len);
    size_t key_id_len = ret->ciphertext[HEADER - 1];
    assert_true(key_id_len < sizeof ret->key_id);
    memcpy(ret->key_id, ret->ciphertext + HEADER, key_id_len);
    ret->key_id[key_id_len] = '\0';
    if (version != KMS_API_V1BETA1)
        assert_string_equal(ret->key_id, sealed.key_id);
}

static struct fixture *set_up(struct harness *h)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->h = h;
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    f->async = async_open(h->socket, CONNECTIONS);
    assert_non_null(f->async);
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        seal(h, (enum kms_api_version)v, &f->samples[v]);
    f->front_end = harness_front_end(h);
    f->agent = harness_agent(h);
    return f;
}

/* A good Decrypt still works, and nothing was killed or started again for it. */
static void finish(struct fixture *f, const char *what)
{
    async_wait(f->async, 0);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        struct wire_decrypt decrypt = intact(&f->samples[v]);
        try(f, &decrypt, GRPC_STATUS_OK, "intact", 0);
    }
    async_wait(f->async, 0);
    printf("  figure: %s: %u Decrypts, %u NOT_FOUND, %u not as designed\n", what, f->sent,
           f->not_found, f->wrong);
    assert_int_equal(f->wrong, 0);
    assert_int_equal(harness_front_end(f->h), f->front_end);
    assert_int_equal(harness_agent(f->h), f->agent);
    async_close(f->async);
    f->h->passed = true;
    free(f);
}

/* --- what a key_id is -------------------------------------------------------------------- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* RING.UUID in its one form (docs/envelope.md), judged without the product's own parser. */
static bool well_formed(const uint8_t *text, size_t len)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const uint8_t *dot = memchr(text, '.', len);
    if (!dot || dot == text || len - (size_t)(dot - text) - 1 != strlen(form))
        return false;
    for (const uint8_t *at = text; at < dot; at++)
        if (!(*at >= 'a' && *at <= 'z') && !(*at >= '0' && *at <= '9') && *at != '-')
            return false;
    for (size_t i = 0; i < strlen(form); i++)
        if (form[i] == '-' ? dot[1 + i] != '-' : !is_hex((char)dot[1 + i]))
            return false;
    return true;
}

static grpc_status_code code_for_key_id(const uint8_t *text, size_t len)
{
    return well_formed(text, len) ? GRPC_STATUS_NOT_FOUND : GRPC_STATUS_INVALID_ARGUMENT;
}

/* --- the tests --------------------------------------------------------------------------- */

/* v1beta1 sends no key_id beside the ciphertext: an altered header may name another KEK. */
static grpc_status_code code_for_flip(const struct sealed *s, size_t byte)
{
    size_t key_id_len = strlen(s->key_id);
    bool in_key_id = byte >= HEADER && byte < HEADER + key_id_len;
    if (s->version != KMS_API_V1BETA1 || !in_key_id)
        return GRPC_STATUS_INVALID_ARGUMENT;
    return code_for_key_id(s->ciphertext + HEADER, key_id_len);
}

static void test_every_bit_of_the_ciphertext(void **state)
{
    struct fixture *f = set_up(*state);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        for (size_t bit = 0; bit < f->samples[v].len * 8; bit++) {
            struct sealed s = f->samples[v];
            s.ciphertext[bit / 8] ^= (uint8_t)(1U << bit % 8);
            struct wire_decrypt decrypt = intact(&s);
            try(f, &decrypt, code_for_flip(&s, bit / 8), "ciphertext bit", bit);
        }
    }
    finish(f, "every bit of the ciphertext");
}

static void test_every_bit_of_the_key_id(void **state)
{
    struct fixture *f = set_up(*state);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++) {
        const struct sealed *s = &f->samples[v];
        size_t len = strlen(s->key_id);
        for (size_t bit = 0; bit < len * 8; bit++) {
            char key_id[128];
            memcpy(key_id, s->key_id, len);
            key_id[bit / 8] = (char)(key_id[bit / 8] ^ (1 << bit % 8));
            struct wire_decrypt decrypt = intact(s);
            decrypt.key_id = bytes_of(key_id, len);
            try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "key_id bit", bit);
        }
    }
    finish(f, "every bit of the key_id");
}

/* The same bit in both places: then nothing disagrees, and only the KEK itself can tell. */
static void test_every_bit_of_both_key_ids(void **state)
{
    struct fixture *f = set_up(*state);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++) {
        size_t len = strlen(f->samples[v].key_id);
        for (size_t bit = 0; bit < len * 8; bit++) {
            struct sealed s = f->samples[v];
            s.ciphertext[HEADER + bit / 8] ^= (uint8_t)(1U << bit % 8);
            struct wire_decrypt decrypt = intact(&s);
            decrypt.key_id = bytes_of(s.ciphertext + HEADER, len);
            try(f, &decrypt, code_for_key_id(s.ciphertext + HEADER, len), "both key_ids' bit", bit);
        }
    }
    finish(f, "every bit of both key_ids");
}

static void test_every_truncation(void **state)
{
    struct fixture *f = set_up(*state);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        const struct sealed *s = &f->samples[v];
        for (size_t len = 0; len < s->len; len++) {
            struct wire_decrypt decrypt = intact(s);
            decrypt.ciphertext.len = len;
            try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "cut to", len);
        }
        for (size_t len = 0; v != KMS_API_V1BETA1 && len < strlen(s->key_id); len++) {
            struct wire_decrypt decrypt = intact(s);
            decrypt.key_id.len = len;
            try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "key_id cut to", len);
        }
    }
    finish(f, "every truncation");
}

static void test_one_byte_more(void **state)
{
    struct fixture *f = set_up(*state);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            struct sealed s = f->samples[v];
            s.ciphertext[s.len++] = (uint8_t)byte;
            struct wire_decrypt decrypt = intact(&s);
            try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "one byte more:", byte);
        }
    }
    finish(f, "extension by one byte");
}

static void test_an_annotation(void **state)
{
    struct fixture *f = set_up(*state);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++) {
        struct wire_decrypt decrypt = intact(&f->samples[v]);
        decrypt.annotation = true;
        try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "with an annotation", 1);
    }
    finish(f, "an added annotation");
}

/* v2alpha1 and v2 are one family: a cluster upgrade crosses it. v1 is another. */
static void test_swapped_family(void **state)
{
    struct fixture *f = set_up(*state);
    for (int from = 0; from < KMS_API_VERSIONS; from++) {
        for (int to = 0; to < KMS_API_VERSIONS; to++) {
            struct wire_decrypt decrypt = intact(&f->samples[from]);
            bool same = (from == KMS_API_V1BETA1) == (to == KMS_API_V1BETA1);
            decrypt.version = (enum kms_api_version)to;
            try(f, &decrypt, same ? GRPC_STATUS_OK : GRPC_STATUS_INVALID_ARGUMENT, "sealed by API",
                (size_t)from);
        }
    }
    for (int v = 0; v < KMS_API_VERSIONS; v++) { /* and with the header rewritten to suit */
        struct sealed s = f->samples[v];
        s.ciphertext[2] = s.version == KMS_API_V1BETA1 ? 2 : 1;
        struct wire_decrypt decrypt = intact(&s);
        decrypt.version = s.version == KMS_API_V1BETA1 ? KMS_API_V2 : KMS_API_V1BETA1;
        try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "family rewritten, sealed by API",
            (size_t)v);
    }
    finish(f, "swapped family");
}

struct other_key {
    const struct harness *h;
    const char *before;
};

static bool key_changed(void *context)
{
    const struct other_key *other = context;
    struct kms_client_status status;
    return harness_status(other->h, &status) && strcmp(status.healthz, "ok") == 0 &&
           strcmp(status.key_id, other->before) != 0;
}

/* A second KEK, made active; ret holds what it seals. */
static void rotate(struct fixture *f, struct sealed ret[static KMS_API_VERSIONS])
{
    struct other_key other = {f->h, f->samples[KMS_API_V2].key_id};
    harness_make_kek(f->h, "2");
    (void)kill(f->h->monitor, SIGHUP);
    assert_true(await(key_changed, &other, HARNESS_START_MS, NULL));
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        seal(f->h, (enum kms_api_version)v, &ret[v]);
    assert_string_not_equal(ret[KMS_API_V2].key_id, other.before);
    f->agent = harness_agent(f->h); /* a SIGHUP renews it */
}

static void test_swapped_key(void **state)
{
    struct fixture *f = set_up(*state);
    struct sealed fresh[KMS_API_VERSIONS];
    rotate(f, fresh);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        const struct sealed *old = &f->samples[v], *new = &fresh[v];
        size_t len = strlen(old->key_id);
        struct wire_decrypt decrypt = intact(new);
        try(f, &decrypt, GRPC_STATUS_OK, "sealed by the new KEK", 2);
        if (v != KMS_API_V1BETA1) {
            decrypt.key_id = bytes_of_string(old->key_id);
            try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "the old KEK's key_id", 1);
            decrypt = intact(old);
            decrypt.key_id = bytes_of_string(new->key_id);
            try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "the new KEK's key_id", 2);
        }
        struct sealed moved = *old; /* the header rewritten: the other KEK must refuse it */
        memcpy(moved.ciphertext + HEADER, new->key_id, len);
        memcpy(moved.key_id, new->key_id, len);
        decrypt = intact(&moved);
        try(f, &decrypt, GRPC_STATUS_INVALID_ARGUMENT, "header of the new KEK", 2);
    }
    finish(f, "swapped key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TAMPER(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
        TAMPER(test_every_bit_of_the_ciphertext),
        TAMPER(test_every_bit_of_the_key_id),
        TAMPER(test_every_bit_of_both_key_ids),
        TAMPER(test_every_truncation),
        TAMPER(test_one_byte_more),
        TAMPER(test_an_annotation),
        TAMPER(test_swapped_family),
        TAMPER(test_swapped_key),
    };
    return HARNESS_RUN("altered ciphertexts", tests, TEST_SECONDS);
}
