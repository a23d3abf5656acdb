/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include "config.h"
#include "raw.h"
#include "token_uri.h"

#include <string.h>

#define RAW(member) .raw = offsetof(struct raw_config, member)
#define DEST(member)                                                                               \
    .at = offsetof(struct config, member), .size = sizeof(((struct config *)0)->member)
#define IDS(member) DEST(member), .count = offsetof(struct config, n_##member)
#define RANGE(a, b) .rule = {.least = (a), .most = (b)}
#define WORDS(...)  .rule = {.words = (const char *const[]){__VA_ARGS__, NULL}}
#define LATER(name)                                                                                \
    {                                                                                              \
        .path = (name), .shape = KEY_NOT_BUILT                                                     \
    }

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

const struct config_key config_keys[] = {
    {.path = "apiVersion",
     .shape = KEY_SCALAR,
     .required = true,
     .parse = parse_api_version,
     RAW(api_version)},
    {.path = "socket",
     .shape = KEY_SCALAR,
     .fallback = "unix:///run/p11-kms/kms.sock",
     .parse = parse_socket,
     RAW(socket),
     DEST(socket_path)},
    {.path = "socketGroup",
     .shape = KEY_SCALAR,
     .parse = parse_group,
     RAW(socket_group),
     DEST(socket_group)},
    {.path = "allowUids",
     .shape = KEY_LIST,
     .reload = true,
     .fallback = "0",
     .parse = parse_id,
     RAW(allow_uids),
     IDS(allow_uids)},
    {.path = "allowGids",
     .shape = KEY_LIST,
     .reload = true,
     .parse = parse_id,
     RAW(allow_gids),
     IDS(allow_gids)},
    {.path = "statusVersion",
     .shape = KEY_SCALAR,
     .fallback = "v2beta1",
     .parse = parse_word_text,
     WORDS("v2beta1", "v2"),
     RAW(status_version),
     DEST(status_version)},
    {.path = "stateDir",
     .shape = KEY_SCALAR,
     .fallback = "/var/lib/p11-kms",
     .parse = parse_absolute_path,
     RAW(state_dir),
     DEST(state_dir)},
    {.path = "requireMlock",
     .shape = KEY_SCALAR,
     .fallback = "false",
     .parse = parse_bool,
     RAW(require_mlock),
     DEST(require_mlock)},

    {.path = "token", .shape = KEY_SECTION, .required = true},
    {.path = "token.module",
     .shape = KEY_SCALAR,
     .required = true,
     .parse = parse_absolute_path,
     RAW(token.module),
     DEST(token.module)},
    {.path = "token.uri",
     .shape = KEY_SCALAR,
     .required = true,
     .parse = parse_token_uri,
     RAW(token.uri),
     DEST(token.uri)},
    {.path = "token.pinSource",
     .shape = KEY_SCALAR,
     .required = true,
     .parse = parse_pin_source,
     RAW(token.pin_source),
     DEST(token.pin_source)},
    {.path = "token.sessions",
     .shape = KEY_SCALAR,
     .fallback = "4",
     .parse = parse_count,
     RANGE(1, 64),
     RAW(token.sessions),
     DEST(token.sessions)},
    {.path = "token.timeout",
     .shape = KEY_SCALAR,
     .reload = true,
     .fallback = "2s",
     .parse = parse_duration,
     RANGE(100, MINUTE),
     RAW(token.timeout),
     DEST(token.timeout_ms)},
    {.path = "token.generateTimeout",
     .shape = KEY_SCALAR,
     .fallback = "180s",
     .parse = parse_duration,
     RANGE(SECOND, 10 * MINUTE),
     RAW(token.generate_timeout),
     DEST(token.generate_timeout_ms)},
    {.path = "token.probeEvery",
     .shape = KEY_SCALAR,
     .reload = true,
     .fallback = "10s",
     .parse = parse_duration,
     RANGE(SECOND, HOUR),
     RAW(token.probe_every),
     DEST(token.probe_every_ms)},

    {.path = "ring", .shape = KEY_SECTION},
    {.path = "ring.name",
     .shape = KEY_SCALAR,
     .fallback = "k8s",
     .parse = parse_ring_name,
     RAW(ring.name),
     DEST(ring.name)},
    {.path = "ring.mode",
     .shape = KEY_SCALAR,
     .fallback = "managed",
     .parse = parse_ring_mode,
     RAW(ring.mode)},
    {.path = "ring.scheme",
     .shape = KEY_SCALAR,
     .fallback = "auto",
     .parse = parse_scheme,
     RAW(ring.scheme),
     DEST(ring.scheme)},
    {.path = "ring.verifySeals",
     .shape = KEY_SCALAR,
     .reload = true,
     .fallback = "all",
     .parse = parse_word_number,
     WORDS("all", "v2"),
     RAW(ring.verify_seals),
     DEST(ring.verify_seals)},
    {.path = "ring.rescanEvery",
     .shape = KEY_SCALAR,
     .reload = true,
     .fallback = "60s",
     .parse = parse_duration,
     RANGE(SECOND, 24 * HOUR),
     RAW(ring.rescan_every),
     DEST(ring.rescan_every_ms)},

    {.path = "log", .shape = KEY_SECTION},
    {.path = "log.format",
     .shape = KEY_SCALAR,
     .reload = true,
     .fallback = "auto",
     .parse = parse_word_number,
     WORDS("auto", "text", "json"),
     RAW(log.format),
     DEST(log.format)},
    {.path = "log.level",
     .shape = KEY_SCALAR,
     .reload = true,
     .fallback = "info",
     .parse = parse_word_number,
     WORDS("error", "warning", "info", "debug"),
     RAW(log.level),
     DEST(log.level)},

    LATER("adminSocket"),
    LATER("http"),
    LATER("audit"),
    LATER("ring.rotateEvery"),
    LATER("ring.activationDelay"),
    LATER("ring.maxSeals"),
    LATER("ring.active"),
    LATER("ring.waive"),
};

const size_t config_n_keys = sizeof config_keys / sizeof config_keys[0];

_Static_assert(sizeof(enum verify_seals) == sizeof(int) && sizeof(enum log_format) == sizeof(int) &&
                   sizeof(enum log_level) == sizeof(int) && sizeof(enum scheme) == sizeof(int),
               "parse_word_number and parse_scheme write an int");

const struct config_key *config_key_find(const char *path, size_t len)
{
    for (size_t i = 0; i < config_n_keys; i++)
        if (strlen(config_keys[i].path) == len && memcmp(config_keys[i].path, path, len) == 0)
            return &config_keys[i];
    return NULL;
}
