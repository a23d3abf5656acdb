/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"

#include "cleanup.h"
#include "io.h"
#include "secret.h"
#include "state_lock.h"
#include "supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { EXIT_FAILED = 1, EXIT_CONFIG = 3 };

/* gRPC takes orders from GRPC_* variables: GRPC_TRACE=tcp would write plaintexts to the log. */
static void forget_grpc_variables(void)
{
    for (char **at = environ; *at;) {
        char name[128];
        size_t len = strcspn(*at, "=");
        if (strncmp(*at, "GRPC_", 5) != 0 || len >= sizeof name) {
            at++;
            continue;
        }
        memcpy(name, *at, len);
        name[len] = '\0';
        if (unsetenv(name) != 0) /* removes *at: the next one is in its place */
            at++;
    }
}

static int fail(const char *text)
{
    log_event(LOG_PRI_ERROR, text);
    return EXIT_CONFIG;
}

static int check_config(const struct options *options)
{
    struct config config;
    struct config_error error;
    char text[PATH_MAX + 1024];
    if (err_is(config_load_file(options->config, &config, &error))) {
        (void)fprintf(stderr, "%s\n",
                      config_error_format(options->config, &error, text, sizeof text));
        return EXIT_CONFIG;
    }
    (void)printf("%s: ok\n", options->config);
    return 0;
}

static int make_state_dir(const struct config *config)
{
    char text[PATH_MAX + 128];
    struct err e = directory_make(config->state_dir, 0700);
    if (!err_is(e))
        return 0;
    (void)snprintf(text, sizeof text, "stateDir: cannot make the directory %s: %s",
                   config->state_dir, e.kind == ERR_KIND_ERRNO ? strerror((int)e.native) : e.where);
    return fail(text);
}

/* What front end and agents, who inherit our limits, will need: with MCL_FUTURE their whole address
 * space counts, about 600 MiB for gRPC's. */
static int check_mlock(const struct config *config)
{
    const size_t needed = (size_t)1 << 30;
    if (!config->require_mlock)
        return 0;
    if (!err_is(process_lock_memory())) {
        void *probe = mmap(NULL, needed, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (probe != MAP_FAILED)
            return munmap(probe, needed);
    }
    return fail(
        "requireMlock: memory cannot be locked: set LimitMEMLOCK=infinity, or requireMlock: "
        "false");
}

/* Inherited sockets may be served by the daemon before us, which is still draining: who connects
 * meanwhile waits in their queues, or is served by that one. */
static int take_state_dir(const struct config *config, int *ret_lock, bool *ret_told_to_stop)
{
    char text[PATH_MAX + 128], who[32] = "";
    int holder = 0;
    struct err e = state_lock_take(config->state_dir, STATE_LOCK_WAIT_MS, ret_lock, &holder);
    *ret_told_to_stop = e.code == ERR_CANCELLED;
    if (!err_is(e) || e.code == ERR_CANCELLED)
        return 0;
    if (holder > 0)
        (void)snprintf(who, sizeof who, " (pid %d)", holder);
    (void)snprintf(text, sizeof text, "stateDir: %s is in use by another p11-kmsd%s",
                   config->state_dir, who);
    (void)fail(text);
    return err_exit_code(e);
}

static int supervise_children(const struct options *options, struct config *config,
                              const struct monitor_hooks *hooks, const struct listeners *listeners)
{
    struct children children;
    char text[128];
    AUTO_CLOSE int lock = -1;
    bool told_to_stop = false;
    int code = take_state_dir(config, &lock, &told_to_stop);
    if (code != 0 || told_to_stop)
        return code;
    children_init(&children, hooks->front_end_path, options->agent);
    struct err e = supervise(options, config, listeners, &children);
    if (err_is(e))
        log_event(LOG_PRI_ERROR, "cannot go on", LOG_S("error", err_format(e, text, sizeof text)));
    return err_is(e) ? EXIT_FAILED : 0;
}

static int serve(const struct options *options, struct config *config,
                 const struct monitor_hooks *hooks)
{
    struct listeners listeners;
    struct listen_error error;
    int code = make_state_dir(config);
    if (code == 0)
        code = check_mlock(config);
    if (code != 0)
        return code;
    struct err e = listeners_open(config, &listeners, &error);
    if (err_is(e)) {
        (void)fail(error.text);
        return err_exit_code(e);
    }
    code = supervise_children(options, config, hooks, &listeners);
    listeners_close(&listeners);
    return code;
}

int monitor_run(int argc, char **argv, const struct monitor_hooks *hooks)
{
    static struct config config = {.log.level = LOG_LEVEL_INFO}; /* large */
    struct config_error error;
    struct options options;
    char text[PATH_MAX + 1024];
    int code;
    struct err e = process_forbid_dumps();
    if (err_is(e))
        return fail(err_format(e, text, sizeof text));
    if (!options_parse(argc, argv, &options, &code))
        return code;
    if (options.check_config)
        return check_config(&options);
    e = supervise_hold_signals();
    if (err_is(e))
        return fail(err_format(e, text, sizeof text));
    (void)umask(0077);
    (void)signal(SIGPIPE, SIG_IGN); /* a log that nobody reads must not end the daemon */
    forget_grpc_variables();
    options_apply(&options, &config);
    options_log_setup(&config); /* for what is wrong with the file */
    if (err_is(config_load_file(options.config, &config, &error)))
        return fail(config_error_format(options.config, &error, text, sizeof text));
    options_apply(&options, &config);
    options_log_setup(&config);
    return serve(&options, &config, hooks);
}

int monitor_main(int argc, char **argv)
{
    return monitor_run(argc, argv, &(struct monitor_hooks){.front_end_path = NULL});
}
