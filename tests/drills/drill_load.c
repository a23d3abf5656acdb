/* SPDX-License-Identifier: Apache-2.0 */
/* The clients of a daemon while something breaks: Encrypt and Decrypt (v2, v1beta1) at a rate or as
 * many as it takes, and Status (v2) every 50 ms. Tells on its standard output, a line each:
 *
 *   span MS FAILED ANSWERS GAP SLOWEST CODES
 *       50 ms that began at MS of CLOCK_MONOTONIC. FAILED calls ended in it, ANSWERS came in it
 * from the daemon, GAP is the longest time without one that ended in it. CODES are of the calls
 * that were started in it: E0=5 D14=2; 17 is a success after more than a second status START END
 * CODE KEY_ID TEXT   "-" for what is not there text CALL CODE WORDS                the first time
 * that a call failed so late MS                             a thread that only sleeps woke up so
 * late: a busy machine total NAME NUMBER                   at the end
 *
 * It goes on until a line, or the end, of standard input; then it opens what has not been opened
 * yet and, once more, what it has kept. */
#include "drill_load.h"

#include "await.h"
#include "text.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONNECTIONS = 4,
    IN_FLIGHT_MAX = 512,
    CALL_MS = 3000, /* kube-apiserver's default */
    STATUS_EVERY_MS = 50,
    PAUSE_MS = 20, /* of a closed loop's slot after a failure */
    LATE_MS = 25,
    SETTLED_MS = 6000, /* no call that was started so long ago is still in flight */
    TEXTS_MAX = 64,
    END_MS = 120000
};

struct slot {
    struct load *load;
    enum drill_call call;
    struct sealed_item item;
    bool fresh; /* a Decrypt of what was never opened before */
    bool busy;
    int64_t due_ns;
};

struct text {
    enum drill_call call;
    grpc_status_code code;
    char words[64];
};

struct load {
    struct async *async, *asker;
    unsigned per_second, in_flight; /* one of them; the other is 0 */
    pthread_t caller, status, sleeper, printer;
    atomic_bool stop, finish;

    pthread_mutex_t lock; /* guards the rest */
    struct sealed_store store;
    struct timeline timeline;
    struct slot slots[IN_FLIGHT_MAX];
    uint64_t numbers;
    unsigned turn;  /* connections take turns */
    bool only_open; /* the end: nothing more is sealed */
    struct text texts[TEXTS_MAX];
    size_t n_texts;
    unsigned long encrypts, decrypts, failed, wrong, missed;
};

static const int64_t ms_ns = 1000000;

static void sleep_until(int64_t ns)
{
    struct timespec at = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        continue;
}

/* --- answers ----------------------------------------------------------------------------- */

static void tell_text_locked(struct load *load, enum drill_call call,
                             const struct async_answer *answer)
{
    struct text text = {.call = call, .code = answer->code};
    (void)snprintf(text.words, sizeof text.words, "%.*s", (int)sizeof text.words - 1, answer->text);
    for (size_t i = 0; i < load->n_texts; i++)
        if (load->texts[i].call == call && load->texts[i].code == text.code &&
            strcmp(load->texts[i].words, text.words) == 0)
            return;
    if (load->n_texts == TEXTS_MAX)
        return;
    load->texts[load->n_texts++] = text;
    (void)printf("text %s %s %s\n", call == CALL_ENCRYPT ? "Encrypt" : "Decrypt",
                 async_code_name(answer->code), answer->text);
}

static void sealed_locked(struct load *load, struct slot *slot, struct bytes response)
{
    struct bytes ciphertext = wire_field(response, WIRE_OUTPUT);
    struct bytes key_id = wire_field(response, WIRE_ENCRYPT_KEY_ID);
    struct sealed_item *item = &slot->item;
    load->encrypts++;
    if (ciphertext.len == 0 || ciphertext.len > sizeof item->ciphertext ||
        !bytes_to_string(key_id, item->key_id, sizeof item->key_id)) {
        load->wrong++;
        return;
    }
    memcpy(item->ciphertext, ciphertext.data, ciphertext.len);
    item->len = (uint16_t)ciphertext.len;
    store_add(&load->store, item);
}

