/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_runtime.h"

#include "text.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* Written before gRPC starts its threads. */
static rpc_report *reporter;
static _Atomic int64_t last_report_ns;
static atomic_uint skipped_reports;

static void forget_variable(const char *entry)
{
    char name[128];
    size_t len = strcspn(entry, "=");
    if (bytes_to_string(bytes_of(entry, len), name, sizeof name))
        (void)unsetenv(name);
}

static void forget_grpc_variables(void)
{
    size_t at = 0;
    while (environ && environ[at]) {
        const char *entry = environ[at];
        if (strncmp(entry, "GRPC_", 5) != 0) {
            at++;
            continue;
        }
        forget_variable(entry);
        if (environ[at] == entry) /* a name too long to be one of gRPC's */
            at++;
    }
}

/* Whether this event may be told: the first, then one in RPC_REPORT_EVERY_MS. */
static bool claim_report(void)
{
    int64_t now = clock_monotonic_ns();
    int64_t last = atomic_load(&last_report_ns);
    if (last != 0 && now - last < RPC_REPORT_EVERY_MS * 1000000LL)
        return false;
    return atomic_compare_exchange_strong(&last_report_ns, &last, now);
}

static void filter_log(gpr_log_func_args *args)
{
    if (args->severity != GPR_LOG_SEVERITY_ERROR || !reporter)
        return;
    if (!claim_report()) {
        atomic_fetch_add(&skipped_reports, 1);
        return;
    }
    const char *slash = strrchr(args->file, '/');
    reporter(slash ? slash + 1 : args->file, args->line, atomic_exchange(&skipped_reports, 0));
}

void rpc_runtime_start(rpc_report *report)
{
    forget_grpc_variables();
    reporter = report;
    gpr_set_log_function(filter_log);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    grpc_init();
}
