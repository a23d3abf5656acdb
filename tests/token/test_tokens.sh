#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# matrix.c's suite on every token that is here, and the table of what came of it. Where all are here,
# docs/tokens/matrix.md must have that table; --write puts it there.
set -eu
here=${srcdir:-.}/tests/token
folder=$(mktemp -d)
results=$folder/results
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT HUP
failed=0 skipped='' passed=''

for token in softhsm nss opencryptoki tpm p11-kit; do
    status=0
    "$here/in-$token" tests/token/matrix $token "$results" || status=$?
    case $status in
    0) passed="$passed $token" ;;
    77) skipped="$skipped $token" ;;
    *) failed=1 ;;
    esac
done

table() {
    awk -F'|' '
        BEGIN {
            n = split("generate|seal|open|tamper|rotate|restart|recover|two processes", columns, "|")
            printf "| token | scheme"
            for (i = 1; i <= n; i++) printf " | %s", columns[i]
            printf " |\n| - | -"
            for (i = 1; i <= n; i++) printf " | -"
            print " |"
        }
        { row = $1 " | " $2; if (!(row in seen)) { seen[row] = 1; rows[++count] = row } cell[row, $3] = $4 }
        END {
            for (r = 1; r <= count; r++) {
                printf "| %s", rows[r]
                for (i = 1; i <= n; i++)
                    printf " | %s", (rows[r], columns[i]) in cell ? cell[rows[r], columns[i]] : "FAILED"
                print " |"
            }
        }' "$results"
}

table >"$results.table"
cat "$results.table"
[ $failed = 0 ] || exit 1
[ -z "$skipped" ] || echo "SKIP: not here:$skipped"
[ -n "$passed" ] || exit 77
page=$here/../../docs/tokens/matrix.md
if [ "${1-}" = --write ]; then
    [ -z "$skipped" ] || exit 1
    sed '/^| token | scheme/,$d' "$page" >"$results.page"
    cat "$results.table" >>"$results.page"
    mv "$results.page" "$page"
elif [ -z "$skipped" ] && ! sed -n '/^| token | scheme/,$p' "$page" | cmp -s - "$results.table"; then
    echo "$page has another table: tests/token/test_tokens.sh --write" >&2
    exit 1
fi
