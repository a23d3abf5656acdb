# SPDX-License-Identifier: Apache-2.0
# The ring in memory and the keeper that looks after it.
noinst_LIBRARIES += src/keyring/libkeyring.a
src_keyring_libkeyring_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING)
src_keyring_libkeyring_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
src_keyring_libkeyring_a_SOURCES = \
	src/keyring/keeper.c src/keyring/keeper.h \
	src/keyring/keeper_external.c \
	src/keyring/keeper_heir.c src/keyring/keeper_lone.c src/keyring/keeper_look.c \
	src/keyring/keeper_private.h \
	src/keyring/keeper_prove.c \
	src/keyring/keyring.c src/keyring/keyring.h \
	src/keyring/known_keks.c src/keyring/known_keks.h \
	src/keyring/maker.c src/keyring/maker.h \
	src/keyring/ring_adopt.c src/keyring/ring_adopt.h \
	src/keyring/ring_adopted.c src/keyring/ring_adopted.h \
	src/keyring/ring_external.c src/keyring/ring_external.h \
	src/keyring/ring_look.c src/keyring/ring_look.h \
	src/keyring/ring_plan.c src/keyring/ring_plan.h \
	src/keyring/ring_retired.c src/keyring/ring_retired.h \
	src/keyring/ring_state.c src/keyring/ring_state.h \
	src/keyring/scheme_choice.c src/keyring/scheme_choice.h \
	src/keyring/rotation_maker.c \
	src/keyring/rotation.c src/keyring/rotation.h \
	src/keyring/rotation_orders.c \
	src/keyring/rotation_steps.c src/keyring/rotation_private.h \
	src/keyring/rotation_tell.c \
	src/keyring/seal_count.c src/keyring/seal_count.h
LIBKEYRING = src/keyring/libkeyring.a $(LIBLANE)
