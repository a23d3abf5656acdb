/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the rotation and of the orders that it takes fails in turn: the ring comes
 * out as if nothing had happened, after one try more at most. */
#include "alloc_fail.h"
#include "rotation_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void by_itself(void)
{
    assert_int_equal(rig_setup(NULL), 0);
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(HOUR_MS, SOON_MS, 1000);
    alloc_begin();
    fake_token_wait(&rig.token, KEY_DEACTIVATED, 1);
    (void)rig_settle();
    alloc_end();
    assert_in_range(rig_keys(), 2, 3); /* one made in vain is no harm */
    rig_expect_key(0, 7, KEY_DEACTIVATED);
    assert_int_equal(fake_token_count(&rig.token, KEY_ACTIVE), 1);
    assert_int_equal(rig_teardown(NULL), 0);
}

/* Refused for want of memory, or done; done for sure when it is given once more. */
static struct ring_report order(enum ring_command command)
{
    struct ring_report report = rig_order(command, NULL);
    if (report.code == ERR_NONE)
        return report;
    assert_true(alloc_failed());
    assert_true(report.code == ERR_EXHAUSTED || report.code == ERR_UNAVAILABLE);
    assert_true(report.text[0] != '\0');
    alloc_end();
    return rig_order(command, NULL);
}

static void ordered(void)
{
    assert_int_equal(rig_setup(NULL), 0);
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, HOUR_MS, 1000);
    (void)rig_settle();
    alloc_begin();
    struct ring_report made = order(RING_ROTATE);
    alloc_end();
    /* Made, but memory failed before that could be told: the second order says so. */
    if (made.code != ERR_NONE && !strstr(made.text, "on its way already"))
        fail_msg("%s", made.text);
    assert_in_range(rig_keys(), 2, 3);
    rig_expect_key(0, 7, KEY_ACTIVE);
    assert_int_equal(rig_teardown(NULL), 0);
}

static void rotation_by_itself(void **state)
{
    (void)state;
    alloc_sweep("rotation", by_itself);
}

static void rotation_by_order(void **state)
{
    (void)state;
    alloc_sweep("order to rotate", ordered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotation_by_itself),
        cmocka_unit_test(rotation_by_order),
    };
    rig_aside = fake_agent_aside = alloc_exempt;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
