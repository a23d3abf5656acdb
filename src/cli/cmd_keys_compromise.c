/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_order.h"
#include "commands.h"

static struct err run(struct cli *cli)
{
    return cli_order_key(cli, ADMIN_COMPROMISE,
                         "A compromised KEK never seals again. It still opens what it has sealed, "
                         "until all of that is written again.");
}

const struct cli_command cmd_keys_compromise = {
    .name = "keys compromise",
    .argument = "KEY_ID",
    .summary = "mark a KEK as known to somebody else",
    .description = "As keys deactivate, and the state says why. What it has sealed stays readable: "
                   "write it again, so that nothing depends on it any more. Asks before, as a "
                   "state only worsens.",
    .options = {CLI_ADMIN_OPTION, CLI_YES_OPTION, CLI_ORDER_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
