/* SPDX-License-Identifier: Apache-2.0 */
#include "status_show.h"

#include "cli_data.h"
#include "cli_show.h"
#include "config.h"

#include <inttypes.h>
#include <string.h>

/* --- for people -------------------------------------------------------------------------- */

static void line(FILE *to, const char *name, enum show_colour colour, const char *text)
{
    (void)fprintf(to, "%-13s", name);
    show_coloured(to, colour, text, 0);
    (void)fputs("\n", to);
}

static void moment(FILE *to, const char *name, int64_t ms, int64_t now_ms)
{
    (void)fprintf(to, "%-13s", name);
    show_when(to, ms, now_ms);
    (void)fputs("\n", to);
}

static void show_active(FILE *to, const struct admin_status *s, int64_t now_ms)
{
    if (!s->has_active) {
        line(to, "key_id:", SHOW_PLAIN, s->key_id.text[0] ? s->key_id.text : "(none yet)");
        return;
    }
    (void)fprintf(to, "%-13s%s (generation %u)\n", "key_id:", s->active.key_id,
                  s->active.generation);
    if (s->active.made_ms != 0)
        moment(to, "made:", s->active.made_ms, now_ms);
    if (s->max_seals != 0)
        (void)fprintf(to, "%-13s%" PRIu64 " of %" PRIu64 " by this daemon\n", "seals:", s->seals,
                      s->max_seals);
}

static void show_rotation(FILE *to, const struct admin_status *s, int64_t now_ms)
{
    if (s->rotate_due_ms != 0)
        moment(to, "rotation:", s->rotate_due_ms, now_ms);
    else
        line(to, "rotation:", SHOW_PLAIN, "not by age");
    if (s->pending.text[0]) {
        (void)fprintf(to, "%-13s%s, active ", "pending:", s->pending.text);
        if (s->activate_due_ms != 0)
            show_when(to, s->activate_due_ms, now_ms);
        else
            (void)fputs("only by \"p11-kms keys activate\"", to);
        (void)fputs("\n", to);
    }
    if (s->blocked[0])
        line(to, "blocked:", SHOW_CARE, s->blocked);
    if (s->rotation_failed[0])
        line(to, "failed:", SHOW_BAD, s->rotation_failed);
}

static void show_counts(FILE *to, const struct admin_status *s)
{
    const struct {
        uint32_t n;
        const char *word;
    } rows[] = {{s->keys.pre_active, "pre-active"},
                {s->keys.active, "active"},
                {s->keys.deactivated, "deactivated"},
                {s->keys.compromised, "compromised"},
                {s->keys.unusable, "of them unusable"}};
    const char *before = "";
    (void)fprintf(to, "%-13s", "keys:");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].n == 0)
            continue;
        (void)fprintf(to, "%s%" PRIu32 " %s", before, rows[i].n, rows[i].word);
        before = ", ";
    }
    (void)fprintf(to, "%s\n", before[0] ? "" : "none");
}

void status_show_text(FILE *to, const struct admin_status *s, const char *socket, int64_t now_ms)
{
    line(to, "status:", s->ok ? SHOW_GOOD : SHOW_BAD, s->healthz);
    show_active(to, s, now_ms);
    show_rotation(to, s, now_ms);
    for (size_t i = 0; i < s->missing.n; i++)
        line(to, "missing:", SHOW_BAD, s->missing.id[i].text);
    for (size_t i = 0; i < s->quarantined.n; i++)
        line(to, "quarantined:", SHOW_BAD, s->quarantined.id[i].text);
    if (s->keys.compromised > 0)
        line(to, "compromised:", SHOW_BAD,
             "rewrite what such KEKs have sealed (docs/rotation.md), then destroy them");
    show_counts(to, s);
    (void)fprintf(to, "%-13s%s (%s)\n%-13s%s\n%-13s%s\n%-13sunix://%s\n", "ring:", s->ring, s->mode,
                  "token:", s->token, "version:", s->version, "socket:", socket);
}

/* --- JSON -------------------------------------------------------------------------------- */

static void json_ids(FILE *to, const char *name, const struct admin_key_ids *ids)
{
    (void)fprintf(to, ", \"%s\": [", name);
    for (size_t i = 0; i < ids->n; i++) {
        (void)fputs(i > 0 ? ", " : "", to);
        cli_json_string(to, ids->id[i].text);
    }
    (void)fputs("]", to);
}

static void json_rotation(FILE *to, const struct admin_status *s)
{
    show_json_time(to, ", \"rotation\": {", "due", s->rotate_due_ms);
    cli_json_member(to, ", ", "pending", s->pending.text);
    show_json_time(to, ", ", "activates", s->activate_due_ms);
    (void)fprintf(to, ", \"seals\": %" PRIu64 ", \"max_seals\": %" PRIu64, s->seals, s->max_seals);
    cli_json_member(to, ", ", "blocked", s->blocked);
    cli_json_member(to, ", ", "failed", s->rotation_failed);
    (void)fputs("}", to);
}

void status_show_json(FILE *to, const struct admin_status *s, const char *socket)
{
    (void)fprintf(to, "{\"ok\": %s", s->ok ? "true" : "false");
    cli_json_member(to, ", ", "healthz", s->healthz);
    (void)fprintf(to, ", \"failed\": %s", s->failed ? "true" : "false");
    cli_json_member(to, ", ", "key_id", s->key_id.text);
    cli_json_member(to, ", ", "ring", s->ring);
    cli_json_member(to, ", ", "mode", s->mode);
    cli_json_member(to, ", ", "token", s->token);
    (void)fputs(", \"active\": ", to);
    if (s->has_active)
        show_key_json(to, &s->active);
    else
        (void)fputs("null", to);
    json_rotation(to, s);
    json_ids(to, "missing", &s->missing);
    json_ids(to, "quarantined", &s->quarantined);
    (void)fprintf(to,
                  ", \"keys\": {\"pre-active\": %" PRIu32 ", \"active\": %" PRIu32
                  ", \"deactivated\": %" PRIu32 ", \"compromised\": %" PRIu32
                  ", \"unusable\": %" PRIu32 "}",
                  s->keys.pre_active, s->keys.active, s->keys.deactivated, s->keys.compromised,
                  s->keys.unusable);
    cli_json_member(to, ", ", "version", s->version);
    char url[sizeof "unix://" + SOCKET_PATH_MAX];
    (void)snprintf(url, sizeof url, "unix://%s", socket);
    cli_json_member(to, ", ", "socket", url);
    (void)fputs("}\n", to);
}
