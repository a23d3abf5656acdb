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

static void make(const struct fixture *f, const struct odd_key *key)
{
    CK_FUNCTION_LIST *module = p11_kit_module_load(f->config.module, P11_KIT_MODULE_UNMANAGED);
    const struct key_demand *demand = key_demand(f->scheme->scheme, 0, 0);
    CK_ULONG length = demand->length_min;
    char id[17], label[KEY_LABEL_MAX + 1];
    CK_MECHANISM mechanism = {
        demand->type == KEY_TYPE_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE handle;
    const char *name = key->label ? key->label : fixture_label(f, 1, KEY_ACTIVE);
    (void)bytes_to_string(bytes_of_string(key->id), id, sizeof id);
    (void)bytes_to_string(bytes_of_string(name), label, sizeof label);
    CK_ATTRIBUTE template[] = {
        {CKA_VALUE_LEN, &length, sizeof length},
        {CKA_ID, id, strlen(key->id)},
        {CKA_LABEL, label, strlen(label)},
        flag(CKA_TOKEN, true),
        flag(CKA_PRIVATE, true),
        flag(CKA_SENSITIVE, true),
        flag(CKA_EXTRACTABLE, key->extractable),
        flag(CKA_WRAP, key->wrap),
        flag(CKA_ENCRYPT, (demand->usages & ATTR_BIT(ATTR_ENCRYPT)) != 0),
        flag(CKA_DECRYPT, (demand->usages & ATTR_BIT(ATTR_DECRYPT)) != 0),
        flag(CKA_SIGN, (demand->usages & ATTR_BIT(ATTR_SIGN)) != 0),
        flag(CKA_VERIFY, false),
        flag(CKA_UNWRAP, false),
        flag(CKA_DERIVE, false),
    };
    if (!module)
        _exit(1);
    CK_SESSION_HANDLE session = log_in(module, f);
    _exit(module->C_GenerateKey(session, &mechanism, template, sizeof template / sizeof *template,
                                &handle) == CKR_OK
              ? 0
              : 1);
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
