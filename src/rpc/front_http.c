/* SPDX-License-Identifier: Apache-2.0 */
#include "front_http.h"

#include "exposition.h"
#include "front_metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { METRICS_MAX = 128 * 1024, HEALTH_MAX = 4096 };

static const char plain[] = "text/plain; charset=utf-8";

/* --- health ------------------------------------------------------------------------------ */

static void put(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct writer *w, const char *format, ...)
{
    char text[HEALTH_TEXT_MAX + 64];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_bytes(w, bytes_of_string(text));
}

/* As Kubernetes' own servers say it; but the reason is not withheld: who reads this is the
 * operator. */
static void put_verbose(struct writer *w, const char *name, const struct vitals_check *checks,
                        bool ready, bool all)
{
    put(w, "[+]ping ok\n");
    for (size_t i = 0; i < VITALS_CHECKS; i++) {
        if (checks[i].for_ready && !ready)
            continue;
        if (checks[i].ok)
            put(w, "[+]%s ok\n", checks[i].name);
        else
            put(w, "[-]%s failed: %s\n", checks[i].name, checks[i].text);
    }
    put(w, "%s check %s\n", name, all ? "passed" : "failed");
}

static void put_short(struct writer *w, const struct vitals_check *checks, bool ready, bool all)
{
    if (all)
        put(w, "ok");
    for (size_t i = 0; i < VITALS_CHECKS && !all; i++)
        if (!checks[i].ok && (ready || !checks[i].for_ready)) {
            put(w, checks[i].for_ready ? "%s%s\n" : "%s: %s\n",
                checks[i].for_ready ? "" : checks[i].name, checks[i].text);
            return;
        }
}

static struct err health(struct vitals *vitals, const char *name, bool ready, bool verbose,
                         struct http_answer *ret)
{
    struct vitals_check checks[VITALS_CHECKS];
    bool all = true;
    char *text = (char *)malloc(HEALTH_MAX);
    if (!text)
        return err_make(ERR_EXHAUSTED, "health");
    struct writer w = writer_over(text, HEALTH_MAX);
    vitals_check(vitals, checks);
    for (size_t i = 0; i < VITALS_CHECKS; i++)
        all = all && (checks[i].ok || (checks[i].for_ready && !ready));
    if (verbose)
        put_verbose(&w, name, checks, ready, all);
    else
        put_short(&w, checks, ready, all);
    *ret =
        (struct http_answer){.status = all ? 200 : 503, .type = plain, .text = text, .len = w.len};
    return ERR_OK;
}

static struct err livez(void *context, bool verbose, struct http_answer *ret)
{
    return health((struct vitals *)context, "livez", false, verbose, ret);
}

static struct err readyz(void *context, bool verbose, struct http_answer *ret)
{
    return health((struct vitals *)context, "readyz", true, verbose, ret);
}

/* Where this is a container's liveness probe, a token that is away must restart nothing. */
static struct err healthz(void *context, bool verbose, struct http_answer *ret)
{
    return health((struct vitals *)context, "healthz", false, verbose, ret);
}

/* --- metrics ----------------------------------------------------------------------------- */

static struct err metrics(void *context, bool verbose, struct http_answer *ret)
{
    char *text = (char *)malloc(METRICS_MAX);
    (void)verbose;
    if (!text)
        return err_make(ERR_EXHAUSTED, "metrics");
    struct writer w = writer_over(text, METRICS_MAX);
    front_metrics_write((struct vitals *)context, &w);
    if (w.full) {
        free(text);
        return err_make(ERR_EXHAUSTED, "metrics");
    }
    *ret = (struct http_answer){.status = 200, .type = EXPOSITION_TYPE, .text = text, .len = w.len};
    return ERR_OK;
}

struct err front_http_start(int fd, struct vitals *vitals, struct http_server **ret)
{
    static const struct http_route routes[] = {
        {"/livez", livez}, {"/readyz", readyz}, {"/healthz", healthz}, {"/metrics", metrics}};
    return http_server_start(fd, routes, sizeof routes / sizeof *routes, vitals, ret);
}
