/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD for a monitor under valgrind, where the kernel takes /proc/self/exe for valgrind: the
 * front end that it starts from there is $P11KMS_TEST_FRONT_END. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((visibility("default"))) int execv(const char *path, char *const argv[])
{
    const char *front_end = getenv("P11KMS_TEST_FRONT_END");
    if (front_end && strcmp(path, "/proc/self/exe") == 0)
        path = front_end;
    return execve(path, argv, environ);
}
