/* SPDX-License-Identifier: Apache-2.0 */
#include "mock.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

enum { IV = 12, LONG_IV = 16, TAG = 16, SESSIONS_MAX = 64 };

/* An encryption on its way, by session. */
struct operation {
    CK_SESSION_HANDLE session; /* 0: free */
    CK_BYTE *caller_iv;
    CK_BYTE iv[LONG_IV];
};

static struct {
    pthread_mutex_t lock; /* guards the rest */
    struct operation operations[SESSIONS_MAX];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void put_operation(const struct operation *operation)
{
    struct operation *room = NULL;
    (void)pthread_mutex_lock(&state.lock);
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct operation *at = &state.operations[i];
        if (at->session == operation->session || (at->session == 0 && !room))
            room = at;
    }
    if (room)
        *room = *operation;
    (void)pthread_mutex_unlock(&state.lock);
}

static bool take_operation(CK_SESSION_HANDLE session, struct operation *ret)
{
    bool found = false;
    (void)pthread_mutex_lock(&state.lock);
    for (size_t i = 0; i < SESSIONS_MAX && !found; i++) {
        found = state.operations[i].session == session;
        if (found) {
            *ret = state.operations[i];
            state.operations[i].session = 0;
        }
    }
    (void)pthread_mutex_unlock(&state.lock);
    return found;
}

/* --- an IV of its own, told where the caller's was -------------------------------------------- */

static struct {
    CK_C_EncryptInit encrypt_init;
    CK_C_Encrypt encrypt;
} before_own, before_appended;

/* The same operation with an IV that nobody asked for. */
static CK_RV init_with_own_iv(CK_C_EncryptInit next, CK_SESSION_HANDLE session,
                              const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key, size_t iv_len)
{
    CK_GCM_PARAMS params = *(const CK_GCM_PARAMS *)mechanism->pParameter;
    struct operation operation = {.session = session, .caller_iv = params.pIv};
    CK_MECHANISM own = {CKM_AES_GCM, &params, sizeof params};
    if (getrandom(operation.iv, iv_len, 0) != (ssize_t)iv_len)
        return CKR_RANDOM_NO_RNG;
    params.pIv = operation.iv;
    params.ulIvLen = iv_len;
    params.ulIvBits = iv_len * 8;
    CK_RV rv = next(session, &own, key);
    if (rv == CKR_OK)
        put_operation(&operation);
    return rv;
}

static CK_RV own_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                              CK_OBJECT_HANDLE key)
{
    if (mechanism->mechanism != CKM_AES_GCM)
        return before_own.encrypt_init(session, mechanism, key);
    return init_with_own_iv(before_own.encrypt_init, session, mechanism, key, IV);
}

static CK_RV own_encrypt(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                         CK_ULONG *out_len)
{
    struct operation operation;
    CK_RV rv = before_own.encrypt(session, in, in_len, out, out_len);
    if (take_operation(session, &operation) && rv == CKR_OK)
        memcpy(operation.caller_iv, operation.iv, IV);
    return rv;
}

void mock_own_iv(CK_FUNCTION_LIST *list)
{
    before_own.encrypt_init = list->C_EncryptInit;
    before_own.encrypt = list->C_Encrypt;
    list->C_EncryptInit = own_encrypt_init;
    list->C_Encrypt = own_encrypt;
}

static CK_C_EncryptInit before_zero;

static CK_RV zero_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                               CK_OBJECT_HANDLE key)
{
    static const CK_BYTE zeros[IV];
    const CK_GCM_PARAMS *params = mechanism->pParameter;
    if (mechanism->mechanism == CKM_AES_GCM &&
        (params->ulIvLen != IV || memcmp(params->pIv, zeros, IV) != 0))
        return CKR_MECHANISM_PARAM_INVALID;
    return before_zero(session, mechanism, key);
}

void mock_zero_iv(CK_FUNCTION_LIST *list)
{
    before_zero = list->C_EncryptInit;
    list->C_EncryptInit = zero_encrypt_init;
}

/* --- an IV of its own, after the tag -----------------------------------------------------------
 */

