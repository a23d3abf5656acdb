/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the one token that an RFC 7512 URI names. */
#ifndef P11KMS_P11_TOKEN_H
#define P11KMS_P11_TOKEN_H

#include "p11_module.h"

#include "quirks.h"

/* What the token says of its user PIN. */
struct p11_pin_flags {
    bool login_required;
    bool count_low; /* at least one wrong PIN since the last good one */
    bool final_try; /* the next wrong PIN locks it */
    bool locked;
    bool protected_path; /* the PIN is given at the token itself */
};

/* From CK_TOKEN_INFO; texts are terminated, without trailing blanks. */
struct p11_token {
    unsigned long slot;
    char label[33];
    char manufacturer[33];
    char model[17];
    char serial[17];
    struct p11_pin_flags pin;
    uint32_t quirks; /* for quirks_have, once p11_token_quirks has set them */
};

/* ERR_UNAVAILABLE when no token matches, ERR_TOKEN when two do or when it was never initialised;
 * advice names the URI and the tokens that are there. */
MUST_CHECK struct err p11_token_find(const struct p11_module *module, const char *uri,
                                     struct p11_token *ret, struct advice *advice);

/* Sets the token's quirks, by its names and those of the module at path. */
MUST_CHECK struct err p11_token_quirks(const struct p11_module *module, const char *path,
                                       struct p11_token *token);

/* The PIN flags as they are now. */
MUST_CHECK struct err p11_token_pin_flags(const struct p11_module *module, unsigned long slot,
                                          struct p11_pin_flags *ret);

#endif
