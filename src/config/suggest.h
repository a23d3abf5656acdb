/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody who wrote an unknown key may have meant. */
#ifndef P11KMS_CONFIG_SUGGEST_H
#define P11KMS_CONFIG_SUGGEST_H

/* The path of the known key nearest to a dotted path: a near spelling beside it, or the same
 * name in another section. NULL when nothing is near. */
const char *suggest_key(const char *path);

#endif
