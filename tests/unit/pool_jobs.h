/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs for a lane pool under test, and what became of them. */
#ifndef P11KMS_POOL_JOBS_H
#define P11KMS_POOL_JOBS_H

#include "fake_agent.h"
#include "lane_pool.h"

#include <stdatomic.h>

struct test_job {
    struct lane_job lane; /* first */
    atomic_bool abandoned;
    unsigned done; /* guarded by a lock of pool_jobs.c, as are the rest */
    struct err error;
    enum err_code status;
    unsigned order; /* of all jobs that ended since pool_jobs_reset: from 1 */
    size_t plaintext_len;
    uint8_t plaintext[PLAINTEXT_MAX];
};

/* Sets up secrets, a watchdog, and the counts: once per program. */
int pool_jobs_setup(void **state);

/* Submits an open (LANE_OPEN) of the fake envelope of `text`, which may wait for a minute. */
void job_submit(struct lane_pool *pool, struct test_job *job, const char *text);

/* The same with a deadline (monotonic). */
void job_submit_until(struct lane_pool *pool, struct test_job *job, const char *text,
                      int64_t deadline_ns);

/* A job of a flow, which may wait for a minute. */
void job_submit_in(struct lane_pool *pool, struct test_job *job, uint64_t flow);

/* Waits until the job has ended, and fails unless once and with this error. */
void job_expect(struct test_job *job, enum err_code code);

/* Waits for the job's end, and that it was answered with this text. */
void job_expect_text(struct test_job *job, const char *text);

/* Whether it has ended by now. */
bool job_ended(struct test_job *job);

/* A pool's hooks, which count. */
extern const struct lane_pool_hooks pool_hooks;
void condemned_wait(uint64_t generation);
unsigned condemned_count(void);
void lanes_ended_wait(unsigned least);
unsigned lanes_ended_count(void);
void condemned_reset(void);

/* Open file descriptors of this process. */
unsigned fd_count(void);

#endif
