/* SPDX-License-Identifier: Apache-2.0 */
/* A client without gRPC, which may send what no gRPC client would: frames put by hand. */
#ifndef P11KMS_RAW_PEER_H
#define P11KMS_RAW_PEER_H

#include "bytes.h"

enum frame {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_PRIORITY = 2,
    FRAME_RST = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_WINDOW = 8,
    FRAME_MORE = 9
};
enum { END_STREAM = 1, END_HEADERS = 4 };

#define RAW_STATUS  "/v2.KeyManagementService/Status"
#define RAW_ENCRYPT "/v2.KeyManagementService/Encrypt"
#define RAW_DECRYPT "/v2.KeyManagementService/Decrypt"

extern const char raw_preface[];

void put_frame(struct writer *w, uint8_t type, uint8_t flags, uint32_t stream,
               struct bytes payload);

/* One header of a block; both strings shorter than 127 bytes. */
void put_header(struct writer *w, const char *name, const char *value);

/* The HEADERS of a call: flags say whether they, and the request, end with them. */
void put_call(struct writer *w, uint32_t stream, uint8_t flags, const char *path);

/* What begins a connection. With no window the replies' messages cannot be sent. */
void put_greeting(struct writer *w, bool window);

/* A connected, non-blocking socket, or -1. System calls only: for children of threads as well. */
int connect_raw(const char *path);

#endif
