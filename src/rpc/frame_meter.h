/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the HTTP/2 frames of one connection, and tells when its client asks for more than any
 * client that works. gRPC core 1.51 takes any number of frames that ask for nothing or are taken
 * back at once, and of calls whose replies nobody reads, and pays each with some KiB. */
#ifndef P11KMS_FRAME_METER_H
#define P11KMS_FRAME_METER_H

#include "bytes.h"

enum {
    FRAME_HEADER = 9,
    FRAME_PREFACE = 24,
    METER_RESETS_PER_S = 2000, /* calls taken back */
    METER_RESETS_BURST = 800,  /* all calls of a connection may expire at once: RPC_STREAMS_MAX */
    METER_IDLE_PER_S = 2000,   /* frames that ask for nothing: pings, settings, priorities, ... */
    METER_IDLE_BURST = 2000,
    METER_IDLE_PER_CALL = 4, /* and so many more for each call */
    /* Calls begun and not answered: what was not read counts. gRPC refuses more than
     * RPC_STREAMS_MAX itself, but only where the client has acknowledged that setting. */
    METER_OPEN_MAX = 800,
    METER_HEADERS_MAX = 32 * 1024,      /* bytes of one header block */
    METER_UNFINISHED_MAX = 1024 * 1024, /* bytes of requests since one was finished */
    /* Looks (RPC_LOOK_MS) while requests were unfinished and none was finished: more than 10 s. A
     * client sends a request's end right behind its beginning; and longer than 10 s no call waits
     * for us, should the count be wrong. In looks, not in time, so that a process that was stopped
     * for a while has read what came meanwhile before it judges. */
    METER_UNFINISHED_LOOKS = 5
};

/* Where one direction's stream of bytes is between two reads. */
struct frame_position {
    uint8_t header[FRAME_HEADER];
    uint32_t in_header; /* bytes of it seen */
    uint32_t left;      /* of the payload; of the preface at first */
};

struct frame_meter {
    struct frame_position in, out;
    int64_t refilled_ns;
    int64_t last_call_ns;  /* when a call was begun last; at first when the connection was made */
    uint32_t resets, idle; /* what is left of either allowance */
    uint32_t open;         /* calls begun and not ended by either side */
    /* Requests whose end has not come; without those whose call we ended first, and, as frames do
     * not say which they were, perhaps without some that were taken back. */
    uint32_t unfinished;
    uint32_t looks; /* since the end of one came */
    uint32_t header_bytes, unfinished_bytes;
    const char *wrong; /* the limit that was broken; NULL: none */
};

void frame_meter_start(struct frame_meter *meter, int64_t now_ns);

/* What was received from the client. False once a limit is broken: the connection is to end. */
bool frame_meter_received(struct frame_meter *meter, struct bytes part, int64_t now_ns);

/* What was sent to it. */
void frame_meter_sent(struct frame_meter *meter, struct bytes part);

/* Once every RPC_LOOK_MS. False as above. */
bool frame_meter_look(struct frame_meter *meter);

#endif
