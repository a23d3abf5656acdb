/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <stddef.h>

const struct cli_command *const cli_commands[] = {
    &cmd_init,
    &cmd_doctor_token, /* before doctor, which is its first word */
    &cmd_doctor,
    &cmd_status,
    &cmd_keys_list,
    &cmd_keys_show,
    &cmd_keys_rotate,
    &cmd_keys_activate,
    &cmd_keys_deactivate,
    &cmd_keys_compromise,
    &cmd_keys_adopt,
    &cmd_keys_destroy,
    &cmd_call_status,
    &cmd_call_encrypt,
    &cmd_call_decrypt,
    &cmd_encryption_config,
    &cmd_completion,
    &cmd_man,
    NULL,
};
