/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"

#include "text.h"

#include <string.h>

enum { TIMEOUT_MAX_MS = 3600000 };

static const char *config_path(const struct cli *cli)
{
    const char *path = cli_value(cli, "config");
    return path ? path : CONFIG_DEFAULT_PATH;
}

struct err cli_config(struct cli *cli, struct config *ret)
{
    struct config_error error = {.line = 0};
    char text[1024];
    struct err e = config_load_file(config_path(cli), ret, &error);
    if (!err_is(e))
        return e;
    if (e.code == ERR_CONFIG)
        return cli_error(cli, e, "%s",
                         config_error_format(config_path(cli), &error, text, sizeof text));
    return cli_error(cli, err_make(ERR_CONFIG, "configuration"),
                     "cannot read the configuration %s (%s): name it with --config%s",
                     config_path(cli), err_format(e, text, sizeof text),
                     e.code == ERR_DENIED ? ", or run as root" : "");
}

const char *cli_socket_path(const char *text)
{
    const char *path = strncmp(text, "unix://", 7) == 0 ? text + 7 : text;
    bool one = path[0] == '/' || (path[0] == '@' && path[1] != '\0' && path != text);
    return one && strlen(path) <= SOCKET_PATH_MAX ? path : NULL;
}

struct err cli_given_socket(struct cli *cli, const char *option,
                            char ret[static SOCKET_PATH_MAX + 1])
{
    const char *path = cli_socket_path(cli_value(cli, option));
    if (!path)
        return cli_error(cli, err_make(ERR_USAGE, "socket"),
                         "--%s: want unix:///path, at most %d bytes", option, SOCKET_PATH_MAX);
    (void)snprintf(ret, SOCKET_PATH_MAX + 1, "%s", path);
    return ERR_OK;
}

struct err cli_socket(struct cli *cli, char ret[static SOCKET_PATH_MAX + 1])
{
    struct config config;
    if (cli_value(cli, "socket"))
        return cli_given_socket(cli, "socket", ret);
    TRY(cli_config(cli, &config));
    (void)snprintf(ret, SOCKET_PATH_MAX + 1, "%s", config.socket_path);
    return ERR_OK;
}

struct err cli_parse_duration(const char *text, int *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
    char digits[16];
    size_t len = strspn(text, "0123456789");
    uint64_t number = 0;
    if (!bytes_to_string(bytes_of(text, len), digits, sizeof digits))
        return err_make(ERR_USAGE, "duration");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + len, units[i].unit) != 0)
            continue;
        if (err_is(parse_u64(digits, 1, TIMEOUT_MAX_MS / units[i].ms, &number)))
            break;
        *ret_ms = (int)(number * units[i].ms);
        return ERR_OK;
    }
    return err_make(ERR_USAGE, "duration");
}

void cli_disconnect(struct cli_connection *connection)
{
    kms_client_close(connection->client);
}

struct err cli_nobody_there(struct cli *cli, struct err e, const char *path)
{
    char text[128];
    bool unused = e.code == ERR_UNAVAILABLE || e.code == ERR_NOT_FOUND;
    if (unused)
        return cli_error(cli, err_make(ERR_UNAVAILABLE, "connect"),
                         "nobody listens on %s: start the daemon with \"systemctl start p11-kms\", "
                         "or by hand with \"p11-kmsd --config %s\"",
                         path, config_path(cli));
    if (e.code == ERR_DENIED)
        return cli_error(cli, e, "%s may not be opened by this user: run as root", path);
    return cli_error(cli, e, "%s: %s", path, err_format(e, text, sizeof text));
}

struct err cli_timeout(struct cli *cli, int fallback_ms, int *ret)
{
    const char *text = cli_value(cli, "timeout");
    int ms = fallback_ms;
    if (text && err_is(cli_parse_duration(text, &ms)))
        return cli_error(cli, err_make(ERR_USAGE, "timeout"),
                         "--timeout: want a time such as 500ms or 3s");
    *ret = ms;
    return ERR_OK;
}

struct err cli_target(struct cli *cli, struct cli_connection *ret)
{
    struct cli_connection to = {.version = KMS_API_V2, .timeout_ms = 0};
    const char *api = cli_value(cli, "api");
    struct err usage = err_make(ERR_USAGE, "options");
    if (api && err_is(kms_api_version_parse(api, &to.version)))
        return cli_error(cli, usage, "--api: want v2, v2alpha1 or v1beta1");
    TRY(cli_timeout(cli, CLI_TIMEOUT_MS, &to.timeout_ms));
    TRY(cli_socket(cli, to.socket_path));
    *ret = to;
    return ERR_OK;
}

struct err cli_connect(struct cli *cli, struct cli_connection *ret)
{
    struct cli_connection connection = {.client = NULL};
    TRY(cli_target(cli, &connection));
    struct kms_client_options to = {.socket_path = connection.socket_path};
    struct err e = kms_client_open(&to, &connection.client);
    if (err_is(e))
        return cli_nobody_there(cli, e, connection.socket_path);
    *ret = connection;
    return ERR_OK;
}

static const char *remedy(enum err_code code)
{
    switch (code) {
    case ERR_UNAVAILABLE:
        return "the plugin or its token is away: \"p11-kms status\" says more";
    case ERR_DEADLINE:
        return "no answer in time: \"p11-kms status\" says more, --timeout waits longer";
    case ERR_NOT_FOUND:
        return "the token has no such key: was the data sealed with another ring or token?";
    case ERR_INVALID:
        return "check the input, --api and --key-id: they must be those of the Encrypt";
    case ERR_EXHAUSTED:
        return "the plugin is overloaded: try again";
    case ERR_DENIED:
        return "this user may not call the plugin";
    case ERR_UNSUPPORTED:
        return "the plugin does not speak this API: try another --api";
    case ERR_TOKEN:
        return "somebody must act on the token: \"p11-kms status\" says more";
    default:
        return "see the plugin's log";
    }
}

struct err cli_call_failed(struct cli *cli, struct err e, const struct kms_failure *failure)
{
    if (failure->code == 0)
        return cli_error(cli, e, "%s", failure->message);
    return cli_error(cli, e, "%s (%d): %s\n  %s", failure->name, failure->code, failure->message,
                     remedy(e.code));
}
