/* SPDX-License-Identifier: Apache-2.0 */
/* Times, colours and notes as p11-kms shows them. */
#include "cli_show.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *text;
static size_t size;

static FILE *begin(void)
{
    free(text);
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    return to;
}

static void times_are_utc_in_iso_8601(void **state)
{
    char time[SHOW_TIME_MAX + 1];
    (void)state;
    assert_int_equal(setenv("TZ", "America/New_York", 1), 0);
    assert_string_equal(show_time(INT64_C(1750000000999), time), "2025-06-15T15:06:40Z");
    assert_string_equal(show_time(0, time), "");
    assert_true(strlen(show_time(INT64_MAX, time)) <= SHOW_TIME_MAX);
}

static void spans_have_two_units(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {0, "0 s"},         {59, "59 s"},           {60, "1 min"},          {3599, "59 min 59 s"},
        {3600, "1 h"},      {3661, "1 h 1 min"},    {86399, "23 h 59 min"}, {86400, "1 d"},
        {90000, "1 d 1 h"}, {400 * 86400, "400 d"},
    };
    char span[SHOW_SPAN_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(show_span(rows[i].seconds * 1000 + 999, span), rows[i].text);
    (void)show_span(INT64_MAX, span); /* fits */
}

static void moments_are_before_or_after_now(void **state)
{
    (void)state;
    FILE *to = begin();
    show_when(to, INT64_C(1750000000000), INT64_C(1750000090000));
    show_when(to, INT64_C(1750000090000), INT64_C(1750000000000));
    (void)fclose(to);
    assert_string_equal(text, "2025-06-15T15:06:40Z (1 min 30 s ago)"
                              "2025-06-15T15:08:10Z (in 1 min 30 s)");
}

static void notes_name_all_that_is_remarkable(void **state)
{
    struct admin_key key = {.seals = true};
    char note[SHOW_NOTE_MAX + 1];
    (void)state;
    assert_string_equal(show_key_note(&(struct admin_key){.seals = false}, note), "");
    (void)snprintf(key.wrong, sizeof key.wrong, "LOCAL");
    (void)snprintf(key.waived, sizeof key.waived, "WRAP,SIGN");
    key.ambiguous = key.quarantined = true;
    assert_string_equal(show_key_note(&key, note), "seals; refused: LOCAL; waived: WRAP,SIGN; two "
                                                   "objects of one CKA_ID; quarantined");
    memset(key.wrong, 'A', sizeof key.wrong - 1);
    memset(key.waived, 'B', sizeof key.waived - 1);
    assert_true(strlen(show_key_note(&key, note)) <= SHOW_NOTE_MAX);
}

static void lists_of_names_in_json(void **state)
{
    (void)state;
    FILE *to = begin();
    show_json_names(to, "{", "a", "");
    show_json_names(to, ", ", "b", "X");
    show_json_names(to, ", ", "c", "X,Y\"");
    show_json_time(to, ", ", "t", 0);
    (void)fclose(to);
    assert_string_equal(text, "{\"a\": [], \"b\": [\"X\"], \"c\": [\"X\", \"Y\\\"\"], \"t\": null");
}

/* What a terminal gets of a red word. */
static const char *red_on_a_terminal(char *seen, size_t seen_size)
{
    char name[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    assert_int_equal(ptsname_r(master, name, sizeof name), 0);
    FILE *to = fdopen(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC), "w");
    assert_non_null(to);
    show_coloured(to, SHOW_BAD, "away", 0);
    (void)fflush(to);
    ssize_t got = read(master, seen, seen_size - 1);
    seen[got > 0 ? got : 0] = '\0';
    (void)fclose(to);
    (void)close(master);
    return seen;
}

static void colours_are_for_terminals(void **state)
{
    char seen[64];
    (void)state;
    assert_int_equal(unsetenv("NO_COLOR"), 0);
    assert_string_equal(red_on_a_terminal(seen, sizeof seen), "\033[31maway\033[0m");
    assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
    assert_string_equal(red_on_a_terminal(seen, sizeof seen), "away");
    assert_int_equal(unsetenv("NO_COLOR"), 0);
    FILE *to = begin();
    show_coloured(to, show_state_colour("compromised"), "compromised", 12);
    (void)fclose(to);
    assert_string_equal(text, "compromised ");
}

static int free_text(void **state)
{
    (void)state;
    free(text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_utc_in_iso_8601),
        cmocka_unit_test(spans_have_two_units),
        cmocka_unit_test(moments_are_before_or_after_now),
        cmocka_unit_test(notes_name_all_that_is_remarkable),
        cmocka_unit_test(lists_of_names_in_json),
        cmocka_unit_test(colours_are_for_terminals),
    };
    return cmocka_run_group_tests(tests, NULL, free_text);
}
