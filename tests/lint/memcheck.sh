#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unit tests under valgrind's memcheck, from the top of a built tree. Exit 77: no valgrind.
set -euo pipefail
command -v valgrind >/dev/null || { echo "SKIP: valgrind is missing"; exit 77; }
units="tests/unit/test_lane_pool tests/unit/test_kms_service tests/unit/test_agent_pin_record tests/unit/test_login_lock"
# shellcheck disable=SC2086 # a list of names
make -s $units
for unit in $units; do
    timeout 120 valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect "$unit"
done
echo "figure: $(echo "$units" | wc -w) programs clean under memcheck"
