/* SPDX-License-Identifier: Apache-2.0 */
/* The KMS messages written and read by hand: a client that shares no generated code with the
 * server, and can send what no good client would. */
#ifndef P11KMS_TEST_WIRE_H
#define P11KMS_TEST_WIRE_H

#include "kms_client.h"

enum wire_method { WIRE_STATUS, WIRE_ENCRYPT, WIRE_DECRYPT };

enum { WIRE_MESSAGE_MAX = 4096, WIRE_PATH_MAX = 63 };

/* "/v2.KeyManagementService/Encrypt"; Status is Version in v1beta1. */
void wire_path(enum kms_api_version version, enum wire_method method,
               char ret[static WIRE_PATH_MAX + 1]);

/* Appends a length-delimited field. */
void wire_put_field(struct writer *w, unsigned number, struct bytes value);

/* Append a request; check w->full. */
void wire_put_status(struct writer *w, enum kms_api_version version);
void wire_put_encrypt(struct writer *w, enum kms_api_version version, struct bytes plaintext);

struct wire_decrypt {
    enum kms_api_version version;
    struct bytes ciphertext;
    struct bytes key_id; /* not in v1beta1 */
    bool annotation;     /* add one; not in v1beta1 */
};

void wire_put_decrypt(struct writer *w, const struct wire_decrypt *decrypt);

/* The last length-delimited field of that number; empty when there is none. */
struct bytes wire_field(struct bytes message, unsigned number);

/* Of an EncryptResponse: its ciphertext and, but for v1beta1, its key_id. Of a DecryptResponse:
 * its plaintext. The numbers are the same in all versions. */
enum { WIRE_OUTPUT = 1, WIRE_ENCRYPT_KEY_ID = 2, WIRE_STATUS_HEALTHZ = 2, WIRE_STATUS_KEY_ID = 3 };

#endif
