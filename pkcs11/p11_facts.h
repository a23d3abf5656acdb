/* SPDX-License-Identifier: Apache-2.0 */
/* What module and token say of themselves: for `p11-kms doctor`. */
#ifndef P11KMS_P11_FACTS_H
#define P11KMS_P11_FACTS_H

#include "p11_module.h"

#include "token_facts.h"

MUST_CHECK struct err p11_facts_module(const struct p11_module *module, struct module_facts *ret);

MUST_CHECK struct err p11_facts_token(const struct p11_module *module, unsigned long slot,
                                      struct token_facts *ret);

/* Of each mechanism that a scheme may need. */
MUST_CHECK struct err p11_facts_mechanisms(const struct p11_module *module, unsigned long slot,
                                           struct mechanism_facts ret[static MECHANISMS]);

#endif