static CK_RV appended_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                                   CK_OBJECT_HANDLE key)
{
    if (mechanism->mechanism != CKM_AES_GCM)
        return before_appended.encrypt_init(session, mechanism, key);
    return init_with_own_iv(before_appended.encrypt_init, session, mechanism, key, LONG_IV);
}

static CK_RV appended_encrypt(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                              CK_ULONG *out_len)
{
    struct operation operation;
    CK_ULONG whole = in_len + TAG + LONG_IV;
    if (!take_operation(session, &operation))
        return before_appended.encrypt(session, in, in_len, out, out_len);
    if (!out || *out_len < whole) { /* the operation goes on */
        put_operation(&operation);
        *out_len = whole;
        return out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    CK_RV rv = before_appended.encrypt(session, in, in_len, out, out_len);
    if (rv == CKR_OK) {
        memcpy(out + *out_len, operation.iv, LONG_IV);
        *out_len += LONG_IV;
    }
    return rv;
}

void mock_iv_appended(CK_FUNCTION_LIST *list)
{
    before_appended.encrypt_init = list->C_EncryptInit;
    before_appended.encrypt = list->C_Encrypt;
    list->C_EncryptInit = appended_encrypt_init;
    list->C_Encrypt = appended_encrypt;
}

/* --- no associated data ------------------------------------------------------------------------
 */

static struct {
    CK_C_EncryptInit encrypt_init;
    CK_C_DecryptInit decrypt_init;
} before_aad, before_none;

static CK_RV init_without_aad(CK_C_EncryptInit next, CK_SESSION_HANDLE session,
                              CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    if (mechanism->mechanism != CKM_AES_GCM)
        return next(session, mechanism, key);
    CK_GCM_PARAMS params = *(const CK_GCM_PARAMS *)mechanism->pParameter;
    CK_MECHANISM own = {CKM_AES_GCM, &params, sizeof params};
    params.pAAD = NULL;
    params.ulAADLen = 0;
    return next(session, &own, key);
}

static CK_RV aad_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                              CK_OBJECT_HANDLE key)
{
    return init_without_aad(before_aad.encrypt_init, session, mechanism, key);
}

static CK_RV aad_decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                              CK_OBJECT_HANDLE key)
{
    return init_without_aad(before_aad.decrypt_init, session, mechanism, key);
}

void mock_ignores_aad(CK_FUNCTION_LIST *list)
{
    before_aad.encrypt_init = list->C_EncryptInit;
    before_aad.decrypt_init = list->C_DecryptInit;
    list->C_EncryptInit = aad_encrypt_init;
    list->C_DecryptInit = aad_decrypt_init;
}

/* --- none at all ---------------------------------------------------------------------------------
 */

static CK_RV none_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                               CK_OBJECT_HANDLE key)
{
    if (mechanism->mechanism == CKM_AES_GCM)
        return CKR_MECHANISM_INVALID;
    return before_none.encrypt_init(session, mechanism, key);
}

static CK_RV none_decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                               CK_OBJECT_HANDLE key)
{
    if (mechanism->mechanism == CKM_AES_GCM)
        return CKR_MECHANISM_INVALID;
    return before_none.decrypt_init(session, mechanism, key);
}

void mock_no_gcm(CK_FUNCTION_LIST *list)
{
    before_none.encrypt_init = list->C_EncryptInit;
    before_none.decrypt_init = list->C_DecryptInit;
    list->C_EncryptInit = none_encrypt_init;
    list->C_DecryptInit = none_decrypt_init;
}

static CK_RV unlisted_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *mechanisms, CK_ULONG *count)
{
    CK_ULONG kept = 0;
    CK_RV rv = real->C_GetMechanismList(slot, mechanisms, count);
    if (rv != CKR_OK || !mechanisms)
        return rv;
    for (CK_ULONG i = 0; i < *count; i++)
        if (mechanisms[i] != CKM_AES_GCM)
            mechanisms[kept++] = mechanisms[i];
    *count = kept;
    return CKR_OK;
}

static CK_RV unlisted_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    return type == CKM_AES_GCM ? CKR_MECHANISM_INVALID : real->C_GetMechanismInfo(slot, type, info);
}

void mock_unlisted(CK_FUNCTION_LIST *list)
{
    list->C_GetMechanismList = unlisted_list;
    list->C_GetMechanismInfo = unlisted_info;
}
