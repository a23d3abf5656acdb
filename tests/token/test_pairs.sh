#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The key pairs of pairs.c on every token that is here.
set -u
here=${srcdir:-.}/tests/token
failed=0 passed=0

# A module that runs in the test leaks what it likes (tpm2-pkcs11 a public key in each reading): what we leak shows
# with SoftHSM.
leaks() { # TOKEN
    [ "$1" = softhsm ] || export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
}

for token in softhsm nss opencryptoki tpm p11-kit; do
    status=0
    (leaks $token && exec "$here/in-$token" tests/token/pairs $token) || status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77)
        echo "$token: SKIPPED, it is not here"
        [ "${CI-}" != true ] || failed=1
        ;;
    *) failed=1 ;;
    esac
done
[ $failed = 0 ] || exit 1
[ $passed -gt 0 ] || exit 77
