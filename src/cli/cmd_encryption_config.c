/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "commands.h"

#include <string.h>

enum { PROVIDER_NAME_MAX = 63, RESOURCE_MAX = 253 };

/* Names go into YAML unquoted and, a provider's, into every etcd key prefix, where v2 takes no
 * colon. */
static bool plain_word(const char *text, const char *more, size_t most)
{
    static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789";
    size_t len = strlen(text);
    if (len == 0 || len > most || !strchr(alphanumeric, text[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!strchr(alphanumeric, text[i]) && !strchr(more, text[i]))
            return false;
    return true;
}

static struct err print_resources(struct cli *cli)
{
    size_t position = 0;
    bool any = false;
    (void)fputs("resources:\n  - resources:\n", cli->out);
    for (const char *name; (name = cli_next_value(cli, "resource", &position));) {
        if (!plain_word(name, ".-", RESOURCE_MAX))
            return cli_error(cli, err_make(ERR_USAGE, "resource"),
                             "--resource: want a name such as secrets or widgets.example.com");
        (void)fprintf(cli->out, "      - %s\n", name);
        any = true;
    }
    if (!any)
        (void)fputs("      - secrets\n", cli->out);
    return ERR_OK;
}

static void print_provider(struct cli *cli, bool v1, const char *name, const char *socket)
{
    (void)fprintf(cli->out,
                  "    providers:\n"
                  "      # The first provider writes; all of them read.\n"
                  "      - kms:\n"
                  "          apiVersion: %s\n"
                  "          name: %s\n"
                  "          endpoint: unix://%s\n"
                  "          timeout: 3s\n",
                  v1 ? "v1" : "v2", name, socket);
    if (v1)
        (void)fputs("          # One DEK for each object: as many as there are objects, or\n"
                    "          # reading them all again asks the token each time.\n"
                    "          cachesize: 1000\n",
                    cli->out);
    (void)fputs("      # Reads what is not encrypted yet. Take it away when everything has been\n"
                "      # written again.\n"
                "      - identity: {}\n",
                cli->out);
}

static void print_head(struct cli *cli, bool v1)
{
    (void)fputs("# For kube-apiserver: --encryption-provider-config=THIS_FILE, on every control\n"
                "# plane node, with p11-kmsd running on each. Where API servers already run, add\n"
                "# this provider second on all of them first, so that all can read it, and only\n"
                "# then move it first. After that write everything again:\n"
                "#   kubectl get secrets --all-namespaces -o json | kubectl replace -f -\n",
                cli->out);
    if (v1)
        (void)fputs(
            "# KMS v1 is off in kube-apiserver 1.29 and later: --feature-gates=KMSv1=true.\n",
            cli->out);
    (void)fputs("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n",
                cli->out);
}

static struct err run(struct cli *cli)
{
    char socket[SOCKET_PATH_MAX + 1];
    const char *name = cli_value(cli, "provider-name");
    const char *api = cli_value(cli, "api");
    struct err usage = err_make(ERR_USAGE, "options");
    bool v1 = api && strcmp(api, "v1") == 0;
    if (api && !v1 && strcmp(api, "v2") != 0)
        return cli_error(cli, usage, "--api: want v2 or v1");
    if (!name)
        name = "p11-kms";
    if (!plain_word(name, "._-", PROVIDER_NAME_MAX))
        return cli_error(cli, usage, "--provider-name: want letters, digits, dots and dashes");
    TRY(cli_socket(cli, socket));
    print_head(cli, v1);
    TRY(print_resources(cli));
    print_provider(cli, v1, name, socket);
    return ERR_OK;
}

const struct cli_command cmd_encryption_config = {
    .name = "encryption-config",
    .summary = "print the EncryptionConfiguration for kube-apiserver",
    .description = "Prints YAML for --encryption-provider-config that names this daemon's socket.",
    .options = {CLI_SOCKET_OPTION,
                {"api", "VERSION", "v2 (default) or v1"},
                {"provider-name", "NAME", "the provider's name (default p11-kms); never change it"},
                {"resource", "NAME", "what to encrypt (default secrets); repeatable"}},
    .run = run,
};
