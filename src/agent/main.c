/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kms-agent: the only process that loads a PKCS#11 module and sees the PIN. */
#include "agent.h"

#include "hold.h"
#include "io.h"
#include "ops.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum {
    EXIT_USAGE = 2,
    HEADROOM = 256 << 20,  /* what threads and a module may come to map */
    THREAD_STACK = 1 << 20 /* vendors' modules are not frugal; 8 MiB would be locked in vain */
};

static const char help[] =
    "p11-kms-agent: talks to the PKCS#11 token for p11-kmsd\n"
    "\n"
    "It is started by p11-kmsd and p11-kms, never by hand: its settings and sockets come as open\n"
    "file descriptors.\n"
    "\n"
    "  --help     this text\n"
    "  --version  its version\n";

static int answer_arguments(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("p11-kms-agent " P11KMS_VERSION) < 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(help, stdout) < 0;
    (void)fputs("p11-kms-agent: takes --help or --version only\n", stderr);
    return EXIT_USAGE;
}

static struct err read_config(struct agent_config *ret)
{
    uint8_t raw[AGENT_CONFIG_MAX];
    size_t len;
    TRY(memfd_read(AGENT_CONFIG_FD, raw, sizeof raw, &len));
    (void)close(AGENT_CONFIG_FD);
    return agent_config_get(bytes_of(raw, len), ret);
}

/* For whoever looks at the processes, and so that a drill can tell them apart. */
static void take_name(enum agent_role role)
{
    static const char *const names[] = {[AGENT_SERVE] = "p11-kms-agent",
                                        [AGENT_MAKE] = "p11-kms-maker",
                                        [AGENT_DESTROY] = "p11-kms-destroy",
                                        [AGENT_LOOK] = "p11-kms-look",
                                        [AGENT_TRY] = "p11-kms-try"};
    (void)prctl(PR_SET_NAME, names[role], 0, 0, 0);
}

/* Locked memory that the next allocation runs into is worse than unlocked memory; secrets are
 * in locked pages of their own in any case. */
static void lock_memory(void)
{
    if (err_is(process_lock_memory()))
        return;
    void *probe = mmap(NULL, HEADROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        (void)munlockall();
    else
        (void)munmap(probe, HEADROOM);
}

/* Batch scheduling: a lane's thread that wakes up does not push aside the front end's thread that
 * just woke it. A quarter less CPU and a third more requests under load (docs/performance.md); all
 * it gives up is being first on a busy machine. */
static void let_others_finish(void)
{
    (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
}

static struct err make_lanes(struct agent *agent, struct lane **ret)
{
    struct lane *lanes = calloc(agent->config.lanes, sizeof *lanes);
    if (!lanes)
        return err_make(ERR_EXHAUSTED, "lanes");
    for (uint32_t i = 0; i < agent->config.lanes; i++) {
        lanes[i].agent = agent;
        lanes[i].fd = AGENT_FIRST_LANE_FD + (int)i;
        TRY(secret_new(sizeof(struct lane_room), &lanes[i].memory));
        lanes[i].room = (struct lane_room *)(void *)secret_memory(lanes[i].memory);
    }
    *ret = lanes;
    return ERR_OK;
}

static void *lane_thread(void *argument)
{
    lane_serve(argument); /* its peer has closed; our end stays open, see hold_start */
    return NULL;
}

static struct err start_threads(struct lane *lanes, uint32_t n)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = pthread_attr_init(&attributes);
    if (failed == 0)
        failed = pthread_attr_setstacksize(&attributes, THREAD_STACK);
    if (failed == 0)
        failed = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (uint32_t i = 1; i < n && failed == 0; i++)
        failed = pthread_create(&thread, &attributes, lane_thread, &lanes[i]);
    return failed ? err_errno(failed, "pthread_create") : ERR_OK;
}

/* Lane 0 is ours; when its peer closes, the agent retires at once and without C_Logout, unless
 * another lane's thread is logging in anew. */
static _Noreturn void serve(struct agent *agent, struct lane *lanes)
{
    struct advice advice = {.text = ""};
    struct err e = agent_start(agent, lanes, &advice);
    bool destroys = agent->config.role == AGENT_DESTROY;
    if (!err_is(e))
        e = destroys ? agent_destroy(&lanes[0], &advice)
                     : start_threads(lanes, agent->config.lanes);
    lane_send_hello(&lanes[0], e, &advice);
    if (!err_is(e) && !destroys)
        lane_serve(&lanes[0]);
    hold_exit(err_exit_code(e));
}

int main(int argc, char **argv)
{
    static struct agent agent = {.login_lock = PTHREAD_MUTEX_INITIALIZER};
    struct lane *lanes = NULL;
    char text[128];
    if (argc > 1)
        return answer_arguments(argc, argv);
    struct err e = process_forbid_dumps();
    if (!err_is(e) && err_is(read_config(&agent.config))) {
        (void)fputs("p11-kms-agent: is started by p11-kmsd and p11-kms, never by hand\n", stderr);
        return EXIT_USAGE;
    }
    take_name(agent.config.role);
    lock_memory();
    let_others_finish();
    if (!err_is(e))
        e = hold_start(agent.config.lanes);
    (void)signal(SIGPIPE, SIG_IGN); /* modules that talk to a daemon write to dead sockets */
    secret_init_apart();
    if (!err_is(e))
        e = make_lanes(&agent, &lanes);
    if (!err_is(e))
        serve(&agent, lanes);
    (void)fprintf(stderr, "p11-kms-agent: %s\n", err_format(e, text, sizeof text));
    return err_exit_code(e);
}
