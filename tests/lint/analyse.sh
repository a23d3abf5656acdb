#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck and clang-tidy over the product's own code.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
failed=0
mapfile -t files < <(git ls-files 'src/*.c' 'pkcs11/*.c')
includes=(-Iproto)
for folder in pkcs11 src/*/; do includes+=("-I${folder%/}"); done

# Generated code is not ours; returnDanglingLifetime takes a struct err for a pointer into target.
cppcheck --quiet --suppress='*:proto/*' --suppress=returnDanglingLifetime --error-exitcode=1 --std=c11 --inline-suppr -j "$(nproc)" \
    --enable=warning,performance,portability \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
    -D_GNU_SOURCE '-DP11KMS_VERSION="0"' '-DP11KMS_LIBEXECDIR="/"' "${includes[@]}" \
    src pkcs11 || failed=1

printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -I{} clang-tidy --quiet {} -- \
    -std=gnu11 -D_GNU_SOURCE '-DP11KMS_VERSION="0"' '-DP11KMS_LIBEXECDIR="/"' "${includes[@]}" \
    -I/usr/include/p11-kit-1 || failed=1
exit $failed
