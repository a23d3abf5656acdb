#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The key pairs of pairs.c on every token that is here.
set -u
here=${srcdir:-.}/tests/token
failed=0 passed=0

for token in softhsm nss opencryptoki tpm p11-kit; do
    status=0
    "$here/in-$token" tests/token/pairs $token || status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77) ;;
    *) failed=1 ;;
    esac
done
[ $failed = 0 ] || exit 1
[ $passed -gt 0 ] || exit 77
