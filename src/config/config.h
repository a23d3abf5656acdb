/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: design, "Interfaces"; docs/configuration.md is its reference. */
#ifndef P11KMS_CONFIG_H
#define P11KMS_CONFIG_H

#include "attributes.h"
#include "error.h"
#include "key_select.h"

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

enum { CONFIG_IDS_MAX = 16, CONFIG_SIZE_MAX = 65536, CONFIG_URI_MAX = 1023, SOCKET_PATH_MAX = 107 };

#define CONFIG_DEFAULT_PATH "/etc/p11-kms/config.yaml"

enum ring_mode { RING_MANAGED, RING_EXTERNAL };
enum verify { VERIFY_ALL, VERIFY_V2, VERIFY_NONE }; /* of which API; none: opens alone */
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Where /livez, /readyz, /healthz and /metrics are served: this host alone can connect. */
struct http_place {
    enum { HTTP_OFF, HTTP_UNIX, HTTP_IPV4, HTTP_IPV6 } kind;
    char path[SOCKET_PATH_MAX + 1]; /* HTTP_UNIX */
    uint8_t address[16];            /* HTTP_IPV4, HTTP_IPV6: of the loopback interface */
    uint16_t port;
};

/* Plain data, no pointers: it may be copied. Durations are in milliseconds. */
struct config {
    char socket_path[SOCKET_PATH_MAX + 1];       /* socket, without unix:// */
    char admin_socket_path[SOCKET_PATH_MAX + 1]; /* adminSocket, likewise */
    char socket_group[64];                       /* socketGroup; empty: 0600 and no group */
    uint32_t allow_uids[CONFIG_IDS_MAX];
    size_t n_allow_uids;
    uint32_t allow_gids[CONFIG_IDS_MAX];
    size_t n_allow_gids;
    char status_version[8]; /* "v2beta1" or "v2" */
    char state_dir[PATH_MAX];
    bool require_mlock;
    struct http_place http;
    struct {
        char module[PATH_MAX];
        char uri[CONFIG_URI_MAX + 1];
        char pin_source[PATH_MAX];
        uint32_t sessions;           /* 1 to 64: lanes for requests */
        int64_t timeout_ms;          /* 100 ms to 60 s */
        int64_t generate_timeout_ms; /* 1 s to 600 s */
        int64_t probe_every_ms;      /* 1 s to 1 h */
    } token;
    struct {
        char name[RING_NAME_MAX + 1];
        enum ring_mode mode;
        char select[KEY_SELECT_MAX + 1]; /* RING_EXTERNAL alone, as the next two: checked */
        struct key_id active;            /* empty: the key that was adopted last */
        uint32_t waive[CONFIG_IDS_MAX];  /* see config_waivers */
        size_t n_waive;
        enum scheme scheme; /* SCHEME_NONE: auto */
        enum verify verify_seals;
        enum verify verify_opens;
        int64_t rescan_every_ms;     /* 1 s to 1 d */
        int64_t rotate_every_ms;     /* 1 s to 3650 d; 0: never by age */
        int64_t activation_delay_ms; /* 0, or rescan_every_ms to 1 d */
        uint32_t max_seals;          /* under one KEK, by this daemon */
    } ring;
    struct {
        enum log_format format;
        enum log_level level;
    } log;
};

/* Where and what: file:line: field: message, and what to do about it. Holds no secret. */
struct config_error {
    unsigned line;   /* 0 when the whole file is meant */
    char field[128]; /* dotted path such as token.timeout; may be empty */
    char message[512];
};

/* Reads, checks and fills with defaults. On ERR_CONFIG *ret_error says why and *ret is untouched.
 */
MUST_CHECK struct err config_load_file(const char *path, struct config *ret,
                                       struct config_error *ret_error);

/* The same for YAML in memory. */
MUST_CHECK struct err config_load(struct bytes yaml, struct config *ret,
                                  struct config_error *ret_error);

/* ring.waive as bits of enum key_waiver. */
uint32_t config_waivers(const struct config *config);

/* Writes "file:line: field: message" to text, terminated, cut to size. Returns text. */
const char *config_error_format(const char *file, const struct config_error *error, char *text,
                                size_t size);

/* Takes over what SIGHUP may change. The names of the other keys that differ go to ret_restart,
 * comma-separated, terminated and cut to size; empty when there are none. Both must come from
 * config_load, which leaves no stray bytes. */
void config_reload(struct config *current, const struct config *loaded, char *ret_restart,
                   size_t size);

#endif
