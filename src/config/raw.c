/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include "config.h"

#include <cyaml/cyaml.h>

/* NOLINTBEGIN(bugprone-macro-parentheses): types and members cannot stand in parentheses */
#define TEXT(key, structure, member)                                                               \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, 0,    \
                           CYAML_UNLIMITED)
#define LIST(key, structure, member)                                                               \
    CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure,           \
                               member.item, member.n, &item_schema, 0, CONFIG_IDS_MAX)
#define SECTION(key, member, fields)                                                               \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, struct raw_config, member, fields)
/* NOLINTEND(bugprone-macro-parentheses) */

typedef __typeof__(((struct raw_config *)0)->token) raw_token;
typedef __typeof__(((struct raw_config *)0)->ring) raw_ring;
typedef __typeof__(((struct raw_config *)0)->log) raw_log;

static const cyaml_schema_value_t item_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t token_fields[] = {
    TEXT("module", raw_token, module),
    TEXT("uri", raw_token, uri),
    TEXT("pinSource", raw_token, pin_source),
    TEXT("sessions", raw_token, sessions),
    TEXT("timeout", raw_token, timeout),
    TEXT("generateTimeout", raw_token, generate_timeout),
    TEXT("probeEvery", raw_token, probe_every),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t ring_fields[] = {
    TEXT("name", raw_ring, name),
    TEXT("mode", raw_ring, mode),
    TEXT("select", raw_ring, select),
    TEXT("active", raw_ring, active),
    LIST("waive", raw_ring, waive),
    TEXT("scheme", raw_ring, scheme),
    TEXT("verifySeals", raw_ring, verify_seals),
    TEXT("verifyOpens", raw_ring, verify_opens),
    TEXT("rescanEvery", raw_ring, rescan_every),
    TEXT("rotateEvery", raw_ring, rotate_every),
    TEXT("activationDelay", raw_ring, activation_delay),
    TEXT("maxSeals", raw_ring, max_seals),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_fields[] = {
    TEXT("format", raw_log, format),
    TEXT("level", raw_log, level),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t fields[] = {
    TEXT("apiVersion", struct raw_config, api_version),
    TEXT("socket", struct raw_config, socket),
    TEXT("adminSocket", struct raw_config, admin_socket),
    TEXT("socketGroup", struct raw_config, socket_group),
    LIST("allowUids", struct raw_config, allow_uids),
    LIST("allowGids", struct raw_config, allow_gids),
    TEXT("statusVersion", struct raw_config, status_version),
    TEXT("stateDir", struct raw_config, state_dir),
    TEXT("requireMlock", struct raw_config, require_mlock),
    TEXT("http", struct raw_config, http),
    SECTION("token", token, token_fields),
    SECTION("ring", ring, ring_fields),
    SECTION("log", log, log_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, fields),
};

/* No log function: its line numbers are off, and it quotes values. */
static const cyaml_config_t settings = {.mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS};

struct err raw_config_load(struct bytes yaml, struct raw_config **ret)
{
    cyaml_data_t *data = NULL;
    cyaml_err_t e = cyaml_load_data(yaml.data, yaml.len, &settings, &schema, &data, NULL);
    if (e == CYAML_ERR_OOM)
        return err_make(ERR_EXHAUSTED, "cyaml_load_data");
    if (e != CYAML_OK)
        return err_make(ERR_CONFIG, cyaml_strerror(e));
    *ret = data;
    return ERR_OK;
}

void raw_config_free(struct raw_config *raw)
{
    (void)cyaml_free(&settings, &schema, raw, 0);
}
