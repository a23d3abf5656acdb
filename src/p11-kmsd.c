/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kmsd: the monitor, or the front end that the monitor starts from the same program. */
#include "control.h"
#include "front_end.h"
#include "monitor.h"

#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    /* _exit: threads of gRPC still run, and grpc_shutdown may take 10 s. */
    if (argc == 2 && strcmp(argv[1], FRONT_END_ARGUMENT) == 0)
        _exit(front_end_main());
    return monitor_main(argc, argv);
}
