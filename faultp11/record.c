/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t count_before(int fd, off_t end, const char *name)
{
    char record[RECORD_BYTES];
    uint64_t n = 0;
    size_t len = strlen(name);
    for (off_t at = 0; at < end; at += RECORD_BYTES)
        if (pread(fd, record, sizeof record, at) == (ssize_t)sizeof record)
            n += memcmp(record, name, len) == 0 && record[len] == ' ';
    return n;
}

struct numbers record_call(const char *path, enum function function, bool want_function)
{
    char record[RECORD_BYTES + 1];
    struct numbers numbers = {0, 0};
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return numbers;
    (void)snprintf(record, sizeof record, "%-28s pid %-*ld\n", function_name(function),
                   RECORD_BYTES - 28 - 6, (long)getpid());
    if (write(fd, record, RECORD_BYTES) == RECORD_BYTES) {
        off_t end = lseek(fd, 0, SEEK_CUR);
        numbers.overall = (uint64_t)end / RECORD_BYTES;
        if (want_function)
            numbers.of_function = count_before(fd, end, function_name(function));
    }
    (void)close(fd);
    return numbers;
}

void record_fault(const char *path, enum function function, const struct action *action)
{
    char record[160];
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    int len = snprintf(record, sizeof record, "%s pid %ld %s\n", function_name(function),
                       (long)getpid(), action->text);
    if (write(fd, record, (size_t)len) != len)
        (void)fputs("faultp11: the list of faults cannot be written\n", stderr);
    (void)close(fd);
}
