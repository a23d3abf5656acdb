# SPDX-License-Identifier: Apache-2.0
# The configuration. Stands on base and the stored formats (ring and scheme names).
noinst_LIBRARIES += src/config/libconfig.a
src_config_libconfig_a_CPPFLAGS = $(AM_CPPFLAGS) $(I_CONFIG)
src_config_libconfig_a_CFLAGS = $(AM_CFLAGS) $(YAML_CFLAGS) $(CYAML_CFLAGS) $(P11KIT_CFLAGS)
src_config_libconfig_a_SOURCES = \
	src/config/config.c src/config/config.h \
	src/config/document.c src/config/document.h \
	src/config/keys.c src/config/keys.h \
	src/config/raw.c src/config/raw.h \
	src/config/suggest.c src/config/suggest.h \
	src/config/token_uri.c src/config/token_uri.h \
	src/config/values.c src/config/values.h
LIBCONFIG = src/config/libconfig.a $(LIBFORMAT) $(CYAML_LIBS) $(YAML_LIBS) $(P11KIT_LIBS)
