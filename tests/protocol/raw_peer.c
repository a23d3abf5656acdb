/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_peer.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char raw_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

void put_frame(struct writer *w, uint8_t type, uint8_t flags, uint32_t stream, struct bytes payload)
{
    const uint8_t header[] = {(uint8_t)(payload.len >> 16),
                              (uint8_t)(payload.len >> 8),
                              (uint8_t)payload.len,
                              type,
                              flags,
                              (uint8_t)(stream >> 24),
                              (uint8_t)(stream >> 16),
                              (uint8_t)(stream >> 8),
                              (uint8_t)stream};
    put_bytes(w, bytes_of(header, sizeof header));
    put_bytes(w, payload);
}

/* HPACK: a literal that is never indexed. */
void put_header(struct writer *w, const char *name, const char *value)
{
    put_u8(w, 0x10);
    put_u8(w, (uint8_t)strlen(name));
    put_bytes(w, bytes_of_string(name));
    put_u8(w, (uint8_t)strlen(value));
    put_bytes(w, bytes_of_string(value));
}

void put_call(struct writer *w, uint32_t stream, uint8_t flags, const char *path)
{
    uint8_t memory[256];
    struct writer block = writer_over(memory, sizeof memory);
    put_header(&block, ":method", "POST");
    put_header(&block, ":scheme", "http");
    put_header(&block, ":path", path);
    put_header(&block, ":authority", "localhost");
    put_header(&block, "content-type", "application/grpc");
    put_header(&block, "te", "trailers");
    put_frame(w, FRAME_HEADERS, flags, stream, writer_bytes(&block));
}

void put_greeting(struct writer *w, bool window)
{
    put_bytes(w, bytes_of_string(raw_preface));
    put_frame(w, FRAME_SETTINGS, 0, 0, bytes_of("\0\4\0\0\0\0", window ? 0 : 6));
}

int connect_raw(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}
