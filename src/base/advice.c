/* SPDX-License-Identifier: Apache-2.0 */
#include "advice.h"

#include <stdarg.h>
#include <stdio.h>

void advice_set(struct advice *advice, enum remedy remedy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    advice->remedy = remedy;
    (void)vsnprintf(advice->text, sizeof advice->text, format, args);
    va_end(args);
}