static void opened_locked(struct load *load, const struct slot *slot, struct bytes response)
{
    uint8_t dek[DEK_LEN];
    store_dek(slot->item.number, dek);
    load->decrypts++;
    load->wrong += !bytes_equal(wire_field(response, WIRE_OUTPUT), bytes_of(dek, DEK_LEN));
}

static void failed_locked(struct load *load, struct slot *slot, const struct async_answer *answer)
{
    load->failed++;
    tell_text_locked(load, slot->call, answer);
    if (slot->call == CALL_DECRYPT && slot->fresh)
        store_return(&load->store, &slot->item);
    slot->due_ns = answer->ended_ns + PAUSE_MS * ms_ns;
}

static void start_locked(struct slot *slot);

static void on_answer(void *context, const struct async_answer *answer)
{
    struct slot *slot = context;
    struct load *load = slot->load;
    pthread_mutex_lock(&load->lock);
    timeline_note(&load->timeline, slot->call, answer);
    slot->busy = false;
    slot->due_ns = 0;
    if (answer->code != GRPC_STATUS_OK)
        failed_locked(load, slot, answer);
    else if (slot->call == CALL_ENCRYPT)
        sealed_locked(load, slot, answer->response);
    else
        opened_locked(load, slot, answer->response);
    if (load->in_flight > 0 && slot->due_ns == 0 && !atomic_load(&load->stop))
        start_locked(slot);
    pthread_mutex_unlock(&load->lock);
}

/* --- calls ------------------------------------------------------------------------------- */

static void choose_locked(struct load *load, struct slot *slot)
{
    bool opens =
        load->only_open || store_is_full(&load->store) || store_random(&load->store) % 2 == 0;
    slot->call = CALL_DECRYPT;
    if (opens && store_take(&load->store, &slot->item, &slot->fresh))
        return;
    slot->call = CALL_ENCRYPT;
    slot->item = (struct sealed_item){.number = ++load->numbers};
    slot->item.version = slot->item.number % 3 == 0 ? KMS_API_V1BETA1 : KMS_API_V2;
}

static void put_message(const struct slot *slot, struct writer *w)
{
    const struct sealed_item *item = &slot->item;
    uint8_t dek[DEK_LEN];
    if (slot->call == CALL_ENCRYPT) {
        store_dek(item->number, dek);
        wire_put_encrypt(w, item->version, bytes_of(dek, DEK_LEN));
    } else {
        wire_put_decrypt(w,
                         &(struct wire_decrypt){.version = item->version,
                                                .ciphertext = bytes_of(item->ciphertext, item->len),
                                                .key_id = bytes_of_string(item->key_id)});
    }
}

/* gRPC never answers on the thread that starts a call, so the lock may be held. */
static void start_locked(struct slot *slot)
{
    struct load *load = slot->load;
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    choose_locked(load, slot);
    put_message(slot, &w);
    slot->busy = true;
    const struct async_request request = {.connection = load->turn++ % CONNECTIONS,
                                          .version = slot->item.version,
                                          .method = slot->call == CALL_ENCRYPT ? WIRE_ENCRYPT
                                                                               : WIRE_DECRYPT,
                                          .message = writer_bytes(&w),
                                          .timeout_ms = CALL_MS,
                                          .done = on_answer,
                                          .context = slot};
    async_start(load->async, &request);
}

/* A rate: a call is started when it is due, whatever became of those before it. */
static void start_next(struct load *load)
{
    struct slot *found = NULL;
    pthread_mutex_lock(&load->lock);
    for (size_t i = 0; i < IN_FLIGHT_MAX && !found; i++)
        if (!load->slots[i].busy)
            found = &load->slots[i];
    if (found)
        start_locked(found);
    else
        load->missed++;
    pthread_mutex_unlock(&load->lock);
}

