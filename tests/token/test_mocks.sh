#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What p11-kms makes of tokens that cannot be had here: `init`, and matrix.c's suite, on each
# personality of mockp11. docs/tokens/mocks.md must have the tables; --write puts them there.
set -eu
here=${srcdir:-.}/tests/token
# shellcheck source=tests/token/tables.sh
. "$here/tables.sh"
folder=$(mktemp -d)
results=$folder/results
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT HUP
failed=0

beside() { # PERSONALITY PROGRAM [ARGUMENT...]
    personality=$1 status=0
    shift
    P11KMS_MOCK=$personality "$here/in-mock" "$@" || status=$?
    [ $status != 77 ] || exit 77
    [ $status = 0 ] || failed=1
}

for mock in own-iv cloudhsm iv-appended no-gcm few-sessions finalize new-process read-only-user \
    protected-path liar same-mac no-aad; do
    schemes=auto
    case $mock in
    same-mac) schemes='auto hmac-derive aes-cbc-hmac' ;;
    no-aad) schemes='auto aes-gcm' ;;
    esac
    # shellcheck disable=SC2086 # words
    beside $mock "$here/token_init.sh" $mock "$results" $schemes
    beside $mock tests/token/matrix $mock "$results"
done

all_tables | grep -v "KEK that was in use is gone" >"$results.table" # SoftHSM's own words
cat "$results.table"
[ $failed = 0 ] || exit 1
page_compare "$here/../../docs/tokens/mocks.md" '| token | ring.scheme' tests/token/test_mocks.sh "$@"
