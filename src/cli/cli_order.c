/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_order.h"

#include "cli_data.h"
#include "cli_show.h"
#include "text.h"

#include <string.h>

static void print(struct cli *cli, const struct admin_report *report)
{
    if (cli_value(cli, "json")) {
        cli_json_member(cli->out, "{", "key_id", report->key_id.text);
        show_json_time(cli->out, ", ", "active", report->active_ms);
        cli_json_member(cli->out, ", ", "text", report->text);
        (void)fputs("}\n", cli->out);
        return;
    }
    (void)fprintf(cli->out, "key_id: %s\n", report->key_id.text);
    if (report->active_ms != 0) {
        (void)fputs("active: ", cli->out);
        show_when(cli->out, report->active_ms, clock_wall_ms());
        (void)fputs("\n", cli->out);
    }
    (void)fprintf(cli->out, "%s\n", report->text);
}

struct err cli_order(struct cli *cli, const struct cli_admin *admin, enum admin_order order,
                     const char *key_id, struct admin_report *ret)
{
    struct kms_failure failure;
    struct err e =
        admin_client_order(admin->client, order, key_id, admin->timeout_ms, ret, &failure);
    if (err_is(e))
        return cli_admin_failed(cli, e, &failure);
    print(cli, ret);
    (void)fflush(cli->out);
    return ERR_OK;
}

static struct err confirm(struct cli *cli, const char *key_id, const char *warning)
{
    char answer[16] = "";
    int fd = fileno(cli->in);
    if (cli_value(cli, "yes"))
        return ERR_OK;
    if (fd < 0 || !isatty(fd))
        return cli_error(cli, err_make(ERR_USAGE, "yes"),
                         "%s This cannot be undone: --yes where nobody can be asked", warning);
    (void)fprintf(cli->errors, "%s\n%s This cannot be undone.\nType yes to go on: ", key_id,
                  warning);
    (void)fflush(cli->errors);
    if (fgets(answer, sizeof answer, cli->in) && strcmp(answer, "yes\n") == 0)
        return ERR_OK;
    return cli_error(cli, err_make(ERR_CANCELLED, "yes"), "nothing was changed");
}

struct err cli_order_key(struct cli *cli, enum admin_order order, const char *warning)
{
    AUTO_ADMIN struct cli_admin admin = {.client = NULL};
    struct admin_report report;
    const char *key_id = NULL;
    TRY(cli_key_id(cli, &key_id));
    if (warning)
        TRY(confirm(cli, key_id, warning));
    TRY(cli_admin_open(cli, ORDER_TIMEOUT_MS, &admin));
    return cli_order(cli, &admin, order, key_id, &report);
}
