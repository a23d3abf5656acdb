/* SPDX-License-Identifier: Apache-2.0 */
/* Measures a server on a UNIX socket and prints one line of JSON. */
#include "load.h"
#include "server_cost.h"
#include "text.h"

#include <getopt.h>
#include <grpc/grpc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] = "usage: bench-load --socket PATH --kind KIND\n"
                            "  KIND: echo, encrypt, decrypt, encrypt-v1 or status\n"
                            "  --in-flight N     calls in flight in all (default 1)\n"
                            "  --connections C   over so many connections (default 1)\n"
                            "  --seconds D       for so long (default 5), or\n"
                            "  --calls N         so many calls\n"
                            "  --warm-up D       seconds before the clock starts (default 0.5)\n"
                            "  --distinct N      different requests (default 1024)\n"
                            "  --timeout-ms N    deadline of a call (default 10000)\n"
                            "  --server-pids A,B processes whose CPU time and memory to report\n";

struct settings {
    struct load_plan plan;
    enum load_kind kind;
    bool has_kind;
    double warm_up;
    uint64_t distinct;
    struct server_costs before;
};

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
    return !err_is(parse_u64(text, least, most, ret));
}

static bool seconds(const char *text, double *ret)
{
    char *end = NULL;
    *ret = strtod(text, &end);
    return end != text && *end == '\0' && *ret >= 0 && *ret <= 86400;
}

static bool set(struct settings *to, int option, const char *value)
{
    uint64_t n = 0;
    bool ok = true;
    switch (option) {
    case 's':
        to->plan.socket_path = value;
        break;
    case 'k':
        to->has_kind = ok = !err_is(load_kind_parse(value, &to->kind));
        break;
    case 'i':
        ok = number(value, 1, LOAD_IN_FLIGHT_MAX, &n);
        to->plan.in_flight = (unsigned)n;
        break;
    case 'c':
        ok = number(value, 1, LOAD_CONNECTIONS_MAX, &n);
        to->plan.connections = (unsigned)n;
        break;
    case 'd':
        ok = seconds(value, &to->plan.seconds);
        break;
    case 'n':
        ok = number(value, 1, UINT32_MAX, &to->plan.calls);
        break;
    case 'w':
        ok = seconds(value, &to->warm_up);
        break;
    case 'x':
        ok = number(value, 1, 1000000, &to->distinct);
        break;
    case 't':
        ok = number(value, 1, 3600000, &n);
        to->plan.timeout_ms = (int)n;
        break;
    case 'p':
        ok = server_costs_parse(value, &to->before) == 0;
        break;
    default:
        ok = false;
    }
    return ok;
}

static bool parse(int argc, char **argv, struct settings *to)
{
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'},
        {"kind", required_argument, NULL, 'k'},
        {"in-flight", required_argument, NULL, 'i'},
        {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 'd'},
        {"calls", required_argument, NULL, 'n'},
        {"warm-up", required_argument, NULL, 'w'},
        {"distinct", required_argument, NULL, 'x'},
        {"timeout-ms", required_argument, NULL, 't'},
        {"server-pids", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!set(to, option, optarg))
            return false;
    return optind == argc && to->plan.socket_path && to->has_kind;
}

static struct err warm_up(const struct settings *settings)
{
    struct load_plan plan = settings->plan;
    struct load_result result;
    if (settings->warm_up <= 0)
        return ERR_OK;
    plan.calls = 0;
    plan.seconds = settings->warm_up;
    TRY(load_run(&plan, &result));
    free(result.latencies_us);
    return ERR_OK;
}

static void print_servers(const struct server_costs *before, const struct server_costs *after,
                          uint64_t calls)
{
    (void)printf(", \"servers\": [");
    for (size_t i = 0; i < after->n; i++) {
        double us = (double)(after->of[i].cpu_ns - before->of[i].cpu_ns) / 1e3;
        (void)printf("%s{\"pid\": %d, \"cpu_us_per_call\": %.2f, \"rss_kib\": %ld}", i ? ", " : "",
                     (int)after->of[i].pid, us / (double)(calls ? calls : 1), after->of[i].rss_kib);
    }
    (void)printf("]");
}

static void print_result(const struct settings *settings, const struct load_result *result,
                         const struct server_costs *after)
{
    bool any = false;
    (void)printf("{\"kind\": \"%s\", \"in_flight\": %u, \"connections\": %u, \"seconds\": %.3f, "
                 "\"calls\": %llu, \"calls_per_s\": %.1f, \"p50_us\": %u, \"p99_us\": %u, "
                 "\"max_us\": %u, \"errors\": {",
                 load_kind_name(settings->kind), settings->plan.in_flight,
                 settings->plan.connections, result->seconds, (unsigned long long)result->calls,
                 (double)result->calls / result->seconds, load_percentile(result, 0.5),
                 load_percentile(result, 0.99), load_percentile(result, 1));
    for (unsigned code = 1; code < LOAD_CODES; code++) {
        if (result->by_code[code] == 0)
            continue;
        (void)printf("%s\"%u\": %llu", any ? ", " : "", code,
                     (unsigned long long)result->by_code[code]);
        any = true;
    }
    (void)printf("}");
    print_servers(&settings->before, after, result->calls);
    (void)printf("}\n");
}

static struct err measure(struct settings *settings)
{
    struct requests requests;
    struct load_result result;
    TRY(requests_make(settings->kind, settings->plan.socket_path, (size_t)settings->distinct,
                      &requests));
    settings->plan.requests = &requests;
    TRY(warm_up(settings));
    server_costs_read(&settings->before);
    TRY(load_run(&settings->plan, &result));
    struct server_costs after = settings->before;
    server_costs_read(&after);
    print_result(settings, &result, &after);
    free(result.latencies_us);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .plan = {.connections = 1, .in_flight = 1, .seconds = 5, .timeout_ms = 10000},
        .warm_up = 0.5,
        .distinct = 1024,
    };
    char text[256];
    if (!parse(argc, argv, &settings)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    struct err e = measure(&settings);
    if (err_is(e))
        (void)fprintf(stderr, "bench-load: %s\n", err_format(e, text, sizeof text));
    (void)fflush(stdout);
    _exit(err_exit_code(e));
}
