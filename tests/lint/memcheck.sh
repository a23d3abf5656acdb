#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The unit tests under valgrind's memcheck, from the top of a built tree. Exit 77: no valgrind.
set -euo pipefail
command -v valgrind >/dev/null || { echo "SKIP: valgrind is missing"; exit 77; }

# Not test_heap, which keeps memory by intent and looks at the allocator that valgrind replaces.
units=$(sed -n 's#^check_PROGRAMS += \(tests/unit/test_[a-z0-9_]*\)$#\1#p' tests/unit/local.mk |
    grep -vx tests/unit/test_heap)
count=$(echo "$units" | wc -l)
[ "$count" -gt 50 ] || { echo "only $count unit tests are found"; exit 1; }

check() {
    timeout 300 valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect "$1" >"$1.memcheck" 2>&1 && return 0
    local status=$?
    echo "---- $1 (exit $status)"
    grep -E '^==|FAILED|LINE' "$1.memcheck" | head -60
    return 1
}
export -f check

# shellcheck disable=SC2086 # a list of names
make -s $units
echo "$units" | xargs -P 2 -I{} bash -c 'check {}'
echo "figure: $count programs clean under memcheck"
