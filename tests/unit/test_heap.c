/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"
#include "heap.h"
#include "secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#ifdef __has_feature
#define CLANG_SANITIZES (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define CLANG_SANITIZES 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || CLANG_SANITIZES
enum { OTHER_MALLOC = 1 };
#else
enum { OTHER_MALLOC = 0 };
#endif

enum { PIECES = 16384, FEW_PIECES = 640, PIECE = 4000, BURST = PIECES * PIECE };

/* A burst of requests: much is taken and freed again, but for a piece here and there. */
static void burst(size_t n, void **kept)
{
    AUTO_FREE void **pieces = calloc(n, sizeof *pieces);
    assert_non_null(pieces);
    for (size_t i = 0; i < n; i++) {
        pieces[i] = malloc(PIECE);
        assert_non_null(pieces[i]);
        memset(pieces[i], 1, PIECE);
    }
    *kept = pieces[n - 1];
    for (size_t i = 0; i + 1 < n; i++)
        free(pieces[i]);
}

static void expect_given_back(struct heap *heap)
{
    void *kept = NULL;
    size_t before = heap_resident();
    assert_false(err_is(heap_give_back(heap)));
    burst(PIECES, &kept);
    assert_true(heap_resident() > before + BURST / 2);
    assert_false(err_is(heap_give_back(heap)));
    assert_true(heap_resident() < before + HEAP_SLACK);
    free(kept);
}

static void gives_back_what_a_burst_left(void **state)
{
    struct heap heap;
    (void)state;
    heap_start(&heap, false);
    expect_given_back(&heap);
}

/* What ordinary load leaves: once, and not again for what cannot be given back. */
static void gives_back_what_a_small_burst_left(void **state)
{
    struct heap heap;
    void *kept = NULL;
    (void)state;
    heap_start(&heap, false);
    assert_false(err_is(heap_give_back(&heap)));
    size_t before = heap_resident();
    burst(FEW_PIECES, &kept);
    assert_true(heap_resident() > before + FEW_PIECES * PIECE / 2);
    assert_false(err_is(heap_give_back(&heap)));
    assert_true(heap_resident() < before + HEAP_GROWTH);
    assert_true(heap.left < before + HEAP_GROWTH);
    free(kept);
}

static void gives_back_locked_memory_and_locks_it_again(void **state)
{
    struct heap heap;
    (void)state;
    if (err_is(process_lock_memory()))
        skip();
    heap_start(&heap, true);
    expect_given_back(&heap);
    void *page = malloc(PIECE);
    memset(page, 1, PIECE);
    /* locked pages are the ones that madvise refuses */
    assert_int_equal(madvise((void *)((uintptr_t)page & ~(uintptr_t)4095), 4096, MADV_DONTNEED),
                     -1);
    free(page);
    (void)munlockall();
}

static void leaves_a_small_heap_alone(void **state)
{
    struct heap heap;
    (void)state;
    heap_start(&heap, false);
    assert_false(err_is(heap_give_back(&heap)));
    size_t lowest = heap.lowest;
    assert_false(err_is(heap_give_back(&heap)));
    assert_true(heap.lowest <= lowest);
}

int main(void)
{
    if (OTHER_MALLOC) {
        (void)puts("SHORTER: test_heap has nothing to test with a sanitizer's malloc");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_a_burst_left),
        cmocka_unit_test(gives_back_what_a_small_burst_left),
        cmocka_unit_test(gives_back_locked_memory_and_locks_it_again),
        cmocka_unit_test(leaves_a_small_heap_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
