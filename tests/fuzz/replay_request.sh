#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/fuzz/fuzz_request "$srcdir/tests/fuzz/corpus/request"
