/* SPDX-License-Identifier: Apache-2.0 */
/* Covers config_load: text checks, libyaml, libcyaml and every value parser. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    struct config_error error;
    char text[1024];
    memset(&error, 0, sizeof error);
    struct err e = config_load(bytes_of(data, size), &config, &error);
    if (!err_is(e))
        return 0;
    /* A rejection always says why, on a line that the file has (or the one behind its end). */
    (void)config_error_format("f", &error, text, sizeof text);
    if (e.code != ERR_CONFIG || !error.message[0] || error.line > size + 2)
        abort();
    return 0;
}
