/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of a request by its looks alone, before any token is asked. */
#ifndef P11KMS_KMS_CHECK_H
#define P11KMS_KMS_CHECK_H

#include "keyring.h"
#include "kms.h"

/* What is wrong with an Encrypt, for the client, as ERR_INVALID; NULL: nothing. */
const char *kms_encrypt_objection(const struct kms_request *request);

/* What is wrong with a Decrypt, for the client; NULL: nothing, and ret_id is the KEK that the
 * envelope names. ret_code: ERR_INVALID for a malformed envelope, another API family or a key_id
 * unlike the envelope's; ERR_NOT_FOUND for another ring's. */
const char *kms_decrypt_objection(const struct kms_request *request,
                                  const struct ring_rules *served, struct object_id *ret_id,
                                  enum err_code *ret_code);

#endif
