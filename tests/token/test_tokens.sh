#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `p11-kms init`, and matrix.c's suite, on every token that is here, and the tables of what came of
# it. Where all are here, docs/tokens/matrix.md must have the tables; --write puts them there.
set -eu
here=${srcdir:-.}/tests/token
# shellcheck source=tests/token/tables.sh
. "$here/tables.sh"
folder=$(mktemp -d)
results=$folder/results
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT HUP
failed=0 skipped='' passed=''

on() { # TOKEN: each beside a new one
    "$here/in-$1" "$here/token_init.sh" "$1" "$results" auto && "$here/in-$1" tests/token/matrix "$1" "$results"
}

for token in softhsm nss opencryptoki tpm p11-kit; do
    status=0
    on $token || status=$?
    case $status in
    0) passed="$passed $token" ;;
    77) skipped="$skipped $token" ;;
    *) failed=1 ;;
    esac
done

all_tables >"$results.table"
cat "$results.table"
[ $failed = 0 ] || exit 1
[ -z "$skipped" ] || echo "SKIP: not here:$skipped"
[ -n "$passed" ] || exit 77
if [ -z "$skipped" ]; then
    page_compare "$here/../../docs/tokens/matrix.md" '| token | ring.scheme' tests/token/test_tokens.sh "$@"
else
    [ "${1-}" != --write ] || exit 1
fi
