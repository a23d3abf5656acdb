/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_admin.h"
#include "cli_show.h"
#include "commands.h"
#include "text.h"

#include <string.h>

/* Newest first, as the ring orders them: by generation, twins by key_id. */
static int newest_first(const void *left, const void *right)
{
    const struct admin_key *a = left, *b = right;
    if (a->generation != b->generation)
        return a->generation < b->generation ? 1 : -1;
    return strcmp(b->key_id, a->key_id);
}

/* Of columns whose words differ much. */
struct widths {
    int key_id;
    int scheme;
};

static int wider(int width, const char *word)
{
    int len = (int)strlen(word);
    return len > width ? len : width;
}

static void print_row(FILE *to, const struct admin_key *key, const struct widths *widths,
                      int64_t now_ms)
{
    char time[SHOW_TIME_MAX + 1], age[SHOW_SPAN_MAX + 1] = "", note[SHOW_NOTE_MAX + 1];
    bool unusable = key->wrong[0] || key->ambiguous || key->quarantined;
    if (key->made_ms != 0 && key->made_ms <= now_ms)
        (void)show_span(now_ms - key->made_ms, age);
    (void)fprintf(to, "%-*s  %6u  ", widths->key_id, key->key_id, key->generation);
    show_coloured(to, show_state_colour(key->state), key->state, 11);
    (void)show_key_note(key, note);
    (void)fprintf(to, "  %-*s  %-20s  %-*s", widths->scheme, key->scheme,
                  show_time(key->made_ms, time), note[0] ? 13 : 0, age);
    show_coloured(to, unusable ? SHOW_BAD : SHOW_PLAIN, note, 0);
    (void)fputs("\n", to);
}

static void print_table(FILE *to, const struct admin_key_list *list)
{
    struct widths widths = {(int)strlen("KEY_ID"), (int)strlen("aes-gcm ")};
    int64_t now_ms = clock_wall_ms();
    for (size_t i = 0; i < list->n; i++) {
        widths.key_id = wider(widths.key_id, list->key[i].key_id);
        widths.scheme = wider(widths.scheme, list->key[i].scheme);
    }
    (void)fprintf(to, "%-*s  %6s  %-11s  %-*s  %-20s  %-11s  %s\n", widths.key_id, "KEY_ID", "GEN",
                  "STATE", widths.scheme, "SCHEME", "MADE", "AGE", "NOTE");
    for (size_t i = 0; i < list->n; i++)
        print_row(to, &list->key[i], &widths, now_ms);
}

static void print_json(FILE *to, const struct admin_key_list *list)
{
    (void)fputs("{\"keys\": [", to);
    for (size_t i = 0; i < list->n; i++) {
        (void)fputs(i > 0 ? ",\n " : "\n ", to);
        show_key_json(to, &list->key[i]);
    }
    (void)fputs("]}\n", to);
}

static struct err run(struct cli *cli)
{
    AUTO_ADMIN struct cli_admin admin = {.client = NULL};
    CLEANUP(admin_key_list_release) struct admin_key_list list = {NULL, 0};
    struct kms_failure failure;
    TRY(cli_admin_open(cli, CLI_TIMEOUT_MS, &admin));
    struct err e = admin_client_list(admin.client, admin.timeout_ms, &list, &failure);
    if (err_is(e))
        return cli_admin_failed(cli, e, &failure);
    qsort(list.key, list.n, sizeof *list.key, newest_first);
    if (cli_value(cli, "json"))
        print_json(cli->out, &list);
    else
        print_table(cli->out, &list);
    return ERR_OK;
}

const struct cli_command cmd_keys_list = {
    .name = "keys list",
    .summary = "show the ring's KEKs, newest first",
    .description = "Prints what the daemon found at its last look at the token: state, age by the "
                   "key_id's own time, which one seals, and what is wrong with a KEK that is "
                   "refused. Times are UTC.",
    .options = {CLI_ADMIN_OPTION, CLI_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
