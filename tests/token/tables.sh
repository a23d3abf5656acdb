# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What test_tokens.sh and test_mocks.sh share: tables made of lines "TOKEN|SCHEME|CASE|RESULT" in the
# file $results, and a page that must end with them.

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

all_tables() {
    table init | sed 's/ | scheme | / | ring.scheme | /'
    printf '\n'
    table generate seal open tamper rotate restart recover "two processes"
    printf '\nWhile the token was away, agents said:\n\n'
    table running starting | sed 's#/[^ |]*/##g' # no paths: they differ from machine to machine
}

# page_compare PAGE FIRST SCRIPT [--write]: from the line that begins with FIRST on, the page has the
# file $results.table; or is given it.
page_compare() {
    if [ "${4-}" = --write ]; then
        sed "/^$2/,\$d" "$1" >"$results.page"
        cat "$results.table" >>"$results.page"
        mv "$results.page" "$1"
    elif ! sed -n "/^$2/,\$p" "$1" | cmp -s - "$results.table"; then
        echo "$1 has other tables: $3 --write" >&2
        return 1
    fi
}
