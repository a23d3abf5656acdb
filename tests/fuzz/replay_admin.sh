#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/fuzz/fuzz_admin "${srcdir:?set by make check}/tests/fuzz/corpus/admin"
