/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_order.h"
#include "cli_show.h"
#include "commands.h"
#include "text.h"

#include <string.h>
#include <time.h>

/* Whether it seals, over a connection of its own: the daemon may have been restarted meanwhile. An
 * error when it never will. */
static struct err ask(struct cli *cli, const struct cli_admin *target, const char *key_id,
                      bool *ret_seals)
{
    CLEANUP(admin_client_close_p) struct admin_client *client = NULL;
    struct admin_key key;
    struct kms_failure failure;
    *ret_seals = false;
    if (err_is(admin_client_open(target->socket_path, &client)) ||
        err_is(admin_client_key(client, key_id, CLI_TIMEOUT_MS, &key, &failure)))
        return ERR_OK; /* perhaps the next time */
    *ret_seals = key.seals;
    if (strcmp(key.state, "deactivated") == 0 || strcmp(key.state, "compromised") == 0)
        return cli_error(cli, err_make(ERR_CANCELLED, "wait"), "%s was superseded: it is %s now",
                         key_id, key.state);
    return ERR_OK;
}

static struct err wait_until_it_seals(struct cli *cli, const struct cli_admin *target,
                                      const struct admin_report *report, int wait_ms)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    int64_t end = clock_monotonic_ns() + wait_ms * INT64_C(1000000);
    char time[SHOW_TIME_MAX + 1];
    bool seals = false;
    for (;;) {
        TRY(ask(cli, target, report->key_id.text, &seals));
        if (seals)
            return ERR_OK;
        if (clock_monotonic_ns() >= end)
            return cli_error(cli, err_make(ERR_DEADLINE, "wait"),
                             "%s does not seal yet; it is due at %s, and \"p11-kms status\" says "
                             "more",
                             report->key_id.text, show_time(report->active_ms, time));
        (void)nanosleep(&pause, NULL);
    }
}

static struct err run(struct cli *cli)
{
    AUTO_ADMIN struct cli_admin admin = {.client = NULL};
    struct admin_report report;
    const char *lost = cli_value(cli, "acknowledge-loss"), *wait = cli_value(cli, "wait");
    struct err usage = err_make(ERR_USAGE, "options");
    int wait_ms = 0;
    if (wait && err_is(cli_parse_duration(wait, &wait_ms)))
        return cli_error(cli, usage, "--wait takes a time such as 10m, at most 1h");
    if (lost && lost[0] == '\0')
        return cli_error(cli, usage, "--acknowledge-loss takes the key_id of the missing KEK");
    TRY(cli_admin_open(cli, ORDER_TIMEOUT_MS, &admin));
    TRY(cli_order(cli, &admin, ADMIN_ROTATE, lost ? lost : "", &report));
    return wait ? wait_until_it_seals(cli, &admin, &report, wait_ms) : ERR_OK;
}

const struct cli_command cmd_keys_rotate = {
    .name = "keys rotate",
    .summary = "make a successor of the active KEK",
    .description = "Makes a new KEK on the token and says from when on it seals: "
                   "ring.activationDelay later, so that every replica has seen it by then. Old "
                   "KEKs stay, to open what they have sealed. Refused (exit 6) while a KEK is "
                   "missing from the token; one that is lost for good is given up with "
                   "--acknowledge-loss: what it has sealed stays lost.",
    .options = {CLI_ADMIN_OPTION,
                {"acknowledge-loss", "KEY_ID", "give up this missing KEK first"},
                {"wait", "TIME", "wait until the new KEK seals, for at most this long"},
                CLI_ORDER_TIMEOUT_OPTION,
                CLI_JSON_OPTION},
    .run = run,
};
