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

# table COLUMN...: of the rows that have one of them.
table() {
    columns=$(printf '|%s' "$@")
    awk -F'|' -v columns="${columns#|}" '
        BEGIN {
            n = split(columns, column, "|")
            printf "| token | scheme"
            for (i = 1; i <= n; i++) printf " | %s", column[i]
            printf " |\n| - | -"
            for (i = 1; i <= n; i++) printf " | -"
            print " |"
        }
        {
            row = $1 " | " $2
            cell[row, $3] = $4
            for (i = 1; i <= n; i++)
                if ($3 == column[i] && !(row in seen)) { seen[row] = 1; rows[++count] = row }
        }
        END {
            for (r = 1; r <= count; r++) {
                printf "| %s", rows[r]
                for (i = 1; i <= n; i++)
                    printf " | %s", (rows[r], column[i]) in cell ? cell[rows[r], column[i]] : "FAILED"
                print " |"
            }
        }' "$results"
}

tables() {
    table generate seal open tamper rotate restart recover "two processes"
    printf '\nWhile the token was away, agents said:\n\n'
    table running starting | sed 's#/[^ |]*/##g' # no paths: they differ from machine to machine
}

tables >"$results.table"
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
