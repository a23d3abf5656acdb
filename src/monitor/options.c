/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_CONFIG = 256, OPTION_CHECK, OPTION_AGENT, OPTION_LOG, OPTION_VERSION, OPTION_HELP };

static const struct option long_options[] = {
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"check-config", no_argument, NULL, OPTION_CHECK},
    {"agent", required_argument, NULL, OPTION_AGENT},
    {"log-format", required_argument, NULL, OPTION_LOG},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "Usage: p11-kmsd [OPTION]...\n"
    "Serves the Kubernetes KMS APIs on a Unix socket, with keys in a PKCS#11 token.\n"
    "\n"
    "  --config FILE        the configuration (default " CONFIG_DEFAULT_PATH ")\n"
    "  --check-config       check the configuration and exit\n"
    "  --agent PATH         the p11-kms-agent to run (default: beside p11-kmsd, else\n"
    "                       " P11KMS_LIBEXECDIR ")\n"
    "  --log-format FORMAT  auto, text or json, instead of the file's log.format\n"
    "  --version            print the version and exit\n"
    "  --help               print this and exit\n"
    "\n"
    "Signals: SIGHUP reloads the configuration and looks at the token; SIGTERM and\n"
    "SIGINT finish what runs and exit.\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 socket in use.\n";

static bool parse_format(const char *text, enum log_format *ret)
{
    static const char *const words[] = {
        [LOG_FORMAT_AUTO] = "auto", [LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum log_format)i;
            return true;
        }
    }
    return false;
}

static bool usage(const char *message, const char *what, int *ret_exit)
{
    (void)fprintf(stderr, "p11-kmsd: %s%s\nTry 'p11-kmsd --help'.\n", message, what);
    *ret_exit = 2;
    return false;
}

bool options_parse(int argc, char **argv, struct options *ret, int *ret_exit)
{
    struct options o = {.config = CONFIG_DEFAULT_PATH};
    int option;
    opterr = 0;
    optind = 0; /* glibc: scan from the start, whoever used getopt before */
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        switch (option) {
        case OPTION_CONFIG:
            o.config = optarg;
            break;
        case OPTION_CHECK:
            o.check_config = true;
            break;
        case OPTION_AGENT:
            o.agent = optarg;
            break;
        case OPTION_LOG:
            if (!parse_format(optarg, &o.log_format))
                return usage("--log-format must be auto, text or json", "", ret_exit);
            o.has_log_format = true;
            break;
        case OPTION_VERSION:
        case OPTION_HELP:
            (void)fputs(option == OPTION_HELP ? help : "p11-kmsd " P11KMS_VERSION "\n", stdout);
            *ret_exit = 0;
            return false;
        case ':':
            return usage("a value is missing after ", argv[optind - 1], ret_exit);
        default:
            return usage("unknown option ", argv[optind - 1], ret_exit);
        }
    }
    if (optind < argc)
        return usage("takes options only, not ", argv[optind], ret_exit);
    *ret = o;
    return true;
}

void options_apply(const struct options *options, struct config *config)
{
    if (options->has_log_format)
        config->log.format = options->log_format;
}

static enum log_style style_of(enum log_format format)
{
    switch (format) {
    case LOG_FORMAT_TEXT:
        return LOG_STYLE_TEXT;
    case LOG_FORMAT_JSON:
        return LOG_STYLE_JSON;
    case LOG_FORMAT_AUTO:
        break;
    }
    return log_style_auto();
}

void options_log_setup(const struct config *config)
{
    static const enum log_priority least[] = {
        [LOG_LEVEL_ERROR] = LOG_PRI_ERROR,
        [LOG_LEVEL_WARNING] = LOG_PRI_WARNING,
        [LOG_LEVEL_INFO] = LOG_PRI_INFO,
        [LOG_LEVEL_DEBUG] = LOG_PRI_DEBUG,
    };
    log_setup("monitor", style_of(config->log.format), least[config->log.level]);
}
