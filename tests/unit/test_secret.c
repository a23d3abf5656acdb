/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "secret.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What an agent's module leaks of libcrypto's heap would be missing to both of them. */
static int apart(void)
{
    static const uint8_t zero[8];
    struct secret *s = NULL;
    secret_init_apart();
    if (err_is(secret_new(8, &s)) || CRYPTO_secure_malloc_initialized() ||
        secret_bytes(s).len != 0 || memcmp(secret_memory(s), zero, sizeof zero) != 0 ||
        err_is(secret_assign(s, bytes_of_string("12345678"))) ||
        !err_is(secret_assign(s, bytes_of_string("123456789"))))
        return 1;
    secret_free(s);
    secret_free(NULL);
    s = NULL;
    return secret_new(SIZE_MAX, &s).code != ERR_EXHAUSTED ||
           secret_new(SIZE_MAX / 4, &s).code != ERR_EXHAUSTED || s;
}

static void apart_it_needs_no_heap(void **state)
{
    (void)state;
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(apart());
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static void needs_its_heap_first(void **state)
{
    (void)state;
    struct secret *s = NULL;
    bool locked;
    assert_int_equal(secret_new(16, &s).code, ERR_INTERNAL);
    assert_false(err_is(secret_init(1 << 16, &locked)));
}

static void holds_what_fits(void **state)
{
    (void)state;
    AUTO_SECRET struct secret *s = NULL;
    assert_false(err_is(secret_new(8, &s)));
    assert_int_equal(secret_bytes(s).len, 0);
    assert_false(err_is(secret_assign(s, bytes_of_string("12345678"))));
    assert_int_equal(secret_assign(s, bytes_of_string("123456789")).code, ERR_EXHAUSTED);
    assert_true(bytes_equal(secret_bytes(s), bytes_of_string("12345678")));
    secret_set_len(s, 100);
    assert_int_equal(secret_bytes(s).len, 8);
}

static void wiping_covers_the_capacity(void **state)
{
    (void)state;
    static const uint8_t zero[8];
    AUTO_SECRET struct secret *s = NULL;
    assert_false(err_is(secret_new(8, &s)));
    assert_false(err_is(secret_assign(s, bytes_of_string("12345678"))));
    secret_set_len(s, 2); /* what lies behind the used length is secret too */
    secret_wipe(s);
    assert_memory_equal(secret_memory(s), zero, 8);
    assert_int_equal(secret_bytes(s).len, 0);
    secret_wipe(NULL);
    secret_free(NULL);
}

static void full_heap_is_an_error(void **state)
{
    (void)state;
    struct secret *s = NULL;
    assert_int_equal(secret_new(1 << 20, &s).code, ERR_EXHAUSTED);
    assert_int_equal(secret_new(SIZE_MAX, &s).code, ERR_EXHAUSTED);
    assert_null(s);
}

static void dumps_are_forbidden(void **state)
{
    (void)state;
    assert_false(err_is(process_forbid_dumps()));
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apart_it_needs_no_heap), cmocka_unit_test(needs_its_heap_first),
        cmocka_unit_test(holds_what_fits),        cmocka_unit_test(wiping_covers_the_capacity),
        cmocka_unit_test(full_heap_is_an_error),  cmocka_unit_test(dumps_are_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
