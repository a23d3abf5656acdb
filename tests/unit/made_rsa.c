/* SPDX-License-Identifier: Apache-2.0 */
#include "made_rsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

static EVP_PKEY *made_outside(unsigned bits)
{
    char command[128];
    (void)snprintf(command, sizeof command,
                   "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:%u", bits);
    FILE *from = popen(command, "r");
    assert_non_null(from);
    EVP_PKEY *key = PEM_read_PrivateKey(from, NULL, NULL, NULL);
    assert_int_equal(pclose(from), 0);
    return key;
}

EVP_PKEY *made_rsa(unsigned bits)
{
    EVP_PKEY *key = getenv("P11KMS_MEMCHECK") ? made_outside(bits) : EVP_RSA_gen(bits);
    assert_non_null(key);
    return key;
}
