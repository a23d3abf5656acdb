/* SPDX-License-Identifier: Apache-2.0 */
#include "kms_check.h"

#include <string.h>

const char *kms_encrypt_objection(const struct kms_request *request)
{
    if (request->input.len == 0)
        return "the plaintext is empty";
    if (request->input.len > PLAINTEXT_MAX)
        return "the plaintext is longer than 512 bytes: this wraps keys, not data";
    return NULL;
}

const char *kms_decrypt_objection(const struct kms_request *request,
                                  const struct ring_rules *served, struct object_id *ret_id,
                                  enum err_code *ret_code)
{
    struct envelope envelope;
    char ring[RING_NAME_MAX + 1];
    *ret_code = ERR_INVALID;
    if (request->input.len == 0)
        return "the ciphertext is empty";
    if (err_is(envelope_parse(request->input, &envelope)))
        return "the ciphertext is no p11-kms envelope, or it is damaged";
    if (envelope.family != request->family)
        return request->family == FAMILY_V1
                   ? "the ciphertext was not sealed through KMS v1: refused for this API"
                   : "the ciphertext was not sealed through KMS v2: refused for this API";
    if (request->has_key_id && !bytes_equal(request->key_id, envelope.key_id))
        return "the key_id is not the one in the ciphertext";
    /* A managed ring never had keys of another length: what names one is damaged, not lost. */
    if (err_is(key_id_parse(envelope.key_id, ring, ret_id)) ||
        (!served->external && ret_id->len != UUID_BYTES))
        return "the ciphertext names no valid key_id";
    if (strcmp(ring, served->name) == 0)
        return NULL;
    *ret_code = ERR_NOT_FOUND;
    return "the ciphertext was sealed by another ring than the one served here";
}
