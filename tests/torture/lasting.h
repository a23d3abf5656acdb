/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that stay for a while. */
#ifndef P11KMS_TORTURE_LASTING_H
#define P11KMS_TORTURE_LASTING_H

#include "kinds.h"
#include "scene.h"

/* Every function among the calls, once. */
void lasting_functions(const struct calls *calls, struct calls *ret);

/* A function that fails at every call, from the start of an agent on: what calls meet Status must
 * tell, codes must be right, and all is well by itself once the fault is gone. */
void lasting_case(struct scene *s, const char *function, const struct kind *kind,
                  struct verdict *v);

#endif
