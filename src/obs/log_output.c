/* SPDX-License-Identifier: Apache-2.0 */
#include "log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever reads the log may have stopped: a disk is full, a container's runtime hangs, a terminal
 * was left. Neither the requests nor the restart of an agent wait for that. O_NONBLOCK would do,
 * but it belongs to the open file that we share with whoever started us, and with their other
 * children: so a pipe or a terminal is opened once more, for us alone. */
enum way {
    WAY_AS_IT_IS, /* files; and what another user owns, who has not given us the right to open it */
    WAY_OURS,
    WAY_SOCKET
};

static _Atomic enum way way = WAY_AS_IT_IS;
static atomic_int ours = -1; /* never closed, as another thread may just write to it */

/* The last line was cut short. Its other half is lost, but what follows is no part of it. */
static atomic_bool torn;

static int open_again(void)
{
    return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool make_ours(void)
{
    int fd = open_again(), old = atomic_load(&ours);
    if (fd < 0)
        return false;
    if (old < 0) {
        atomic_store(&ours, fd);
        return true;
    }
    bool taken = dup3(fd, old, O_CLOEXEC) >= 0;
    (void)close(fd);
    return taken;
}

void log_output_setup(void)
{
    struct stat st;
    enum way found = WAY_AS_IT_IS;
    if (fstat(STDERR_FILENO, &st) == 0) {
        if (S_ISSOCK(st.st_mode))
            found = WAY_SOCKET;
        else if ((S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO) == 1) && make_ours())
            found = WAY_OURS;
    }
    atomic_store(&way, found);
}

/* The best that is left where it would wait: a pipe with room has it for a whole line, unless
 * somebody else is quicker. */
static bool has_room(void)
{
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&log, 1, 0) > 0;
}

static ssize_t write_once(struct bytes piece)
{
    switch (atomic_load(&way)) {
    case WAY_OURS:
        return write(atomic_load(&ours), piece.data, piece.len);
    case WAY_SOCKET:
        return send(STDERR_FILENO, piece.data, piece.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_AS_IT_IS:
        break;
    }
    errno = EAGAIN;
    return has_room() ? write(STDERR_FILENO, piece.data, piece.len) : -1;
}

static size_t write_some(struct bytes piece)
{
    ssize_t written;
    do
        written = write_once(piece);
    while (written < 0 && errno == EINTR);
    return written > 0 ? (size_t)written : 0;
}

static bool end_torn_line(void)
{
    if (!atomic_exchange(&torn, false))
        return true;
    bool ended = write_some(bytes_of_string("\n")) == 1;
    if (!ended)
        atomic_store(&torn, true);
    return ended;
}

bool log_output_write(struct bytes line)
{
    if (!end_torn_line())
        return false;
    size_t written = write_some(line);
    if (written > 0 && written < line.len)
        atomic_store(&torn, true);
    return written == line.len;
}
