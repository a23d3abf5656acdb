#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Follows docs/drills.md to the letter, in a directory of its own, and looks at what it shows.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v softhsm2-util >/dev/null || exit 77
dir=$(mktemp -d /tmp/p11-kms-test.XXXXXX)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT

# The page's n-th block of commands.
block() { # N
    awk -v n="$1" '/^```sh$/ { i++; on = i == n; next } /^```$/ { on = 0 } on' docs/drills.md |
        sed "s|/tmp/drill|$dir|g"
}

expect() { # PATTERN...
    local pattern
    for pattern; do
        grep -qE "$pattern" "$dir/shown" && continue
        printf 'the drill does not show %s but:\n' "$pattern"
        cat "$dir/shown"
        exit 1
    done
}

run() { # N
    : >"$dir/shown"
    # shellcheck disable=SC1090 # the page's own words
    source <(block "$1") >>"$dir/shown" 2>&1
}

set +eu
run 1
expect 'result: +created' 'healthz: +ok'
run 2
expect 'healthz: .*CKR_DEVICE_ERROR' 'healthz: +ok'
run 3
expect '^C_DecryptInit pid [0-9]+ crash' 'healthz: +ok' 'killed by signal 11'
run 4
expect 'healthz: .*locks at the next wrong PIN' '^0$' 'healthz: +ok'
[ "$(grep -c '^```sh$' docs/drills.md)" = 4 ] || { echo "docs/drills.md has other drills"; exit 1; }
