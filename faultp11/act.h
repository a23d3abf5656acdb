/* SPDX-License-Identifier: Apache-2.0 */
/* What the actions do. */
#ifndef FAULTP11_ACT_H
#define FAULTP11_ACT_H

#include "call.h"

/* What is to happen before the real call; may answer instead of it, or never return. */
void act_before(CK_FUNCTION_LIST *real, struct call *call);

/* What is to happen after it, to its answer too. Yields what the program gets to see. */
CK_RV act_after(const struct call *call, CK_RV rv);

#endif
