/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of quirks.c, and the table of docs/tokens/quirks.md, which is theirs: --print writes it,
 * and the test compares. */
#include "quirks.h"

#include "cleanup.h"
#include "io.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BIT(quirk) (1U << (quirk))

/* As the tokens call themselves: measured, or in their vendors' documents and users' reports. */
static const struct {
    struct token_names names;
    uint32_t quirks;
} tokens[] = {
    {{"libcloudhsm_pkcs11.so", "whatever", "whatever", "whatever", "", 0},
     BIT(QUIRK_NO_READ_ONLY) | BIT(QUIRK_OWN_GCM_IV)},
    {{"yubihsm_pkcs11.so", "Yubico (www.yubico.com)", "Yubico (www.yubico.com)", "YubiHSM", "", 0},
     BIT(QUIRK_HMAC_LENGTH_UNTOLD)},
    {{"libykcs11.so", "Yubico (www.yubico.com)", "Yubico (www.yubico.com)", "YubiKey YK5", "", 0},
     0},
    {{"libtpm2_pkcs11.so.1", "tpm2-software.github.io", "IBM", "SW   TPM", "", 0},
     BIT(QUIRK_RESCANS_NEED_NEW_AGENT)},
    {{"libtpm2_pkcs11.so.1", "tpm2-software.github.io", "Infineon", "SLB9670", "", 0},
     BIT(QUIRK_RESCANS_NEED_NEW_AGENT)},
    {{"libopencryptoki.so.0", "IBM", "IBM Corp.", "IBM SoftTok", "Meta PKCS11 LIBRARY",
      QUIRKS_VERSION(3, 8)},
     BIT(QUIRK_ONE_CALL)},
    {{"libopencryptoki.so.0", "IBM", "", "", "Meta PKCS11 LIBRARY", QUIRKS_VERSION(3, 13)},
     BIT(QUIRK_ONE_CALL)}, /* of a token that is not known yet */
    {{"libopencryptoki.so.0", "IBM", "IBM", "Soft", "Meta PKCS11 LIBRARY", QUIRKS_VERSION(3, 14)},
     0},
    {{"libopencryptoki.so.0", "IBM", "IBM", "Soft", "openCryptoki", QUIRKS_VERSION(3, 23)}, 0},
    {{"libcknfast.so", "nCipher Corp. Ltd", "nCipher Corp. Ltd", "", "", 0},
     BIT(QUIRK_RESCANS_NEED_NEW_AGENT)},
    {{"libsoftokn3.so", "Mozilla Foundation", "Mozilla Foundation", "NSS 3", "", 0},
     BIT(QUIRK_KEYS_CAN_LEAVE)},
    {{"libsofthsm2.so", "SoftHSM", "SoftHSM project", "SoftHSM v2", "", 0}, 0},
    {{"", "", "", "", "", 0}, 0},
};

enum { TOKENS = sizeof tokens / sizeof *tokens };

static void each_token_has_its_own_quirks(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOKENS; i++) {
        uint32_t quirks = quirks_of(&tokens[i].names);
        assert_int_equal(quirks, tokens[i].quirks);
        for (int q = 0; q < QUIRKS; q++)
            assert_int_equal(quirks_have(quirks, (enum quirk)q), (quirks & BIT(q)) != 0);
    }
}

static bool row_is_met(const struct quirk_row *row)
{
    for (size_t i = 0; i < TOKENS; i++)
        if ((tokens[i].quirks & row->quirks) == row->quirks)
            return true;
    return false;
}

static void each_row_names_a_token_a_quirk_and_a_source(void **state)
{
    const struct quirk_row *row;
    size_t n = 0;
    (void)state;
    for (; (row = quirks_row(n)); n++) {
        const struct token_names *names = &row->names;
        assert_true(names->module || names->library || names->manufacturer || names->model);
        assert_true(row->quirks != 0 && row->quirks < BIT(QUIRKS));
        assert_true(row->family[0] && row->source[0]);
        assert_true(row_is_met(row));
    }
    assert_true(n > 0);
    assert_string_equal(quirk_text(QUIRKS), "unknown");
}

/* --- the page -------------------------------------------------------------------------------- */

static const char heading[] =
    "| token | known by | what it does | who says so |\n| - | - | - | - |\n";

static void print_name(FILE *to, const char *what, const char *name, const char **between)
{
    if (!name)
        return;
    (void)fprintf(to, "%s%s `%s`", *between, what, name);
    *between = ", ";
}

static void print_row(FILE *to, const struct quirk_row *row)
{
    const char *between = "", *after = "";
    (void)fprintf(to, "| %s | ", row->family);
    print_name(to, "module", row->names.module, &between);
    print_name(to, "library's manufacturer", row->names.library, &between);
    print_name(to, "manufacturer", row->names.manufacturer, &between);
    print_name(to, "model", row->names.model, &between);
    print_name(to, "description", row->names.description, &between);
    if (row->names.version != 0)
        (void)fprintf(to, ", version below %u.%u", row->names.version / 256,
                      row->names.version % 256);
    (void)fputs(" | ", to);
    for (int q = 0; q < QUIRKS; q++)
        if (quirks_have(row->quirks, (enum quirk)q)) {
            (void)fprintf(to, "%s%s", after, quirk_text((enum quirk)q));
            after = "; ";
        }
    (void)fprintf(to, " | %s |\n", row->source);
}

static void print_table(FILE *to)
{
    const struct quirk_row *row;
    (void)fputs(heading, to);
    for (size_t i = 0; (row = quirks_row(i)); i++)
        print_row(to, row);
}

static void the_page_has_the_table(void **state)
{
    static char page[16384];
    AUTO_FREE char *table = NULL;
    char path[PATH_MAX];
    size_t len = 0, size = 0;
    const char *top = getenv("srcdir");
    (void)state;
    (void)snprintf(path, sizeof path, "%s/docs/tokens/quirks.md", top ? top : ".");
    assert_false(err_is(file_read(path, page, sizeof page - 1, &len)));
    FILE *memory = open_memstream(&table, &size);
    assert_non_null(memory);
    print_table(memory);
    assert_int_equal(fclose(memory), 0);
    const char *found = strstr(page, heading);
    if (!found || strcmp(found, table) != 0)
        fail_msg("%s must end with what tests/unit/test_quirks --print prints", path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_has_its_own_quirks),
        cmocka_unit_test(each_row_names_a_token_a_quirk_and_a_source),
        cmocka_unit_test(the_page_has_the_table),
    };
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        print_table(stdout);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