static void start_due(struct load *load)
{
    int64_t now = clock_monotonic_ns();
    pthread_mutex_lock(&load->lock);
    for (size_t i = 0; i < load->in_flight; i++)
        if (!load->slots[i].busy && load->slots[i].due_ns <= now)
            start_locked(&load->slots[i]);
    pthread_mutex_unlock(&load->lock);
}

static void *call(void *argument)
{
    struct load *load = argument;
    const int64_t period = load->per_second > 0 ? 1000000000 / load->per_second : 5 * ms_ns;
    for (int64_t due = clock_monotonic_ns(); !atomic_load(&load->stop); due += period) {
        sleep_until(due);
        if (load->per_second > 0)
            start_next(load);
        else
            start_due(load);
    }
    return NULL;
}

/* --- Status ------------------------------------------------------------------------------ */

static void print_field(struct bytes field)
{
    if (field.len == 0)
        (void)fputs(" -", stdout);
    else
        (void)printf(" %.*s", (int)field.len, (const char *)field.data);
}

static void on_status(void *context, const struct async_answer *answer)
{
    struct load *load = context;
    pthread_mutex_lock(&load->lock);
    (void)printf("status %.1f %.1f %s", (double)answer->started_ns / 1e6,
                 (double)answer->ended_ns / 1e6,
                 is_daemons(answer) ? async_code_name(answer->code) : "silence");
    print_field(wire_field(answer->response, WIRE_STATUS_KEY_ID));
    if (answer->code == GRPC_STATUS_OK)
        print_field(wire_field(answer->response, WIRE_STATUS_HEALTHZ));
    else
        print_field(bytes_of_string(answer->text));
    (void)fputs("\n", stdout);
    pthread_mutex_unlock(&load->lock);
}

static void *ask(void *argument)
{
    struct load *load = argument;
    const struct async_request request = {.version = KMS_API_V2,
                                          .method = WIRE_STATUS,
                                          .timeout_ms = CALL_MS,
                                          .done = on_status,
                                          .context = load};
    for (int64_t due = clock_monotonic_ns(); !atomic_load(&load->stop);
         due += STATUS_EVERY_MS * ms_ns) {
        sleep_until(due);
        async_start(load->asker, &request);
    }
    return NULL;
}

/* --- telling ----------------------------------------------------------------------------- */

static void *sleep_only(void *argument)
{
    struct load *load = argument;
    while (!atomic_load(&load->stop)) {
        int64_t due = clock_monotonic_ns() + 5 * ms_ns;
        sleep_until(due);
        double late = (double)(clock_monotonic_ns() - due) / 1e6;
        if (late < LATE_MS)
            continue;
        pthread_mutex_lock(&load->lock);
        (void)printf("late %.1f\n", late);
        pthread_mutex_unlock(&load->lock);
    }
    return NULL;
}

static void *print(void *argument)
{
    struct load *load = argument;
    while (!atomic_load(&load->finish)) {
        pass_time(STATUS_EVERY_MS);
        pthread_mutex_lock(&load->lock);
        timeline_print(&load->timeline, clock_monotonic_ns() - SETTLED_MS * ms_ns, stdout);
        (void)fflush(stdout);
        pthread_mutex_unlock(&load->lock);
    }
    return NULL;
}

/* --- the end ----------------------------------------------------------------------------- */

static bool all_open(void *context)
{
    struct load *load = context;
    pthread_mutex_lock(&load->lock);
    bool busy = load->store.n_fresh > 0;
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        busy = busy ||
               (load->slots[i].busy && load->slots[i].call == CALL_DECRYPT && load->slots[i].fresh);
    pthread_mutex_unlock(&load->lock);
    return !busy;
}

static void total(const char *name, unsigned long number)
{
    (void)printf("total %s %lu\n", name, number);
}

static unsigned long key_ids_kept(const struct sealed_store *store)
{
    static const char *seen[4096];
    size_t n = 0;
    for (size_t i = 0; i < store->n_kept && n < sizeof seen / sizeof *seen; i++) {
        size_t at = 0;
        while (at < n && strcmp(seen[at], store->kept[i].key_id) != 0)
            at++;
        if (at == n && store->kept[i].key_id[0])
            seen[n++] = store->kept[i].key_id;
    }
    return n;
}

