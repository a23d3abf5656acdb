/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that p11-kms would never make, through the module itself: in a child, so that this
 * process stays free of the module's threads and state. */
#include "fixture.h"

#include "cleanup.h"
#include "io.h"

#include <p11-kit/p11-kit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static CK_SESSION_HANDLE log_in(CK_FUNCTION_LIST *module, const struct fixture *f)
{
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_SESSION_HANDLE session = 0;
    uint8_t pin[256];
    size_t len = 0;
    char path[PATH_MAX];
    fixture_path(f, "pin", path);
    if (err_is(file_read(path, pin, sizeof pin, &len)) || len < 1 ||
        module->C_Initialize(NULL) != CKR_OK ||
        module->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK || n < 1 ||
        module->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                              &session) != CKR_OK ||
        module->C_Login(session, CKU_USER, pin, len - 1) != CKR_OK)
        _exit(1);
    return session;
}

static CK_ATTRIBUTE flag(CK_ATTRIBUTE_TYPE type, bool value)
{
    static CK_BBOOL truth[] = {CK_FALSE, CK_TRUE};
    return (CK_ATTRIBUTE){type, &truth[value], 1};
}

/* One object of the KEK that has this CKA_ID. */
static bool generate(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                     const struct key_demand *demand, const struct object_id *id, const char *name,
                     const struct odd_key *odd)
{
    CK_ULONG length = demand->length_min;
    CK_MECHANISM mechanism = {
        demand->type == KEY_TYPE_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE handle;
    char label[KEY_LABEL_MAX + 1];
    struct object_id copy = *id;
    (void)bytes_to_string(bytes_of_string(name), label, sizeof label);
    CK_ATTRIBUTE template[] = {
        {CKA_VALUE_LEN, &length, sizeof length},
        {CKA_ID, copy.data, copy.len},
        {CKA_LABEL, label, strlen(label)},
        flag(CKA_TOKEN, true),
        flag(CKA_PRIVATE, true),
        flag(CKA_SENSITIVE, true),
        flag(CKA_EXTRACTABLE, odd->extractable),
        flag(CKA_WRAP, odd->wrap),
        flag(CKA_ENCRYPT, (demand->usages & ATTR_BIT(ATTR_ENCRYPT)) != 0),
        flag(CKA_DECRYPT, (demand->usages & ATTR_BIT(ATTR_DECRYPT)) != 0),
        flag(CKA_SIGN, (demand->usages & ATTR_BIT(ATTR_SIGN)) != 0),
        flag(CKA_VERIFY, false),
        flag(CKA_UNWRAP, false),
        flag(CKA_DERIVE, false),
    };
    return module->C_GenerateKey(session, &mechanism, template, sizeof template / sizeof *template,
                                 &handle) == CKR_OK;
}

/* That of another object of the KEK whose first has this label; of an active one where it says
 * nothing. */
static const char *label_beside(const struct fixture *f, const char *first, size_t role)
{
    struct key_label label;
    if (err_is(key_label_parse(bytes_of_string(first), &label)) ||
        label.scheme != f->scheme->scheme)
        return fixture_label(f, 1, role, KEY_ACTIVE);
    return fixture_label(f, label.generation, role, label.state);
}

/* The object that is odd, then those that belong to it and are as they must be. */
static bool generate_all(CK_FUNCTION_LIST *module, const struct fixture *f,
                         const struct odd_key *key)
{
    enum scheme scheme = f->scheme->scheme;
    CK_SESSION_HANDLE session = log_in(module, f);
    const struct odd_key good = {.id = key->id};
    struct object_id first, id;
    char label[KEY_LABEL_MAX + 1];
    const char *name = key->label ? key->label : fixture_label(f, 1, 0, KEY_ACTIVE);
    if (!bytes_to_string(bytes_of_string(name), label, sizeof label) ||
        err_is(object_id_from(bytes_of_string(key->id), &first)) ||
        !generate(module, session, key_demand(scheme, 0, 0), &first, label, key))
        return false;
    for (size_t role = 1; role < scheme_roles(scheme) && !key->alone; role++)
        if (err_is(object_id_of_role(&first, scheme, role, &id)) ||
            !generate(module, session, key_demand(scheme, role, 0), &id,
                      label_beside(f, label, role), &good))
            return false;
    return true;
}

static void make(const struct fixture *f, const struct odd_key *key)
{
    CK_FUNCTION_LIST *module = p11_kit_module_load(f->config.module, P11_KIT_MODULE_UNMANAGED);
    _exit(module && generate_all(module, f, key) ? 0 : 1);
}

void fixture_make_odd_key(struct fixture *f, const struct odd_key *key)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        make(f, key);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}
