/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_order.h"
#include "commands.h"

static struct err run(struct cli *cli)
{
    return cli_order_key(cli, ADMIN_DEACTIVATE,
                         "A deactivated KEK opens what it has sealed, and never seals again.");
}

const struct cli_command cmd_keys_deactivate = {
    .name = "keys deactivate",
    .argument = "KEY_ID",
    .summary = "let a KEK open what it has sealed, and seal no more",
    .description = "Where it is the active KEK, a successor is made and activated first. Asks "
                   "before, as a state only worsens.",
    .options = {CLI_ADMIN_OPTION, CLI_YES_OPTION, CLI_ORDER_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
