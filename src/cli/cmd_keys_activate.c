/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_order.h"
#include "commands.h"

static struct err run(struct cli *cli)
{
    return cli_order_key(cli, ADMIN_ACTIVATE, NULL);
}

const struct cli_command cmd_keys_activate = {
    .name = "keys activate",
    .argument = "KEY_ID",
    .summary = "let a pre-active KEK seal from now on",
    .description =
        "Marks the KEK active on the token at once, whatever its date: for one that was made by a "
        "clock far ahead, or to skip ring.activationDelay. A replica that has not seen "
        "it yet looks at the token when it first meets it.",
    .options = {CLI_ADMIN_OPTION, CLI_ORDER_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
