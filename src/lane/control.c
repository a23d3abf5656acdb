/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include "io.h"

#include <string.h>
#include <unistd.h>

enum { CONTROL_PACKET_MAX = 16 + CONTROL_TEXT_MAX };

struct err control_send(int fd, const struct control_message *message, const int *fds, size_t n_fds)
{
    uint8_t packet[CONTROL_PACKET_MAX];
    struct writer w = writer_over(packet, sizeof packet);
    put_u8(&w, (uint8_t)message->op);
    put_u64(&w, message->generation);
    put_u8(&w, message->ok);
    put_sized(&w, bytes_of_string(message->text));
    if (w.full)
        return err_make(ERR_INTERNAL, "control_send");
    return packet_send(fd, writer_bytes(&w), fds, n_fds);
}

static struct err decode(struct bytes packet, struct control_message *ret)
{
    struct control_message message = {.generation = 0};
    struct reader r = reader_over(packet);
    message.op = (enum control_op)get_u8(&r);
    message.generation = get_u64(&r);
    message.ok = get_u8(&r) != 0;
    bool text = bytes_to_string(get_sized(&r), message.text, sizeof message.text);
    if (!text || !reader_done(&r) || message.op < CONTROL_LANES || message.op > CONTROL_HEALTH)
        return err_make(ERR_INTERNAL, "control_receive");
    *ret = message;
    return ERR_OK;
}

struct err control_receive(int fd, struct control_message *ret, int *fds, size_t max_fds,
                           size_t *ret_n_fds)
{
    uint8_t packet[CONTROL_PACKET_MAX];
    size_t len = 0, n = 0;
    TRY(packet_receive(fd, packet, sizeof packet, &len, fds, max_fds, &n));
    struct err e = decode(bytes_of(packet, len), ret);
    while (err_is(e) && n > 0)
        (void)close(fds[--n]);
    if (!err_is(e))
        *ret_n_fds = n;
    return e;
}
