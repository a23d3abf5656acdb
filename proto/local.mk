# SPDX-License-Identifier: Apache-2.0
# C code of the KMS messages, of the admin API's, and of gRPC's health check. v2alpha1 needs none of its own: its bytes are v2's.
#
# protobuf-c ends a string at its first NUL, so that a NUL inside could not be seen. string and
# bytes are the same on the wire, and the C code is generated from the latter.
noinst_LIBRARIES += proto/libproto.a
nodist_proto_libproto_a_SOURCES = \
	proto/admin.pb-c.c proto/admin.pb-c.h \
	proto/health.pb-c.c proto/health.pb-c.h \
	proto/v1beta1.pb-c.c proto/v1beta1.pb-c.h \
	proto/v2.pb-c.c proto/v2.pb-c.h
# Not our code: protobuf-c casts const away in its initialisers.
proto_libproto_a_CFLAGS = $(AM_CFLAGS) $(PROTOBUF_C_CFLAGS) -Wno-cast-qual
I_PROTO = -I$(builddir)/proto $(PROTOBUF_C_CFLAGS)
LIBPROTO = proto/libproto.a $(PROTOBUF_C_LIBS)

BUILT_SOURCES += $(nodist_proto_libproto_a_SOURCES)
CLEANFILES += $(nodist_proto_libproto_a_SOURCES)
EXTRA_DIST += proto/admin.proto proto/health.proto proto/v1beta1.proto proto/v2.proto proto/v2alpha1.proto

proto/%.pb-c.c: $(srcdir)/proto/%.proto
	$(AM_V_GEN)$(MKDIR_P) proto/bytes && \
	$(SED) -E 's/^  (repeated )?string /  \1bytes /' $< > proto/bytes/$*.proto && \
	$(PROTOC_C) --proto_path=proto/bytes --c_out=proto proto/bytes/$*.proto && \
	rm -r proto/bytes/$*.proto

proto/%.pb-c.h: proto/%.pb-c.c
	@test -f $@ || { rm -f $<; $(MAKE) $(AM_MAKEFLAGS) $<; }
