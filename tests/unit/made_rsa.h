/* SPDX-License-Identifier: Apache-2.0 */
#ifndef P11KMS_TEST_MADE_RSA_H
#define P11KMS_TEST_MADE_RSA_H

#include <openssl/evp.h>

/* A new RSA key pair of that many bits, which the caller frees. Where memcheck runs
 * (P11KMS_MEMCHECK), openssl makes it outside: looking for primes takes a minute under valgrind. */
EVP_PKEY *made_rsa(unsigned bits);

#endif
