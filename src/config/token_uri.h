/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#11 URIs (RFC 7512) that name a token. */
#ifndef P11KMS_TOKEN_URI_H
#define P11KMS_TOKEN_URI_H

#include "values.h"

value_parser parse_token_uri; /* char[] */

#endif
