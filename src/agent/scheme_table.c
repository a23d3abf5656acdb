/* SPDX-License-Identifier: Apache-2.0 */
#include "scheme.h"

static const struct scheme_ops *const schemes[] = {
    &scheme_aes_gcm,
};

const struct scheme_ops *scheme_find(enum scheme scheme)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (schemes[i]->scheme == scheme)
            return schemes[i];
    return NULL;
}
