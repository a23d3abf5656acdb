# SPDX-License-Identifier: Apache-2.0
# What Encrypt, Decrypt and Status mean.
noinst_LIBRARIES += src/kms/libkms.a
src_kms_libkms_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS)
src_kms_libkms_a_SOURCES = \
	src/kms/kms.h \
	src/kms/kms_check.c src/kms/kms_check.h \
	src/kms/kms_flight.c src/kms/kms_flight.h src/kms/kms_job.h \
	src/kms/kms_service.c src/kms/kms_service.h
LIBKMS = src/kms/libkms.a $(LIBKEYRING)
