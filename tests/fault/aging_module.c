/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module before SoftHSM, as tpm2-pkcs11 is: a process never sees what others have made
 * since it logged in, nor the labels that they have changed. $P11KMS_AGING_MODULE is SoftHSM's
 * path; $P11KMS_AGING_NAME, if set, what the module says its manufacturer is. */
#include "wrapper.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS_MAX = 512, ID_MAX = 64, LABEL_MAX = 256, TEMPLATE_MAX = 64, FOUND_MAX = 64 };

struct object {
    CK_BYTE id[ID_MAX], label[LABEL_MAX];
    CK_ULONG id_len, label_len;
};

const char wrapper_variable[] = "P11KMS_AGING_MODULE";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct object objects[OBJECTS_MAX];
static size_t n_objects;
static bool logged_in;

static bool read_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle, struct object *ret)
{
    CK_ATTRIBUTE template[] = {{CKA_ID, ret->id, ID_MAX}, {CKA_LABEL, ret->label, LABEL_MAX}};
    if (real->C_GetAttributeValue(session, handle, template, 2) != CKR_OK)
        return false;
    ret->id_len = template[0].ulValueLen;
    ret->label_len = template[1].ulValueLen;
    return true;
}

static struct object *find_locked(const struct object *object)
{
    for (size_t i = 0; i < n_objects; i++)
        if (objects[i].id_len == object->id_len &&
            memcmp(objects[i].id, object->id, object->id_len) == 0)
            return &objects[i];
    return NULL;
}

/* As it is now: at login, or because this process has made or changed it. */
static void remember(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
    struct object object;
    if (!read_object(session, handle, &object))
        return;
    pthread_mutex_lock(&lock);
    struct object *known = find_locked(&object);
    if (!known && n_objects == OBJECTS_MAX)
        abort();
    if (!known)
        known = &objects[n_objects++];
    *known = object;
    pthread_mutex_unlock(&lock);
}

static bool recall(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle, struct object *ret)
{
    struct object object;
    if (!read_object(session, handle, &object))
        return false;
    pthread_mutex_lock(&lock);
    const struct object *known = find_locked(&object);
    if (known)
        *ret = *known;
    pthread_mutex_unlock(&lock);
    return known;
}

static void read_token(CK_SESSION_HANDLE session)
{
    CK_OBJECT_HANDLE found[FOUND_MAX];
    CK_ULONG n = 0;
    if (real->C_FindObjectsInit(session, NULL, 0) != CKR_OK)
        return;
    while (real->C_FindObjects(session, found, FOUND_MAX, &n) == CKR_OK && n > 0)
        for (CK_ULONG i = 0; i < n; i++)
            remember(session, found[i]);
    (void)real->C_FindObjectsFinal(session);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv = real->C_Login(session, user, pin, len);
    bool first = rv == CKR_OK && !logged_in; /* agents log in one after the other */
    logged_in = logged_in || first;
    if (first)
        read_token(session);
    return rv;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *ret, CK_ULONG max,
                          CK_ULONG *ret_n)
{
    struct object ignored;
    CK_ULONG n = 0, kept = 0;
    do {
        CK_RV rv = real->C_FindObjects(session, ret, max, &n);
        if (rv != CKR_OK)
            return rv;
        for (CK_ULONG i = 0; i < n; i++)
            if (recall(session, ret[i], &ignored))
                ret[kept++] = ret[i];
    } while (n > 0 && kept == 0);
    *ret_n = kept;
    return CKR_OK;
}

static CK_RV give_label(const struct object *object, CK_ATTRIBUTE *wanted)
{
    CK_ULONG room = wanted->ulValueLen;
    wanted->ulValueLen = object->label_len;
    if (!wanted->pValue)
        return CKR_OK;
    if (room < object->label_len) {
        wanted->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(wanted->pValue, object->label, object->label_len);
    return CKR_OK;
}

static CK_RV get_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                            CK_ATTRIBUTE *template, CK_ULONG n)
{
    CK_ATTRIBUTE asked[TEMPLATE_MAX];
    CK_BYTE label[LABEL_MAX];
    struct object object;
    if (n > TEMPLATE_MAX || !recall(session, handle, &object))
        return real->C_GetAttributeValue(session, handle, template, n);
    for (CK_ULONG i = 0; i < n; i++) {
        asked[i] = template[i];
        if (template[i].type == CKA_LABEL)
            asked[i] = (CK_ATTRIBUTE){CKA_LABEL, label, LABEL_MAX};
    }
    CK_RV rv = real->C_GetAttributeValue(session, handle, asked, n);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_RV given = CKR_OK;
        if (template[i].type == CKA_LABEL)
            given = give_label(&object, &template[i]);
        else
            template[i].ulValueLen = asked[i].ulValueLen;
        rv = rv == CKR_OK ? given : rv;
    }
    return rv;
}

static CK_RV set_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                            CK_ATTRIBUTE *template, CK_ULONG n)
{
    CK_RV rv = real->C_SetAttributeValue(session, handle, template, n);
    if (rv == CKR_OK)
        remember(session, handle);
    return rv;
}

static CK_RV generate_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                          CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    CK_RV rv = real->C_GenerateKey(session, mechanism, template, n, ret);
    if (rv == CKR_OK)
        remember(session, *ret);
    return rv;
}

static CK_RV finalize(void *reserved)
{
    n_objects = 0;
    logged_in = false;
    return real->C_Finalize(reserved);
}

static CK_RV get_info(CK_INFO *info)
{
    const char *name = getenv("P11KMS_AGING_NAME");
    CK_RV rv = real->C_GetInfo(info);
    if (rv != CKR_OK || !name)
        return rv;
    memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
    memcpy(info->manufacturerID, name, strnlen(name, sizeof info->manufacturerID));
    return rv;
}

void wrapper_take(CK_FUNCTION_LIST *list)
{
    list->C_GetInfo = get_info;
    list->C_Finalize = finalize;
    list->C_Login = login;
    list->C_FindObjects = find_objects;
    list->C_GetAttributeValue = get_attributes;
    list->C_SetAttributeValue = set_attributes;
    list->C_GenerateKey = generate_key;
}
