/* SPDX-License-Identifier: Apache-2.0 */
/* Every function of PKCS#11 2.40 but C_GetFunctionList: name, parameters, arguments, the slot it
 * names, and what it puts out. */
#ifndef FAULTP11_FUNCTIONS_H
#define FAULTP11_FUNCTIONS_H

#include <p11-kit/pkcs11.h>

#define SESSION   CK_SESSION_HANDLE session
#define BYTES_IN  CK_BYTE *in, CK_ULONG in_len
#define BYTES_OUT CK_BYTE *out, CK_ULONG *out_len
#define MECHANISM CK_MECHANISM *mechanism
#define TEMPLATE  CK_ATTRIBUTE *template, CK_ULONG n
#define KEY       CK_OBJECT_HANDLE key

#define NO_SLOT NULL
#define NO_OUT                                                                                     \
    {                                                                                              \
        OUT_NONE, NULL, NULL, 0                                                                    \
    }
#define OUT_OF(kind, at, count, size)                                                              \
    {                                                                                              \
        kind, at, count, size                                                                      \
    }
#define THE_BYTES      OUT_OF(OUT_BYTES, out, out_len, 1)
#define THE_HANDLE     OUT_OF(OUT_STRUCT, ret, NULL, sizeof *ret)
#define THE_STRUCT     OUT_OF(OUT_STRUCT, info, NULL, sizeof *info)
#define THE_TOKEN      OUT_OF(OUT_TOKEN, info, NULL, sizeof *info)
#define THE_SLOTS      OUT_OF(OUT_SLOTS, slots, count, sizeof *slots)
#define THE_MECHANISMS OUT_OF(OUT_BYTES, mechanisms, count, sizeof *mechanisms)
#define THE_OBJECTS    OUT_OF(OUT_BYTES, objects, count, sizeof *objects)
#define THE_ATTRIBUTES OUT_OF(OUT_ATTRIBUTES, template, NULL, n)

/* The shapes that many functions share. */
#define X_SESSION(X, name) X(name, (SESSION), (session), NO_SLOT, NO_OUT)
#define X_INIT(X, name)                                                                            \
    X(name, (SESSION, MECHANISM, KEY), (session, mechanism, key), NO_SLOT, NO_OUT)
#define X_CRYPT(X, name)                                                                           \
    X(name, (SESSION, BYTES_IN, BYTES_OUT), (session, in, in_len, out, out_len), NO_SLOT, THE_BYTES)
#define X_FEED(X, name)  X(name, (SESSION, BYTES_IN), (session, in, in_len), NO_SLOT, NO_OUT)
#define X_FINAL(X, name) X(name, (SESSION, BYTES_OUT), (session, out, out_len), NO_SLOT, THE_BYTES)

#define FUNCTIONS_GENERAL(X)                                                                       \
    X(C_Initialize, (void *arguments), (arguments), NO_SLOT, NO_OUT)                               \
    X(C_Finalize, (void *reserved), (reserved), NO_SLOT, NO_OUT)                                   \
    X(C_GetInfo, (CK_INFO * info), (info), NO_SLOT, THE_STRUCT)                                    \
    X(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID * slots, CK_ULONG * count),                     \
      (present, slots, count), NO_SLOT, THE_SLOTS)                                                 \
    X(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO * info), (slot, info), &slot, THE_STRUCT)      \
    X(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO * info), (slot, info), &slot, THE_TOKEN)     \
    X(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID * ret, void *reserved),                      \
      (flags, ret, reserved), NO_SLOT, THE_HANDLE)                                                 \
    X(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE * mechanisms, CK_ULONG * count),     \
      (slot, mechanisms, count), &slot, THE_MECHANISMS)                                            \
    X(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO * info),     \
      (slot, type, info), &slot, THE_STRUCT)                                                       \
    X(C_InitToken, (CK_SLOT_ID slot, CK_BYTE * pin, CK_ULONG len, CK_BYTE * label),                \
      (slot, pin, len, label), &slot, NO_OUT)                                                      \
    X(C_InitPIN, (SESSION, CK_BYTE * pin, CK_ULONG len), (session, pin, len), NO_SLOT, NO_OUT)     \
    X(C_SetPIN, (SESSION, CK_BYTE * old, CK_ULONG old_len, CK_BYTE * pin, CK_ULONG len),           \
      (session, old, old_len, pin, len), NO_SLOT, NO_OUT)

