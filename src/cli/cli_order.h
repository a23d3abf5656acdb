/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the daemon that change the ring: what `keys rotate`, `activate` and so on share. */
#ifndef P11KMS_CLI_ORDER_H
#define P11KMS_CLI_ORDER_H

#include "cli_admin.h"

#define CLI_YES_OPTION                                                                             \
    {                                                                                              \
        "yes", NULL, "do not ask; needed where nobody can be asked"                                \
    }
#define CLI_ORDER_TIMEOUT_OPTION                                                                   \
    {                                                                                              \
        "timeout", "TIME", "how long to wait until it is done (default 15m)"                       \
    }

enum { ORDER_TIMEOUT_MS = 15 * 60000 }; /* token.generateTimeout may be ten minutes */

/* Gives the order and prints how it ended. Prints why it failed. */
MUST_CHECK struct err cli_order(struct cli *cli, const struct cli_admin *admin,
                                enum admin_order order, const char *key_id,
                                struct admin_report *ret);

/* The whole of a command that orders something about the KEK that its argument names. warning:
 * what cannot be undone, to be confirmed with "yes" on a terminal or by --yes; NULL: nothing. */
MUST_CHECK struct err cli_order_key(struct cli *cli, enum admin_order order, const char *warning);

#endif
