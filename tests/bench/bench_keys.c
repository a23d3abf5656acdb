/* SPDX-License-Identifier: Apache-2.0 */
/* What the token alone needs to list its secret keys and to find one of them, through the agent's
 * PKCS#11 layer, right after a login: the floor under every look at a ring. Prints one line of
 * JSON. */
#include "bench_login.h"
#include "cleanup.h"
#include "io.h"
#include "p11_key.h"
#include "secret.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

enum { HEAP = 1 << 16 };

struct figures {
    size_t keys;
    double open_ms, handles_ms, read_ms, ids_ms, find_ms;
};

static double lap_ms(int64_t *since)
{
    int64_t now = clock_monotonic_ns();
    double ms = (double)(now - *since) / 1e6;
    *since = now;
    return ms;
}

static struct err open_token(char **argv, struct p11_session *ret)
{
    struct p11_module *module = NULL;
    struct p11_token token;
    struct advice advice = {.text = ""};
    struct err e = p11_module_load(argv[1], &module, &advice);
    if (!err_is(e))
        e = p11_token_find(module, argv[2], &token, &advice);
    if (err_is(e))
        (void)fprintf(stderr, "bench-keys: %s\n", advice.text);
    TRY(e);
    TRY(p11_session_open(module, &token, false, ret));
    return bench_log_in(ret, argv[3]);
}

static struct err read_all(const struct p11_session *session, const unsigned long *handles,
                           size_t n, struct p11_key *ret_last)
{
    for (size_t i = 0; i < n; i++)
        TRY(p11_key_read(session, KEY_CLASS_SECRET, handles[i], ret_last));
    return ERR_OK;
}

static struct err measure(char **argv, struct figures *f)
{
    AUTO_FREE unsigned long *handles = NULL;
    struct p11_session session;
    struct p11_key last = {.handle = 0};
    unsigned long found;
    int64_t since = clock_monotonic_ns();
    TRY(open_token(argv, &session));
    f->open_ms = lap_ms(&since);
    TRY(p11_key_find_all(&session, KEY_CLASS_SECRET, &handles, &f->keys));
    f->handles_ms = lap_ms(&since);
    TRY(read_all(&session, handles, f->keys, &last));
    f->read_ms = lap_ms(&since);
    for (size_t i = 0; i < f->keys; i++)
        TRY(p11_key_check_id(&session, last.handle, &last.id));
    f->ids_ms = lap_ms(&since);
    if (f->keys > 0)
        TRY(p11_key_find(&session, KEY_CLASS_SECRET, &last.id, &found));
    f->find_ms = lap_ms(&since);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct figures f = {.keys = 0};
    bool locked = false;
    char text[160];
    if (argc != 4) {
        (void)fputs("usage: bench-keys MODULE URI PIN-FILE\n", stderr);
        return 2;
    }
    struct err e = secret_init(HEAP, &locked);
    if (!err_is(e))
        e = measure(argv, &f);
    if (err_is(e))
        (void)fprintf(stderr, "bench-keys: %s\n", err_format(e, text, sizeof text));
    else
        (void)printf("{\"keys\": %zu, \"open_ms\": %.2f, \"handles_ms\": %.2f, \"read_ms\": %.2f, "
                     "\"check_ids_ms\": %.2f, \"find_ms\": %.3f}\n",
                     f.keys, f.open_ms, f.handles_ms, f.read_ms, f.ids_ms, f.find_ms);
    return err_exit_code(e);
}
