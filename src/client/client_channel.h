/* SPDX-License-Identifier: Apache-2.0 */
/* A gRPC channel over one connected AF_UNIX socket. */
#ifndef P11KMS_CLIENT_CHANNEL_H
#define P11KMS_CLIENT_CHANNEL_H

#include "error.h"

#include <grpc/grpc.h>

/* Connects to a path, or to the abstract name after '@'. authority: what :authority says;
 * receive_max: bytes of a response. The channel never connects again: who lost it opens another.
 * Errors as kms_client_open. */
MUST_CHECK struct err client_channel_open(const char *path, const char *authority, int receive_max,
                                          grpc_channel **ret);

enum { CLIENT_RECEIVE_MAX = 4 << 20 };

#endif