#define FUNCTIONS_SESSION(X)                                                                       \
    X(C_OpenSession,                                                                               \
      (CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify, CK_SESSION_HANDLE *ret),  \
      (slot, flags, context, notify, ret), &slot, THE_HANDLE)                                      \
    X_SESSION(X, C_CloseSession)                                                                   \
    X(C_CloseAllSessions, (CK_SLOT_ID slot), (slot), &slot, NO_OUT)                                \
    X(C_GetSessionInfo, (SESSION, CK_SESSION_INFO * info), (session, info), NO_SLOT, THE_STRUCT)   \
    X_FINAL(X, C_GetOperationState)                                                                \
    X(C_SetOperationState, (SESSION, BYTES_IN, CK_OBJECT_HANDLE cipher, KEY),                      \
      (session, in, in_len, cipher, key), NO_SLOT, NO_OUT)                                         \
    X(C_Login, (SESSION, CK_USER_TYPE user, CK_BYTE * pin, CK_ULONG len),                          \
      (session, user, pin, len), NO_SLOT, NO_OUT)                                                  \
    X_SESSION(X, C_Logout)                                                                         \
    X_SESSION(X, C_GetFunctionStatus)                                                              \
    X_SESSION(X, C_CancelFunction)

#define FUNCTIONS_OBJECT(X)                                                                        \
    X(C_CreateObject, (SESSION, TEMPLATE, CK_OBJECT_HANDLE * ret), (session, template, n, ret),    \
      NO_SLOT, THE_HANDLE)                                                                         \
    X(C_CopyObject, (SESSION, KEY, TEMPLATE, CK_OBJECT_HANDLE * ret),                              \
      (session, key, template, n, ret), NO_SLOT, THE_HANDLE)                                       \
    X(C_DestroyObject, (SESSION, KEY), (session, key), NO_SLOT, NO_OUT)                            \
    X(C_GetObjectSize, (SESSION, KEY, CK_ULONG * ret), (session, key, ret), NO_SLOT, THE_HANDLE)   \
    X(C_GetAttributeValue, (SESSION, KEY, TEMPLATE), (session, key, template, n), NO_SLOT,         \
      THE_ATTRIBUTES)                                                                              \
    X(C_SetAttributeValue, (SESSION, KEY, TEMPLATE), (session, key, template, n), NO_SLOT, NO_OUT) \
    X(C_FindObjectsInit, (SESSION, TEMPLATE), (session, template, n), NO_SLOT, NO_OUT)             \
    X(C_FindObjects, (SESSION, CK_OBJECT_HANDLE * objects, CK_ULONG most, CK_ULONG * count),       \
      (session, objects, most, count), NO_SLOT, THE_OBJECTS)                                       \
    X_SESSION(X, C_FindObjectsFinal)

