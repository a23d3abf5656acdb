/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_module.h"

#include "p11_call.h"
#include "p11_text.h"
#include "quirks.h"

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

struct err p11_library_read(const struct p11_module *module, const char *path,
                            struct p11_library *ret)
{
    CK_INFO info = {.flags = 0};
    const char *slash = strrchr(path, '/');
    TRY(P11_CALL(module, C_GetInfo, &info));
    ret->file = slash ? slash + 1 : path;
    p11_text(info.manufacturerID, sizeof info.manufacturerID, ret->manufacturer);
    p11_text(info.libraryDescription, sizeof info.libraryDescription, ret->description);
    ret->version = QUIRKS_VERSION(info.libraryVersion.major, info.libraryVersion.minor);
    return ERR_OK;
}

uint32_t p11_library_quirks(const struct p11_library *library, const char *manufacturer,
                            const char *model)
{
    const struct token_names names = {.module = library->file,
                                      .library = library->manufacturer,
                                      .manufacturer = manufacturer,
                                      .model = model,
                                      .description = library->description,
                                      .version = library->version};
    return quirks_of(&names);
}

/* Before a token is known: its names are none's. */
static bool bears_one_call(const struct p11_module *module, const char *path)
{
    struct p11_library library;
    return !err_is(p11_library_read(module, path, &library)) &&
           quirks_have(p11_library_quirks(&library, "", ""), QUIRK_ONE_CALL);
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
    module->turns = bears_one_call(module, path) ? &turns : NULL;
    *ret = module;
    return ERR_OK;
}
