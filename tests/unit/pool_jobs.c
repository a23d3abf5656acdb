/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_jobs.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WATCHDOG_S = 120 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows and the jobs */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned ended, n_condemned, n_lanes_ended;
static uint64_t last_condemned;

int pool_jobs_setup(void **state)
{
    bool locked;
    (void)state;
    (void)alarm(WATCHDOG_S);
    return err_is(secret_init(8 << 20, &locked)) ? -1 : 0;
}

static void on_done(struct lane_job *lane, struct err error, const struct lane_reply *reply)
{
    struct test_job *job = (struct test_job *)lane;
    pthread_mutex_lock(&lock);
    job->done++;
    job->error = error;
    job->order = ++ended;
    if (reply) {
        job->status = reply->status.code;
        struct bytes plaintext =
            reply->status.code == ERR_NONE ? reply->u.plaintext : bytes_of("", 0);
        job->plaintext_len = plaintext.len;
        memcpy(job->plaintext, plaintext.data, plaintext.len);
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static bool is_abandoned(struct lane_job *lane, int64_t at_ns)
{
    (void)at_ns;
    return atomic_load(&((struct test_job *)lane)->abandoned);
}

static void submit(struct lane_pool *pool, struct test_job *job, const char *text, uint64_t flow,
                   int64_t deadline_ns)
{
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1);
    struct lane_request q = {.op = LANE_OPEN, .number = lane_pool_number(pool)};
    memset(job, 0, sizeof *job);
    q.u.open.family = FAMILY_V2;
    q.u.open.envelope = bytes_of(envelope, fake_envelope(FAMILY_V2, &key_id, text, envelope));
    job->lane = (struct lane_job){.number = q.number,
                                  .op = q.op,
                                  .flow = flow,
                                  .deadline_ns = deadline_ns,
                                  .done = on_done,
                                  .abandoned = is_abandoned};
    assert_false(err_is(secret_new(LANE_PACKET_MAX, &job->lane.packet)));
    struct writer w = writer_over(secret_memory(job->lane.packet), LANE_PACKET_MAX);
    lane_put_request(&w, &q);
    secret_set_len(job->lane.packet, w.len);
    lane_pool_submit(pool, &job->lane);
}

void job_submit_until(struct lane_pool *pool, struct test_job *job, const char *text,
                      int64_t deadline_ns)
{
    submit(pool, job, text, 0, deadline_ns);
}

void job_submit(struct lane_pool *pool, struct test_job *job, const char *text)
{
    submit(pool, job, text, 0, clock_monotonic_ns() + INT64_C(60000000000));
}

void job_submit_in(struct lane_pool *pool, struct test_job *job, uint64_t flow)
{
    submit(pool, job, "dek", flow, clock_monotonic_ns() + INT64_C(60000000000));
}

static void wait_ended(struct test_job *job)
{
    pthread_mutex_lock(&lock);
    while (job->done == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void job_expect(struct test_job *job, enum err_code code)
{
    wait_ended(job);
    pthread_mutex_lock(&lock);
    unsigned done = job->done;
    enum err_code got = job->error.code;
    pthread_mutex_unlock(&lock);
    assert_int_equal(done, 1);
    assert_string_equal(err_name(got), err_name(code));
}

void job_expect_text(struct test_job *job, const char *text)
{
    job_expect(job, ERR_NONE);
    assert_int_equal(job->status, ERR_NONE);
    assert_int_equal(job->plaintext_len, strlen(text));
    assert_memory_equal(job->plaintext, text, strlen(text));
}

bool job_ended(struct test_job *job)
{
    pthread_mutex_lock(&lock);
    bool yes = job->done > 0;
    pthread_mutex_unlock(&lock);
    return yes;
}

static void pool_condemned(void *context, uint64_t generation, enum control_reason reason,
                           const char *why)
{
    (void)context;
    (void)reason;
    (void)why;
    pthread_mutex_lock(&lock);
    n_condemned++;
    last_condemned = generation;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void pool_lanes_ended(void *context, uint64_t generation)
{
    (void)context;
    (void)generation;
    pthread_mutex_lock(&lock);
    n_lanes_ended++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

const struct lane_pool_hooks pool_hooks = {pool_condemned, pool_lanes_ended, NULL};

void lanes_ended_wait(unsigned least)
{
    pthread_mutex_lock(&lock);
    while (n_lanes_ended < least)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

unsigned lanes_ended_count(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = n_lanes_ended;
    pthread_mutex_unlock(&lock);
    return n;
}

void condemned_wait(uint64_t generation)
{
    pthread_mutex_lock(&lock);
    while (last_condemned < generation)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

unsigned condemned_count(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = n_condemned;
    pthread_mutex_unlock(&lock);
    return n;
}

void condemned_reset(void)
{
    pthread_mutex_lock(&lock);
    n_condemned = n_lanes_ended = ended = 0;
    last_condemned = 0;
    pthread_mutex_unlock(&lock);
}

unsigned fd_count(void)
{
    unsigned n = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        n++;
    (void)closedir(directory);
    return n;
}
