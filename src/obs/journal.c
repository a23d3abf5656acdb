/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static _Atomic(const char *) socket_path = "/run/systemd/journal/socket";
static atomic_int socket_fd = -1; /* not connected: it outlives a restart of journald */

void journal_use(const char *path)
{
    socket_path = path;
}

static void put_name(struct writer *w, const char *name)
{
    for (const char *at = name; *at; at++)
        put_u8(w, (uint8_t)(isalnum((unsigned char)*at) ? toupper((unsigned char)*at) : '_'));
}

/* The form with a length, little-endian: it needs no escapes. */
void journal_put(struct writer *w, const char *prefix, const char *name, struct bytes value)
{
    size_t before = w->len;
    put_name(w, prefix);
    put_name(w, name);
    put_u8(w, '\n');
    for (unsigned i = 0; i < 8; i++)
        put_u8(w, (uint8_t)((uint64_t)value.len >> (8 * i)));
    put_bytes(w, value);
    put_u8(w, '\n');
    if (w->full)
        *w = (struct writer){.data = w->data, .capacity = w->capacity, .len = before};
}

static int our_socket(void)
{
    int none = -1, fd = atomic_load(&socket_fd);
    if (fd >= 0)
        return fd;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || atomic_compare_exchange_strong(&socket_fd, &none, fd))
        return fd;
    (void)close(fd);
    return none; /* another thread was quicker */
}

enum journal_end journal_send(struct bytes entry)
{
    struct sockaddr_un journald = {.sun_family = AF_UNIX};
    ssize_t sent;
    int fd = our_socket();
    if (fd < 0)
        return JOURNAL_GONE;
    (void)snprintf(journald.sun_path, sizeof journald.sun_path, "%s", socket_path);
    do
        sent = sendto(fd, entry.data, entry.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)&journald, sizeof journald);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return JOURNAL_TAKEN;
    return errno == EAGAIN || errno == ENOBUFS ? JOURNAL_FULL : JOURNAL_GONE;
}
