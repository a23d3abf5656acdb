/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_order.h"
#include "commands.h"

static struct err run(struct cli *cli)
{
    return cli_order_key(cli, ADMIN_ADOPT, NULL);
}

const struct cli_command cmd_keys_adopt = {
    .name = "keys adopt",
    .argument = "KEY_ID",
    .summary = "external mode: trust a key, and seal with it from now on",
    .description =
        "Takes a key that the operator made on the token: its attributes are checked, what is "
        "wrong with it and not waived by ring.waive is said, and its canary is made.",
    .options = {CLI_ADMIN_OPTION, CLI_ORDER_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
