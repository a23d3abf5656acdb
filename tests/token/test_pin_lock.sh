#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The wrong PINs of pin_lock.c on an openCryptoki token, which locks after three.
exec "${srcdir:-.}/tests/token/in-opencryptoki" tests/token/pin-lock
