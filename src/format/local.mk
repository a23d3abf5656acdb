# SPDX-License-Identifier: Apache-2.0
# What is stored: names of KEKs, labels, envelopes. Stands on base alone.
noinst_LIBRARIES += src/format/libformat.a
src_format_libformat_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_FORMAT) $(CRYPTO_CFLAGS)
src_format_libformat_a_SOURCES = \
	src/format/attributes.c src/format/attributes.h \
	src/format/envelope.c src/format/envelope.h \
	src/format/key_id.c src/format/key_id.h \
	src/format/key_select.c src/format/key_select.h \
	src/format/quirks.c src/format/quirks.h \
	src/format/schemes.c src/format/schemes.h \
	src/format/token_facts.c src/format/token_facts.h
LIBFORMAT = src/format/libformat.a $(LIBBASE)
