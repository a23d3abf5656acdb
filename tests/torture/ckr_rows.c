/* SPDX-License-Identifier: Apache-2.0 */
#include "ckr_rows.h"

#include "async.h"
#include "harness.h"

#include "cleanup.h"

#include <stdlib.h>
#include <string.h>

/* Values that the page has one row for. */
enum { ANY_OTHER = 0x7777 };

static int code_by_name(const char *name)
{
    for (int code = GRPC_STATUS_OK; code <= GRPC_STATUS_UNAUTHENTICATED; code++)
        if (strcmp(async_code_name((grpc_status_code)code), name) == 0)
            return code;
    fail_msg("docs/ckr.md: %s is no code of gRPC", name);
    return -1;
}

/* The two have the key looked up anew first, whatever their class. */
static bool is_stale_handle(const char *name)
{
    return strcmp(name, "CKR_OBJECT_HANDLE_INVALID") == 0 ||
           strcmp(name, "CKR_KEY_HANDLE_INVALID") == 0;
}

/* False: the line is no row of the table. */
static bool read_row(const char *line, struct ckr_row *ret)
{
    char value[32], class[32], code[32];
    if (strncmp(line, "| CKR_", 6) != 0 && strncmp(line, "| unknown CKR ", 14) != 0)
        return false;
    if (sscanf(line, "| %63[^|]| %31[^|]| %31[^|]| %31[^| ]", ret->name, value, class, code) != 4)
        fail_msg("docs/ckr.md: %s", line);
    ret->name[strlen(ret->name) - 1] = '\0'; /* the blank before the next column */
    unsigned long rv = value[0] == '0' ? strtoul(value, NULL, 16) : ANY_OTHER;
    (void)snprintf(ret->action, sizeof ret->action, "return 0x%lx", rv);
    ret->mended = strcmp(class, "another session ") == 0 || strcmp(class, "log in again ") == 0 ||
                  is_stale_handle(ret->name);
    ret->code = code_by_name(code);
    ret->blames_caller = strcmp(class, "caller's fault ") == 0;
    return true;
}

size_t ckr_rows_read(struct ckr_row ret[static CKR_ROWS_MAX])
{
    char path[HARNESS_PATH_MAX], line[512];
    size_t n = 0;
    const char *top = getenv("srcdir");
    (void)snprintf(path, sizeof path, "%s/docs/ckr.md", top ? top : ".");
    AUTO_FCLOSE FILE *page = fopen(path, "re");
    assert_non_null(page);
    while (n < CKR_ROWS_MAX && fgets(line, sizeof line, page))
        n += read_row(line, &ret[n]);
    assert_in_range(n, 1, CKR_ROWS_MAX - 1);
    return n;
}

/* As C_Login's, these say that a try was burnt, or that none can succeed any more. */
static bool burns_pin(const char *name)
{
    static const char *const burning[] = {"CKR_PIN_INCORRECT", "CKR_PIN_INVALID",
                                          "CKR_PIN_LEN_RANGE", "CKR_PIN_EXPIRED", "CKR_PIN_LOCKED"};
    for (size_t i = 0; i < sizeof burning / sizeof *burning; i++)
        if (strcmp(name, burning[i]) == 0)
            return true;
    return false;
}

/* A Decrypt is tried again once a fresh canary has opened, whatever the value; what an Encrypt
 * seals is no fault of the caller. */
struct kind ckr_row_kind(const struct ckr_row *row, const char *function)
{
    bool told = strcmp(function, "C_EncryptInit") == 0 && !row->mended;
    bool burns = strcmp(function, "C_Login") == 0 && burns_pin(row->name);
    return (struct kind){.name = row->name,
                         .action = row->action,
                         .codes = 1U << (!told                ? GRPC_STATUS_OK
                                         : row->blames_caller ? GRPC_STATUS_UNAVAILABLE
                                                              : row->code),
                         .flags = burns ? KIND_BURNS_PIN : 0};
}
