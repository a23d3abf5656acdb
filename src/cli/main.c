/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "secret.h"

#include <stdio.h>
#include <unistd.h>

enum { SECRET_HEAP = 1 << 19 }; /* input, its decoded form and an answer, of 64 KiB each */

int main(int argc, char **argv)
{
    /* Plaintexts pass through here. Where the kernel refuses, the command still works. */
    bool locked = false;
    (void)err_is(process_forbid_dumps());
    if (err_is(secret_init(SECRET_HEAP, &locked))) {
        (void)fputs("p11-kms: out of memory\n", stderr);
        return 1;
    }
    int code = cli_main(argc - 1, argv + 1, stdin, stdout, stderr);
    /* Threads of gRPC may still run, and its shutdown may take ten seconds. */
    if (fflush(stdout) != 0 && code == 0)
        code = 1;
    _exit(code);
}
