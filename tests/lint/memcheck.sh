#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Under valgrind's memcheck, from the top of a built tree: the unit tests; the agent, with its module, as
# the tests of tests/token start it; and monitor, front end, agent and the agent that makes keys, as tests
# of the whole daemon start them. Exit 77: no valgrind.
set -euo pipefail
command -v valgrind >/dev/null || { echo "SKIP: valgrind is missing"; exit 77; }

# Not test_heap, which keeps memory by intent and looks at the allocator that valgrind replaces.
units=$(sed -n 's#^check_PROGRAMS += \(tests/unit/test_[a-z0-9_]*\)$#\1#p' tests/unit/local.mk |
    grep -vx tests/unit/test_heap)
tokens="tests/token/test_crypt tests/token/test_keys tests/token/test_start tests/token/test_destroy"
daemons="tests/protocol/assertions_life tests/fault/agent tests/fault/processes tests/protocol/admin tests/protocol/assertions_calls"
count=$(echo "$units" | wc -l)
[ "$count" -gt 50 ] || { echo "only $count unit tests are found"; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
leaks="--leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect"
export folder leaks

# What stands for a program of the build: it notes each start, and has a log for each process.
stand_in() { # NAME PROGRAM OPTIONS, after: LINES
    cat >"$folder/$1" <<END
#!/bin/sh
echo $1 >>"$folder/started"
$(cat)
exec valgrind -q --log-file="$folder/$1.%p.log" $3 "$PWD/build/$2" "\$@"
END
    chmod +x "$folder/$1"
}
# One that a test starts is killed in the end: what it leaks is for the sanitizers.
stand_in agent p11-kms-agent --leak-check=no </dev/null
stand_in front-end p11-kmsd "$leaks" </dev/null
stand_in monitor p11-kmsd "$leaks" <<END
export P11KMS_TEST_FRONT_END="$folder/front-end" LD_PRELOAD="$PWD/tests/harness/front-end-path.so"
set -- "\$@" --agent "$folder/agent"
END

# KIND PROGRAM
check() {
    local status=0 log=$2.memcheck
    case $1 in
    unit)
        # shellcheck disable=SC2086 # a list of options
        P11KMS_MEMCHECK=yes timeout 900 valgrind -q --error-exitcode=99 $leaks "$2" >"$log" 2>&1 || status=$?
        ;;
    token)
        P11KMS_MEMCHECK=yes P11KMS_AGENT=$folder/agent srcdir=. timeout 1800 "$2" >"$log" 2>&1 || status=$?
        ;;
    daemon) P11KMS_DAEMON=$folder/monitor srcdir=. timeout 1800 "$2" >"$log" 2>&1 || status=$? ;;
    esac
    [ $status != 0 ] || return 0
    echo "---- $2 (exit $status)"
    grep -E '^==|ERROR|FAILED|LINE' "$log" | head -60
    return 1
}
export -f check

make -s -j2 check TESTS= # what the tests start as well
# The longest first, and one more than there are processors: tests of the whole also wait.
# shellcheck disable=SC2086 # lists of names
{
    printf 'token %s\n' $tokens
    printf 'daemon %s\n' $daemons
    printf 'unit %s\n' tests/unit/test_agent_pin_record tests/unit/test_scheme_rsa_oaep_sign
    printf 'unit %s\n' $units | grep -vE '/test_(agent_pin_record|scheme_rsa_oaep_sign)$'
} | xargs -P "$(($(nproc) + 1))" -L 1 bash -c 'check "$@"' check || failed=1

started() { # NAME LEAST
    local n
    n=$(grep -cx "$1" "$folder/started")
    [ "$n" -ge "$2" ] || { echo "only $n times $1 was run under memcheck" >&2; return 1; }
    echo "$n"
}
monitors=$(started monitor 30)
front_ends=$(started front-end 30)
agents=$(started agent 100)
for name in monitor front-end agent; do
    # valgrind does not know mlock2, which the agent does without: its words on that begin with --.
    wrong=$(find "$folder" -name "$name.*.log" -exec cat {} + | grep '^==' || true)
    [ -z "$wrong" ] || { failed=1; printf -- '---- %s\n%s\n' "$name" "$(echo "$wrong" | head -40)"; }
done
[ -z "${failed-}" ] || exit 1
echo "figure: $count unit tests, $monitors monitors, $front_ends front ends and $agents agents clean under memcheck"
