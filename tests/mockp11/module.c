/* SPDX-License-Identifier: Apache-2.0 */
/* $P11KMS_MOCK names the personality, $P11KMS_MOCK_MODULE the real module (SoftHSM's),
 * $P11KMS_MOCK_DIR a directory of the mock's own. */
#include "mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAITS_MAX = 4 };

/* Names that are NULL are SoftHSM's. */
static const struct personality {
    const char *name;
    const char *library;
    const char *manufacturer;
    const char *model;
    mock_trait *traits[TRAITS_MAX];
} personalities[] = {
    {"own-iv", NULL, NULL, NULL, {mock_own_iv}},
    {"cloudhsm",
     NULL,
     NULL,
     NULL,
     {mock_own_iv, mock_zero_iv, mock_read_write_only, mock_no_relabel}},
    {"iv-appended", NULL, NULL, NULL, {mock_iv_appended}},
    {"no-gcm",
     "Yubico (www.yubico.com)",
     "Yubico (www.yubico.com)",
     "YubiHSM",
     {mock_no_gcm, mock_unlisted, mock_untold}},
    {"untold", NULL, NULL, NULL, {mock_no_gcm, mock_unlisted, mock_untold}},
    {"few-sessions", NULL, NULL, NULL, {mock_few_sessions}},
    {"finalize", NULL, NULL, NULL, {mock_needs_finalize}},
    {"new-process", NULL, NULL, NULL, {mock_needs_process}},
    {"read-only-user", NULL, NULL, NULL, {mock_read_only_user}},
    {"protected-path", NULL, NULL, NULL, {mock_keypad}},
    {"liar", NULL, NULL, NULL, {mock_no_gcm}},
    {"same-mac", NULL, NULL, NULL, {mock_same_mac}},
    {"no-aad", NULL, NULL, NULL, {mock_ignores_aad}},
};

const char wrapper_variable[] = "P11KMS_MOCK_MODULE";

static const struct personality *self;

/* --- its files ------------------------------------------------------------------------------- */

const char *mock_path(const char *name, char path[static PATH_MAX])
{
    const char *directory = getenv("P11KMS_MOCK_DIR");
    (void)snprintf(path, PATH_MAX, "%s/%s", directory ? directory : "/nonexistent", name);
    return path;
}

bool mock_line(const char *name, char *line, size_t size)
{
    char path[PATH_MAX];
    FILE *file = fopen(mock_path(name, path), "re");
    bool there = file && fgets(line, (int)size, file);
    if (file)
        (void)fclose(file);
    if (there)
        line[strcspn(line, "\n")] = '\0';
    return there;
}

/* --- its names ------------------------------------------------------------------------------- */

static void put_name(const char *name, CK_UTF8CHAR *at, size_t size)
{
    if (!name)
        return;
    memset(at, ' ', size);
    memcpy(at, name, strlen(name));
}

static CK_RV get_info(CK_INFO *info)
{
    CK_RV rv = real->C_GetInfo(info);
    if (rv == CKR_OK)
        put_name(self->library, info->manufacturerID, sizeof info->manufacturerID);
    return rv;
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK) {
        put_name(self->manufacturer, info->manufacturerID, sizeof info->manufacturerID);
        put_name(self->model, info->model, sizeof info->model);
    }
    return rv;
}

/* --- its traits ------------------------------------------------------------------------------ */

static const struct personality *find(const char *name)
{
    for (size_t i = 0; name && i < sizeof personalities / sizeof *personalities; i++)
        if (strcmp(personalities[i].name, name) == 0)
            return &personalities[i];
    (void)fprintf(stderr, "mockp11: P11KMS_MOCK names no personality: %s\n", name ? name : "");
    abort();
}

void wrapper_take(CK_FUNCTION_LIST *list)
{
    self = find(getenv("P11KMS_MOCK"));
    list->C_GetInfo = get_info;
    list->C_GetTokenInfo = token_info;
    for (size_t i = 0; i < TRAITS_MAX && self->traits[i]; i++)
        self->traits[i](list);
}
