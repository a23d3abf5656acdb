/* SPDX-License-Identifier: Apache-2.0 */
#include "pid_file.h"

#include "cleanup.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { PID_TEXT = 16 };

struct err pid_file_open(const char *path, int *ret)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(errno, "open");
    *ret = fd;
    return ERR_OK;
}

void pid_file_sign(int fd)
{
    char text[PID_TEXT];
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        (void)ftruncate(fd, 0);
}

pid_t pid_file_holder(int fd)
{
    char text[PID_TEXT];
    uint64_t pid;
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_is(parse_u64(text, 1, INT_MAX, &pid)) ? 0 : (pid_t)pid;
}

pid_t pid_file_locked_by(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return pid_file_holder(fd);
}