/* Opens all that is left, as fast as it goes. */
static void open_the_rest(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    unsigned long key_ids = key_ids_kept(&load->store);
    load->only_open = true;
    total("again", load->store.n_kept);
    store_open_all_again(&load->store);
    total("at-the-end", load->store.n_fresh);
    if (load->in_flight == 0)
        load->in_flight = 16;
    load->per_second = 0;
    pthread_mutex_unlock(&load->lock);
    atomic_store(&load->stop, false);
    if (pthread_create(&load->caller, NULL, call, load) != 0)
        abort();
    (void)await(all_open, load, END_MS, NULL);
    atomic_store(&load->stop, true);
    (void)pthread_join(load->caller, NULL);
    async_wait(load->async, 0);
    total("key-ids", key_ids);
}

static int end(struct load *load)
{
    atomic_store(&load->stop, true);
    (void)pthread_join(load->caller, NULL);
    (void)pthread_join(load->status, NULL);
    (void)pthread_join(load->sleeper, NULL);
    async_wait(load->async, 0);
    async_wait(load->asker, 0);
    atomic_store(&load->finish, true);
    (void)pthread_join(load->printer, NULL);
    timeline_print(&load->timeline, clock_monotonic_ns() + SPAN_MS * ms_ns, stdout);
    (void)printf("end\n");
    (void)fflush(stdout);
    open_the_rest(load);
    total("encrypts", load->encrypts);
    total("decrypts", load->decrypts);
    total("failed", load->failed);
    total("wrong", load->wrong);
    total("unopened", load->store.n_fresh);
    total("missed", load->missed);
    (void)fflush(stdout);
    return load->wrong == 0 && load->store.n_fresh == 0 ? 0 : 1;
}

/* --- life -------------------------------------------------------------------------------- */

static bool begin(struct load *load, const char *socket_path, uint64_t seed)
{
    pthread_mutex_init(&load->lock, NULL);
    load->async = async_open_lasting(socket_path, CONNECTIONS);
    load->asker = async_open_lasting(socket_path, 1);
    if (!load->async || !load->asker || !store_open(&load->store, seed))
        return false;
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        load->slots[i].load = load;
    load->numbers = seed << 40; /* DEKs of other seeds are others */
    timeline_start(&load->timeline, clock_monotonic_ns());
    if (pthread_create(&load->caller, NULL, call, load) != 0 ||
        pthread_create(&load->status, NULL, ask, load) != 0 ||
        pthread_create(&load->sleeper, NULL, sleep_only, load) != 0 ||
        pthread_create(&load->printer, NULL, print, load) != 0)
        abort();
    return true;
}

static const char usage[] =
    "usage: drill-load --socket PATH [--per-second N | --in-flight N] [--seed N]\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"per-second", required_argument, NULL, 'r'},
                                            {"in-flight", required_argument, NULL, 'i'},
                                            {"seed", required_argument, NULL, 'x'},
                                            {NULL, 0, NULL, 0}};
    static struct load load;
    const char *socket_path = NULL;
    uint64_t rate = 200, in_flight = 0, seed = 1;
    bool ok = true;
    for (int option; ok && (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's')
            socket_path = optarg;
        else if (option == 'r')
            ok = !err_is(parse_u64(optarg, 1, 1000, &rate));
        else if (option == 'i')
            ok = !err_is(parse_u64(optarg, 1, IN_FLIGHT_MAX, &in_flight));
        else
            ok = option == 'x' && !err_is(parse_u64(optarg, 0, UINT32_MAX, &seed));
    }
    if (!ok || !socket_path) {
        (void)fputs(usage, stderr);
        return 2;
    }
    load.in_flight = (unsigned)in_flight;
    load.per_second = in_flight > 0 ? 0 : (unsigned)rate;
    if (!begin(&load, socket_path, seed)) {
        (void)fputs("drill-load: nobody listens, or no memory\n", stderr);
        return 1;
    }
    (void)getchar();
    return end(&load);
}
