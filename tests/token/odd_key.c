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

static void make(const struct fixture *f, const struct odd_key *key)
{
    CK_FUNCTION_LIST *module = p11_kit_module_load(f->config.module, P11_KIT_MODULE_UNMANAGED);
    CK_ULONG length = 32;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BBOOL extractable = key->extractable, wrap = key->wrap;
    char id[17], label[KEY_LABEL_MAX + 1];
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE handle;
    (void)bytes_to_string(bytes_of_string(key->id), id, sizeof id);
    (void)bytes_to_string(bytes_of_string(key->label), label, sizeof label);
    CK_ATTRIBUTE template[] = {
        {CKA_VALUE_LEN, &length, sizeof length},
        {CKA_ID, id, strlen(key->id)},
        {CKA_LABEL, label, strlen(key->label)},
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &extractable, 1},
        {CKA_WRAP, &wrap, 1},
        {CKA_ENCRYPT, &yes, 1},
        {CKA_DECRYPT, &yes, 1},
        {CKA_SIGN, &no, 1},
        {CKA_VERIFY, &no, 1},
        {CKA_UNWRAP, &no, 1},
        {CKA_DERIVE, &no, 1},
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
