/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: a new one is one file and one row in commands.c. */
#ifndef P11KMS_COMMANDS_H
#define P11KMS_COMMANDS_H

#include "cli.h"

extern const struct cli_command cmd_call_decrypt;
extern const struct cli_command cmd_call_encrypt;
extern const struct cli_command cmd_call_status;
extern const struct cli_command cmd_completion;
extern const struct cli_command cmd_doctor;
extern const struct cli_command cmd_doctor_token;
extern const struct cli_command cmd_encryption_config;
extern const struct cli_command cmd_init;
extern const struct cli_command cmd_keys_activate;
extern const struct cli_command cmd_keys_adopt;
extern const struct cli_command cmd_keys_compromise;
extern const struct cli_command cmd_keys_deactivate;
extern const struct cli_command cmd_keys_destroy;
extern const struct cli_command cmd_keys_list;
extern const struct cli_command cmd_keys_rotate;
extern const struct cli_command cmd_keys_show;
extern const struct cli_command cmd_man;
extern const struct cli_command cmd_status;

/* Ended by NULL. */
extern const struct cli_command *const cli_commands[];

#endif
