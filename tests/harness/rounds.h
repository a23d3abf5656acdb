/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of time, on a machine that others use too: what is the program's fault is so each time. */
#ifndef P11KMS_TEST_ROUNDS_H
#define P11KMS_TEST_ROUNDS_H

#include "harness.h"

/* Runs the scene until it was within its limits of time, three times at most: then the test fails.
 * All else the scene asserts itself, each time. */
void keeps_its_time(bool (*scene)(void *context), void *context);

/* test_SCENE, for a group whose set-up is harness_setup or begins with it. */
#define TEST_OF_TIME(scene)                                                                        \
    static void test_##scene(void **state)                                                         \
    {                                                                                              \
        struct harness *harness = *state;                                                          \
        keeps_its_time(scene, harness);                                                            \
        harness->passed = true;                                                                    \
    }

#endif
