#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Under valgrind's memcheck, from the top of a built tree: the unit tests; and the agent, with its module,
# as the tests of tests/token start it. Exit 77: no valgrind.
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

# An agent is killed in the end: what it did wrong is in its log, and what it leaks is for the sanitizers.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export folder
cat >"$folder/agent" <<END
#!/bin/sh
exec valgrind -q --log-file="$folder/%p.log" --leak-check=no "$PWD/build/p11-kms-agent" "\$@"
END
chmod +x "$folder/agent"

check_agent() {
    P11KMS_AGENT=$folder/agent srcdir=. timeout 300 "$1" >"$1.memcheck" 2>&1 && return 0
    echo "---- $1 (exit $?)"
    grep -E 'ERROR|LINE|FAILED' "$1.memcheck" | head -20
    return 1
}
export -f check_agent

tokens="tests/token/test_crypt tests/token/test_keys tests/token/test_start tests/token/test_destroy"
make -s -j2 check TESTS= # what the tests start as well
echo "$units" | xargs -P 2 -I{} bash -c 'check {}'
# shellcheck disable=SC2086 # a list of names
printf '%s\n' $tokens | xargs -P 2 -I{} bash -c 'check_agent {}'
agents=$(find "$folder" -name '*.log' | wc -l)
[ "$agents" -gt 50 ] || { echo "only $agents agents ran under memcheck"; exit 1; }
# valgrind does not know mlock2, which the agent does without.
wrong=$(cat "$folder"/*.log | grep '^==' || true)
[ -z "$wrong" ] || { echo "$wrong" | head -60; exit 1; }
echo "figure: $count unit tests and $agents agents clean under memcheck"
