/* SPDX-License-Identifier: Apache-2.0 */
/* What libcyaml fills: the texts of the file, not yet looked at. NULL where a key is absent. */
#ifndef P11KMS_CONFIG_RAW_H
#define P11KMS_CONFIG_RAW_H

#include "bytes.h"
#include "error.h"

struct raw_list {
    char **item;
    unsigned n;
};

struct raw_config {
    char *api_version;
    char *socket;
    char *admin_socket;
    char *socket_group;
    struct raw_list allow_uids;
    struct raw_list allow_gids;
    char *status_version;
    char *state_dir;
    char *require_mlock;
    char *http;
    struct {
        char *module;
        char *uri;
        char *pin_source;
        char *sessions;
        char *timeout;
        char *generate_timeout;
        char *probe_every;
    } token;
    struct {
        char *name;
        char *mode;
        char *select;
        char *active;
        struct raw_list waive;
        char *scheme;
        char *verify_seals;
        char *verify_opens;
        char *rescan_every;
        char *rotate_every;
        char *activation_delay;
        char *max_seals;
    } ring;
    struct {
        char *format;
        char *level;
    } log;
};

/* The YAML must have passed document_check. ret is the caller's to give to raw_config_free. */
MUST_CHECK struct err raw_config_load(struct bytes yaml, struct raw_config **ret);

/* Accepts NULL. */
void raw_config_free(struct raw_config *raw);

#endif
