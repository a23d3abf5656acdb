/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_module.h"

#include "p11_call.h"

#include <p11-kit/p11-kit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* UNMANAGED: p11-kit's own call log prints PINs and plaintexts; a bare module has none. */
static struct err load(const char *path, CK_FUNCTION_LIST **ret, struct advice *advice)
{
    struct err missing = err_make(ERR_UNAVAILABLE, "token.module");
    if (access(path, F_OK) != 0)
        return advise(advice, missing, REMEDY_HUMAN,
                      "the PKCS#11 module %s is not there: install it or mend token.module", path);
    if (access(path, R_OK) != 0)
        return advise(advice, missing, REMEDY_HUMAN,
                      "the PKCS#11 module %s may not be read by us: mend its mode or owner", path);
    p11_kit_be_quiet();
    CK_FUNCTION_LIST *functions = p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED);
    if (!functions) {
        const char *why = p11_kit_message();
        return advise(advice, err_make(ERR_TOKEN, "token.module"), REMEDY_HUMAN,
                      "%s is no PKCS#11 module: %s; mend token.module", path,
                      why ? why : "it did not load");
    }
    *ret = functions;
    return ERR_OK;
}

static struct err initialise(struct p11_module *module, const char *path, struct advice *advice)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    struct err e = P11_CALL(module, C_Initialize, &args);
    if (!err_is(e) || e.native == CKR_CRYPTOKI_ALREADY_INITIALIZED)
        return ERR_OK;
    const struct p11_ckr *row = p11_ckr_find(e.native);
    return advise(advice, e, row->remedy, "%s did not start: %s: %s", path, row->name, row->text);
}

static bool begins(const CK_UTF8CHAR *blank_padded, const char *with)
{
    return memcmp(blank_padded, with, strlen(with)) == 0;
}

/* openCryptoki before its locks of objects were written anew: a token's key that was changed since
 * pkcsslotd started is read again at each use, while other threads use what is freed by that. Seen
 * in 3.8: wrong MACs, and segmentation faults. */
static bool bears_one_call(const struct p11_module *module)
{
    CK_INFO info = {.flags = 0};
    if (err_is(P11_CALL(module, C_GetInfo, &info)))
        return false;
    return begins(info.manufacturerID, "IBM ") &&
           begins(info.libraryDescription, "Meta PKCS11 LIBRARY ") &&
           info.libraryVersion.major * 256 + info.libraryVersion.minor < 3 * 256 + 14;
}

struct err p11_module_load(const char *path, struct p11_module **ret, struct advice *advice)
{
    static pthread_mutex_t turns = PTHREAD_MUTEX_INITIALIZER;
    struct p11_module *module = calloc(1, sizeof *module);
    if (!module)
        return err_make(ERR_EXHAUSTED, "p11_module_load");
    struct err e = load(path, &module->functions, advice);
    if (!err_is(e)) {
        e = initialise(module, path, advice);
        if (err_is(e))
            p11_kit_module_release(module->functions);
    }
    if (err_is(e)) {
        free(module);
        return e;
    }
    module->turns = bears_one_call(module) ? &turns : NULL;
    *ret = module;
    return ERR_OK;
}
