#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The house rules that a machine can check. Prints each breach and exits 1 if there is one.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
failed=0
breach() {
    printf 'lint: %s\n' "$*" >&2
    failed=1
}

mapfile -t c_files < <(git ls-files '*.c' '*.h')
mapfile -t all_files < <(git ls-files | grep -Ev '\.(bin|sum)$|/corpus/')
mapfile -t scripts < <(grep -rlIE '^#!.*\b(ba)?sh$' -- "${all_files[@]}")

# Formatting: one .clang-format.
clang-format --dry-run --Werror "${c_files[@]}" || breach "files above: not as clang-format leaves them"

# Every source says its licence.
for file in "${all_files[@]}"; do
    case $file in
    *.c | *.h | *.mk | *.am | *.ac | *.sh | *.go | *.py | *.proto | scripts/* | systemd/*)
        head -3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || breach "$file: no SPDX line" ;;
    esac
done

# gRPC, protobuf-c and PKCS#11 each stay in their layer.
only() { # PATTERN WHAT FOLDER...
    local pattern=$1 what=$2 file folder ok
    shift 2
    while read -r file; do
        ok=no
        for folder in "$@"; do [[ $file == $folder* ]] && ok=yes; done
        [ $ok = yes ] || breach "$file: $what belongs to $*"
    done < <(git grep -lE "$pattern" -- '*.c' '*.h')
}
only '#include <grpc/' 'gRPC core' src/rpc/ src/client/ tests/
only '#include <p11-kit/pkcs11' 'PKCS#11' pkcs11/ faultp11/ tests/
only '#include "log\.h"' 'the log' src/obs/ src/rpc/front_ src/rpc/refusals src/monitor/ src/cli/ src/agent/main.c tests/
only '\bCK_RV\b' 'CK_RV' pkcs11/ faultp11/ tests/
only '\.pb-c\.h"' 'generated protobuf code' src/rpc/api_ src/rpc/admin_api src/rpc/health_api src/client/ tests/

# One file and one table row: a file without its row is never reached.
row() { # GLOB TABLE
    local file name
    for file in $1; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .c)
        name=${name#api_}
        grep -qE "(\b|_)$name(_|\b)" "$2" || breach "$file: no row in $2"
    done
}
row 'src/agent/scheme_[!t]*.c' src/agent/scheme_table.c
row 'src/cli/cmd_*.c' src/cli/commands.c
row 'src/rpc/api_v*.c' src/rpc/kms_api.c

# Raw mistakes.
ban() { # PATTERN WHY
    git grep -nE "$1" -- 'src/*.[ch]' 'pkcs11/*.[ch]' && breach "$2"
}
ban '\b(atoi|atol|strcpy|strcat|sprintf|gets|strtok|system|popen|tmpnam|mktemp)\(' 'a banned function'
ban '\b(TODO|FIXME|XXX|HACK)\b' 'unfinished work in the code'
ban '\bassert\(' 'assert is no error handling'
git grep -nE '^\s*//|;\s*//' -- 'src/*.[ch]' 'pkcs11/*.[ch]' && breach 'comments are /* */'

# Sizes: functions at most 80 lines, files at most 500.
for file in $(git ls-files 'src/*.c' 'pkcs11/*.c'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 500 ] || breach "$file: $lines lines (at most 500)"
    awk -v file="$file" '
        /^[a-zA-Z_].*\)$/ || /^[a-zA-Z_ ].*[^;]$/ { candidate = $0 }
        /^{/ { start = NR }
        /^}/ { if (start && NR - start - 1 > 80) { print file ":" start ": function of " NR - start - 1 " lines (at most 80)"; bad = 1 } start = 0 }
        END { exit bad }' "$file" >&2 || failed=1
done

# The same sleep that makes a test green makes it lie.
git grep -nE '\b(sleep|usleep|nanosleep)\(' -- 'tests/unit' 'tests/token' 'tests/protocol' 'tests/fault' |
    grep -v 'lint: polls a condition' && breach 'tests wait on events'

shellcheck -x "${scripts[@]}" || failed=1

[ $failed = 0 ] && echo "lint: clean (${#c_files[@]} C files, ${#scripts[@]} scripts)"
exit $failed
