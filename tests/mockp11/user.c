/* SPDX-License-Identifier: Apache-2.0 */
#include "mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- labels stay as they are -------------------------------------------------------------------
 */

static CK_RV no_set(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
                    CK_ULONG n)
{
    (void)session, (void)object, (void)template, (void)n;
    return CKR_FUNCTION_NOT_SUPPORTED;
}

void mock_no_relabel(CK_FUNCTION_LIST *list)
{
    list->C_SetAttributeValue = no_set;
}

/* --- a user who may use keys alone: tokens say so in many ways, and the file "refusal" has one --
 */

static CK_RV refusal(void)
{
    char line[32];
    return mock_line("refusal", line, sizeof line) ? strtoul(line, NULL, 16)
                                                   : CKR_ACTION_PROHIBITED;
}

static CK_RV user_generate(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    (void)session, (void)mechanism, (void)template, (void)n, (void)ret;
    return refusal();
}

static CK_RV user_generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                                CK_ATTRIBUTE *public_template, CK_ULONG public_n,
                                CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *ret_public,
                                CK_OBJECT_HANDLE *ret)
{
    (void)session, (void)mechanism, (void)public_template, (void)public_n;
    (void)template, (void)n, (void)ret_public, (void)ret;
    return refusal();
}

static CK_RV user_create(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n,
                         CK_OBJECT_HANDLE *ret)
{
    (void)session, (void)template, (void)n, (void)ret;
    return refusal();
}

static CK_RV user_set(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
                      CK_ULONG n)
{
    (void)session, (void)object, (void)template, (void)n;
    return refusal();
}

static CK_RV user_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    (void)session, (void)object;
    return refusal();
}

void mock_read_only_user(CK_FUNCTION_LIST *list)
{
    list->C_GenerateKey = user_generate;
    list->C_GenerateKeyPair = user_generate_pair;
    list->C_CreateObject = user_create;
    list->C_SetAttributeValue = user_set;
    list->C_DestroyObject = user_destroy;
}

/* --- the PIN is entered at the token: the file "keypad" has what somebody enters ----------------
 */

static CK_C_GetTokenInfo before_keypad;

static CK_RV keypad_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = before_keypad(slot, info);
    if (rv == CKR_OK)
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    return rv;
}

static void count_entry(void)
{
    char path[PATH_MAX];
    FILE *file = fopen(mock_path("entries", path), "ae");
    if (!file || fputs("entry\n", file) < 0 || fclose(file) != 0)
        abort();
}

static CK_RV keypad_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin,
                          CK_ULONG len)
{
    char line[64];
    if (pin || len != 0)
        return CKR_ARGUMENTS_BAD;
    if (!mock_line("keypad", line, sizeof line)) /* nobody was there */
        return CKR_FUNCTION_CANCELED;
    count_entry();
    return real->C_Login(session, user, (CK_UTF8CHAR *)line, strlen(line));
}

void mock_keypad(CK_FUNCTION_LIST *list)
{
    before_keypad = list->C_GetTokenInfo;
    list->C_GetTokenInfo = keypad_info;
    list->C_Login = keypad_login;
}