#define FUNCTIONS_CRYPT(X)                                                                         \
    X_INIT(X, C_EncryptInit)                                                                       \
    X_CRYPT(X, C_Encrypt)                                                                          \
    X_CRYPT(X, C_EncryptUpdate)                                                                    \
    X_FINAL(X, C_EncryptFinal)                                                                     \
    X_INIT(X, C_DecryptInit)                                                                       \
    X_CRYPT(X, C_Decrypt)                                                                          \
    X_CRYPT(X, C_DecryptUpdate)                                                                    \
    X_FINAL(X, C_DecryptFinal)                                                                     \
    X(C_DigestInit, (SESSION, MECHANISM), (session, mechanism), NO_SLOT, NO_OUT)                   \
    X_CRYPT(X, C_Digest)                                                                           \
    X_FEED(X, C_DigestUpdate)                                                                      \
    X(C_DigestKey, (SESSION, KEY), (session, key), NO_SLOT, NO_OUT)                                \
    X_FINAL(X, C_DigestFinal)                                                                      \
    X_INIT(X, C_SignInit)                                                                          \
    X_CRYPT(X, C_Sign)                                                                             \
    X_FEED(X, C_SignUpdate)                                                                        \
    X_FINAL(X, C_SignFinal)                                                                        \
    X_INIT(X, C_SignRecoverInit)                                                                   \
    X_CRYPT(X, C_SignRecover)                                                                      \
    X_INIT(X, C_VerifyInit)                                                                        \
    X(C_Verify, (SESSION, BYTES_IN, CK_BYTE * signature, CK_ULONG len),                            \
      (session, in, in_len, signature, len), NO_SLOT, NO_OUT)                                      \
    X_FEED(X, C_VerifyUpdate)                                                                      \
    X_FEED(X, C_VerifyFinal)                                                                       \
    X_INIT(X, C_VerifyRecoverInit)                                                                 \
    X_CRYPT(X, C_VerifyRecover)                                                                    \
    X_CRYPT(X, C_DigestEncryptUpdate)                                                              \
    X_CRYPT(X, C_DecryptDigestUpdate)                                                              \
    X_CRYPT(X, C_SignEncryptUpdate)                                                                \
    X_CRYPT(X, C_DecryptVerifyUpdate)

#define FUNCTIONS_KEY(X)                                                                           \
    X(C_GenerateKey, (SESSION, MECHANISM, TEMPLATE, CK_OBJECT_HANDLE * ret),                       \
      (session, mechanism, template, n, ret), NO_SLOT, THE_HANDLE)                                 \
    X(C_GenerateKeyPair,                                                                           \
      (SESSION, MECHANISM, CK_ATTRIBUTE * public_template, CK_ULONG public_n, TEMPLATE,            \
       CK_OBJECT_HANDLE * public_key, CK_OBJECT_HANDLE * ret),                                     \
      (session, mechanism, public_template, public_n, template, n, public_key, ret), NO_SLOT,      \
      THE_HANDLE)                                                                                  \
    X(C_WrapKey, (SESSION, MECHANISM, CK_OBJECT_HANDLE by, KEY, BYTES_OUT),                        \
      (session, mechanism, by, key, out, out_len), NO_SLOT, THE_BYTES)                             \
    X(C_UnwrapKey, (SESSION, MECHANISM, KEY, BYTES_IN, TEMPLATE, CK_OBJECT_HANDLE * ret),          \
      (session, mechanism, key, in, in_len, template, n, ret), NO_SLOT, THE_HANDLE)                \
    X(C_DeriveKey, (SESSION, MECHANISM, KEY, TEMPLATE, CK_OBJECT_HANDLE * ret),                    \
      (session, mechanism, key, template, n, ret), NO_SLOT, THE_HANDLE)                            \
    X_FEED(X, C_SeedRandom)                                                                        \
    X(C_GenerateRandom, (SESSION, CK_BYTE * out, CK_ULONG len), (session, out, len), NO_SLOT,      \
      OUT_OF(OUT_STRUCT, out, NULL, len))

#define FUNCTIONS(X)                                                                               \
    FUNCTIONS_GENERAL(X)                                                                           \
    FUNCTIONS_SESSION(X)                                                                           \
    FUNCTIONS_OBJECT(X)                                                                            \
    FUNCTIONS_CRYPT(X)                                                                             \
    FUNCTIONS_KEY(X)

/* Their numbers. */
#define FUNCTION_NUMBER(name, parameters, arguments, slot, out) FUNCTION_##name,
enum function { FUNCTIONS(FUNCTION_NUMBER) FUNCTION_COUNT, FUNCTION_ANY = FUNCTION_COUNT };

#endif
