/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "secret.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    /* Plaintexts pass through here. Where the kernel refuses, the command still works. */
    (void)err_is(process_forbid_dumps());
    int code = cli_main(argc - 1, argv + 1, stdin, stdout, stderr);
    /* Threads of gRPC may still run, and its shutdown may take ten seconds. */
    if (fflush(stdout) != 0 && code == 0)
        code = 1;
    _exit(code);
}
