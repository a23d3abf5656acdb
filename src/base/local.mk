# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE)
src_base_libbase_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
src_base_libbase_a_SOURCES = \
	src/base/advice.c src/base/advice.h \
	src/base/bytes.c src/base/bytes.h \
	src/base/child.c src/base/child.h \
	src/base/cleanup.h \
	src/base/error.c src/base/error.h \
	src/base/heap.c src/base/heap.h \
	src/base/io.c src/base/io.h \
	src/base/pid_file.c src/base/pid_file.h \
	src/base/secret.c src/base/secret.h \
	src/base/text.c src/base/text.h
LIBBASE = src/base/libbase.a $(CRYPTO_LIBS)
