/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <stddef.h>

const struct cli_command *const cli_commands[] = {
    &cmd_init,         &cmd_status,       &cmd_call_status,
    &cmd_call_encrypt, &cmd_call_decrypt, &cmd_encryption_config,
    &cmd_completion,   &cmd_man,          NULL,
};
