# SPDX-License-Identifier: Apache-2.0

I_UNIT_CONFIG = $(AM_CPPFLAGS) $(I_CONFIG)
I_UNIT_MONITOR = $(AM_CPPFLAGS) $(I_MONITOR) -I$(srcdir)/tests/unit \
	-DFAKE_CHILD='"$(abs_builddir)/tests/unit/fake_child"'

FAKE_AGENT = tests/unit/fake_agent.c tests/unit/fake_agent.h \
	tests/unit/fake_token.c tests/unit/fake_token.h
ROTATION_RIG = tests/unit/rotation_rig.c tests/unit/rotation_rig.h $(FAKE_AGENT)

check_PROGRAMS += tests/unit/test_config
TESTS += tests/unit/test_config
tests_unit_test_config_CPPFLAGS = $(I_UNIT_CONFIG)
tests_unit_test_config_LDADD = $(LIBCONFIG) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_config_errors
TESTS += tests/unit/test_config_errors
tests_unit_test_config_errors_CPPFLAGS = $(I_UNIT_CONFIG)
tests_unit_test_config_errors_LDADD = $(LIBCONFIG) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_config_docs
TESTS += tests/unit/test_config_docs
tests_unit_test_config_docs_CPPFLAGS = $(I_UNIT_CONFIG)
tests_unit_test_config_docs_LDADD = $(LIBCONFIG) $(CMOCKA_LIBS)
EXTRA_DIST += docs/configuration.md

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(I_OBS)
tests_unit_test_log_LDADD = $(LIBOBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_log_output
TESTS += tests/unit/test_log_output
tests_unit_test_log_output_CPPFLAGS = $(AM_CPPFLAGS) $(I_OBS)
tests_unit_test_log_output_LDADD = $(LIBOBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/fake_child
tests_unit_fake_child_CPPFLAGS = $(AM_CPPFLAGS) $(I_MONITOR)
tests_unit_fake_child_LDADD = $(LIBMONITOR)

check_PROGRAMS += tests/unit/test_monitor
tests_unit_test_monitor_SOURCES = tests/unit/test_monitor.c tests/unit/monitor_harness.c \
	tests/unit/monitor_harness.h
tests_unit_test_monitor_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_heirs
tests_unit_test_monitor_heirs_SOURCES = tests/unit/test_monitor_heirs.c \
	tests/unit/monitor_harness.c tests/unit/monitor_harness.h
tests_unit_test_monitor_heirs_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_heirs_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_options
TESTS += tests/unit/test_monitor_options
tests_unit_test_monitor_options_SOURCES = tests/unit/test_monitor_options.c \
	tests/unit/monitor_harness.c tests/unit/monitor_harness.h
tests_unit_test_monitor_options_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_options_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_backoff
TESTS += tests/unit/test_monitor_backoff
tests_unit_test_monitor_backoff_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_backoff_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_state_lock
TESTS += tests/unit/test_monitor_state_lock
tests_unit_test_monitor_state_lock_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_state_lock_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_listener
TESTS += tests/unit/test_monitor_listener
tests_unit_test_monitor_listener_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_listener_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_heartbeat
TESTS += tests/unit/test_monitor_heartbeat
tests_unit_test_monitor_heartbeat_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_heartbeat_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_monitor_listener_http
TESTS += tests/unit/test_monitor_listener_http
tests_unit_test_monitor_listener_http_CPPFLAGS = $(I_UNIT_MONITOR)
tests_unit_test_monitor_listener_http_LDADD = $(LIBMONITOR) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_timed
TESTS += tests/unit/test_timed
tests_unit_test_timed_CPPFLAGS = $(AM_CPPFLAGS) $(I_OBS)
tests_unit_test_timed_LDADD = $(LIBOBS) $(CMOCKA_LIBS) -lpthread

check_PROGRAMS += tests/unit/test_http_server
tests_unit_test_http_server_CPPFLAGS = $(AM_CPPFLAGS) $(I_OBS)
tests_unit_test_http_server_LDADD = $(LIBOBS) $(MICROHTTPD_LIBS) $(CMOCKA_LIBS) -lpthread

dist_check_SCRIPTS += tests/unit/test_systemd_units.sh
TESTS += tests/unit/test_systemd_units.sh

check_PROGRAMS += tests/unit/test_login_lock
TESTS += tests/unit/test_login_lock
tests_unit_test_login_lock_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE)
tests_unit_test_login_lock_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_control
TESTS += tests/unit/test_control
tests_unit_test_control_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE)
tests_unit_test_control_LDADD = $(LIBLANE) $(CMOCKA_LIBS)
UNIT_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)

check_PROGRAMS += tests/unit/test_bytes
TESTS += tests/unit/test_bytes
tests_unit_test_bytes_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE)
tests_unit_test_bytes_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_bytes_SOURCES = tests/unit/test_bytes.c
tests_unit_test_bytes_LDADD = $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_heap
TESTS += tests/unit/test_heap
tests_unit_test_heap_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE)
tests_unit_test_heap_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_SOURCES = tests/unit/test_heap.c
tests_unit_test_heap_LDADD = $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_io
TESTS += tests/unit/test_io
tests_unit_test_io_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE)
tests_unit_test_io_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_io_SOURCES = tests/unit/test_io.c
tests_unit_test_io_LDADD = $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_secret
TESTS += tests/unit/test_secret
tests_unit_test_secret_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE)
tests_unit_test_secret_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_secret_SOURCES = tests/unit/test_secret.c
tests_unit_test_secret_LDADD = $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_text
TESTS += tests/unit/test_text
tests_unit_test_text_CPPFLAGS = $(AM_CPPFLAGS) $(I_BASE)
tests_unit_test_text_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_LDADD = $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_envelope
TESTS += tests/unit/test_envelope
tests_unit_test_envelope_CPPFLAGS = $(AM_CPPFLAGS) $(I_FORMAT)
tests_unit_test_envelope_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_envelope_SOURCES = tests/unit/test_envelope.c tests/unit/gcm_vectors.h tests/unit/hex.h
tests_unit_test_envelope_LDADD = $(LIBFORMAT) $(CMOCKA_LIBS)

dist_check_SCRIPTS += tests/unit/test_envelope_docs.sh
TESTS += tests/unit/test_envelope_docs.sh
EXTRA_DIST += docs/envelope.md

check_PROGRAMS += tests/unit/test_key_id
TESTS += tests/unit/test_key_id
tests_unit_test_key_id_CPPFLAGS = $(AM_CPPFLAGS) $(I_FORMAT)
tests_unit_test_key_id_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_key_id_SOURCES = tests/unit/test_key_id.c
tests_unit_test_key_id_LDADD = $(LIBFORMAT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_key_select
TESTS += tests/unit/test_key_select
tests_unit_test_key_select_CPPFLAGS = $(AM_CPPFLAGS) $(I_FORMAT)
tests_unit_test_key_select_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_key_select_SOURCES = tests/unit/test_key_select.c
tests_unit_test_key_select_LDADD = $(LIBFORMAT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_quirks
TESTS += tests/unit/test_quirks
tests_unit_test_quirks_CPPFLAGS = $(AM_CPPFLAGS) $(I_FORMAT)
tests_unit_test_quirks_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_quirks_SOURCES = tests/unit/test_quirks.c
tests_unit_test_quirks_LDADD = $(LIBFORMAT) $(CMOCKA_LIBS)
EXTRA_DIST += docs/tokens/quirks.md

check_PROGRAMS += tests/unit/test_lane
TESTS += tests/unit/test_lane
tests_unit_test_lane_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE)
tests_unit_test_lane_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lane_SOURCES = tests/unit/test_lane.c
tests_unit_test_lane_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_p11_ckr
TESTS += tests/unit/test_p11_ckr
tests_unit_test_p11_ckr_CPPFLAGS = $(AM_CPPFLAGS) $(I_PKCS11)
tests_unit_test_p11_ckr_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_p11_ckr_SOURCES = tests/unit/test_p11_ckr.c
tests_unit_test_p11_ckr_LDADD = $(LIBPKCS11) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ckr_docs
TESTS += tests/unit/test_ckr_docs
tests_unit_test_ckr_docs_CPPFLAGS = $(HARNESS_CPPFLAGS) -I$(srcdir)/pkcs11 -I$(srcdir)/src/rpc
tests_unit_test_ckr_docs_CFLAGS = $(HARNESS_CFLAGS)
tests_unit_test_ckr_docs_SOURCES = tests/unit/test_ckr_docs.c
tests_unit_test_ckr_docs_LDADD = pkcs11/libpkcs11.a $(HARNESS_LDADD) $(LIBRPC) $(P11KIT_LIBS)

check_PROGRAMS += tests/unit/test_agent_key_cache
TESTS += tests/unit/test_agent_key_cache
tests_unit_test_agent_key_cache_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT)
tests_unit_test_agent_key_cache_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_agent_key_cache_SOURCES = tests/unit/test_agent_key_cache.c
tests_unit_test_agent_key_cache_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_scheme_hmac_derive
TESTS += tests/unit/test_scheme_hmac_derive
tests_unit_test_scheme_hmac_derive_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_scheme_hmac_derive_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_scheme_hmac_derive_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wipe
tests_unit_test_scheme_hmac_derive_SOURCES = tests/unit/test_scheme_hmac_derive.c tests/unit/hex.h
tests_unit_test_scheme_hmac_derive_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_scheme_aes_gcm
TESTS += tests/unit/test_scheme_aes_gcm
tests_unit_test_scheme_aes_gcm_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_scheme_aes_gcm_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_scheme_aes_gcm_SOURCES = tests/unit/test_scheme_aes_gcm.c tests/unit/gcm_token.c \
	tests/unit/gcm_token.h tests/unit/gcm_vectors.h tests/unit/hex.h
tests_unit_test_scheme_aes_gcm_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_scheme_aes_cbc_hmac
TESTS += tests/unit/test_scheme_aes_cbc_hmac
tests_unit_test_scheme_aes_cbc_hmac_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_scheme_aes_cbc_hmac_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_scheme_aes_cbc_hmac_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wipe
tests_unit_test_scheme_aes_cbc_hmac_SOURCES = tests/unit/test_scheme_aes_cbc_hmac.c \
	tests/unit/cbc_token.c tests/unit/cbc_token.h tests/unit/hex.h
tests_unit_test_scheme_aes_cbc_hmac_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_padding
TESTS += tests/unit/test_padding
tests_unit_test_padding_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT)
tests_unit_test_padding_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_padding_SOURCES = tests/unit/test_padding.c
tests_unit_test_padding_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_scheme_rsa_oaep_sign
TESTS += tests/unit/test_scheme_rsa_oaep_sign
tests_unit_test_scheme_rsa_oaep_sign_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_scheme_rsa_oaep_sign_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_scheme_rsa_oaep_sign_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wipe
tests_unit_test_scheme_rsa_oaep_sign_SOURCES = tests/unit/test_scheme_rsa_oaep_sign.c $(PAIR_SOURCES)
tests_unit_test_scheme_rsa_oaep_sign_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)
PAIR_SOURCES = tests/unit/hex.h tests/unit/pair_calls.c tests/unit/pair_calls.h tests/unit/pair_format.c \
	tests/unit/pair_format.h tests/unit/pair_token.c tests/unit/pair_token.h tests/unit/made_rsa.c \
	tests/unit/made_rsa.h

check_PROGRAMS += tests/unit/test_pair_halves
TESTS += tests/unit/test_pair_halves
tests_unit_test_pair_halves_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_pair_halves_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_pair_halves_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wipe
tests_unit_test_pair_halves_SOURCES = tests/unit/test_pair_halves.c $(PAIR_SOURCES)
tests_unit_test_pair_halves_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_local_pk
TESTS += tests/unit/test_local_pk
tests_unit_test_local_pk_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT)
tests_unit_test_local_pk_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_local_pk_SOURCES = tests/unit/test_local_pk.c tests/unit/made_rsa.c tests/unit/made_rsa.h
tests_unit_test_local_pk_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ecdsa_recover
TESTS += tests/unit/test_ecdsa_recover
tests_unit_test_ecdsa_recover_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT)
tests_unit_test_ecdsa_recover_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_ecdsa_recover_SOURCES = tests/unit/test_ecdsa_recover.c tests/unit/hex.h
tests_unit_test_ecdsa_recover_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_agent_list
TESTS += tests/unit/test_agent_list
tests_unit_test_agent_list_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_agent_list_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_agent_list_SOURCES = tests/unit/test_agent_list.c
tests_unit_test_agent_list_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_lane_serve
TESTS += tests/unit/test_lane_serve
tests_unit_test_lane_serve_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT) $(P11KIT_CFLAGS)
tests_unit_test_lane_serve_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lane_serve_SOURCES = tests/unit/test_lane_serve.c
tests_unit_test_lane_serve_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_p11_session
TESTS += tests/unit/test_p11_session
tests_unit_test_p11_session_CPPFLAGS = $(AM_CPPFLAGS) $(I_PKCS11) $(P11KIT_CFLAGS)
tests_unit_test_p11_session_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_p11_session_SOURCES = tests/unit/test_p11_session.c
tests_unit_test_p11_session_LDADD = $(LIBPKCS11) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_agent_pin_record
TESTS += tests/unit/test_agent_pin_record
tests_unit_test_agent_pin_record_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT)
tests_unit_test_agent_pin_record_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_agent_pin_record_SOURCES = tests/unit/test_agent_pin_record.c
tests_unit_test_agent_pin_record_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_agent_pin_source
TESTS += tests/unit/test_agent_pin_source
tests_unit_test_agent_pin_source_CPPFLAGS = $(AM_CPPFLAGS) $(I_AGENT)
tests_unit_test_agent_pin_source_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_agent_pin_source_SOURCES = tests/unit/test_agent_pin_source.c
tests_unit_test_agent_pin_source_LDADD = $(LIBAGENT) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_frame_meter
TESTS += tests/unit/test_frame_meter
tests_unit_test_frame_meter_CPPFLAGS = $(AM_CPPFLAGS) $(I_RPC)
tests_unit_test_frame_meter_LDADD = src/rpc/librpc.a $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_rpc_guard
TESTS += tests/unit/test_rpc_guard
tests_unit_test_rpc_guard_CPPFLAGS = $(AM_CPPFLAGS) $(I_RPC)
tests_unit_test_rpc_guard_LDADD = src/rpc/librpc.a $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_rpc_peers
TESTS += tests/unit/test_rpc_peers
tests_unit_test_rpc_peers_CPPFLAGS = $(AM_CPPFLAGS) $(I_RPC)
tests_unit_test_rpc_peers_LDADD = src/rpc/librpc.a $(LIBBASE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_cli
TESTS += tests/unit/test_cli
tests_unit_test_cli_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLI)
tests_unit_test_cli_LDADD = $(LIBCLI) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_cli_show
TESTS += tests/unit/test_cli_show
tests_unit_test_cli_show_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLI)
tests_unit_test_cli_show_LDADD = $(LIBCLI) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_lane_queue
TESTS += tests/unit/test_lane_queue
tests_unit_test_lane_queue_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) $(CMOCKA_CFLAGS)
tests_unit_test_lane_queue_SOURCES = tests/unit/test_lane_queue.c
tests_unit_test_lane_queue_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_lane_pool
TESTS += tests/unit/test_lane_pool
tests_unit_test_lane_pool_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) $(CMOCKA_CFLAGS)
tests_unit_test_lane_pool_SOURCES = tests/unit/test_lane_pool.c \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_lane_pool_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_lane_pool_faults
TESTS += tests/unit/test_lane_pool_faults
tests_unit_test_lane_pool_faults_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) $(CMOCKA_CFLAGS)
tests_unit_test_lane_pool_faults_SOURCES = tests/unit/test_lane_pool_faults.c \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_lane_pool_faults_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_control_faults
TESTS += tests/unit/test_control_faults
tests_unit_test_control_faults_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) $(CMOCKA_CFLAGS)
tests_unit_test_control_faults_SOURCES = tests/unit/test_control_faults.c
tests_unit_test_control_faults_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_agent_process tests/unit/agent_probe
TESTS += tests/unit/test_agent_process
tests_unit_agent_probe_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE)
tests_unit_agent_probe_SOURCES = tests/unit/agent_probe.c
tests_unit_agent_probe_LDADD = $(LIBLANE)
tests_unit_test_agent_process_CPPFLAGS = $(AM_CPPFLAGS) $(I_LANE) $(CMOCKA_CFLAGS) \
	-DAGENT_PROBE='"$(abs_builddir)/tests/unit/agent_probe"'
tests_unit_test_agent_process_SOURCES = tests/unit/test_agent_process.c
tests_unit_test_agent_process_LDADD = $(LIBLANE) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_keyring
TESTS += tests/unit/test_keyring
tests_unit_test_keyring_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keyring_SOURCES = tests/unit/test_keyring.c \
	$(FAKE_AGENT)
tests_unit_test_keyring_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_look
TESTS += tests/unit/test_ring_look
tests_unit_test_ring_look_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_look_SOURCES = tests/unit/test_ring_look.c \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_ring_look_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_public
TESTS += tests/unit/test_ring_public
tests_unit_test_ring_public_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_public_SOURCES = tests/unit/test_ring_public.c $(FAKE_AGENT)
tests_unit_test_ring_public_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_retired
TESTS += tests/unit/test_ring_retired
tests_unit_test_ring_retired_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) -I$(srcdir)/tests/unit
tests_unit_test_ring_retired_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_ring_retired_SOURCES = tests/unit/test_ring_retired.c
tests_unit_test_ring_retired_LDADD = $(LIBKEYRING) $(CRYPTO_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_adopted
TESTS += tests/unit/test_ring_adopted
tests_unit_test_ring_adopted_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_adopted_SOURCES = tests/unit/test_ring_adopted.c
tests_unit_test_ring_adopted_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_external
TESTS += tests/unit/test_ring_external
tests_unit_test_ring_external_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_external_SOURCES = tests/unit/test_ring_external.c
tests_unit_test_ring_external_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_adopt
TESTS += tests/unit/test_ring_adopt
tests_unit_test_ring_adopt_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_adopt_SOURCES = tests/unit/test_ring_adopt.c \
	$(FAKE_AGENT)
tests_unit_test_ring_adopt_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_init
TESTS += tests/unit/test_ring_init
tests_unit_test_ring_init_CPPFLAGS = $(AM_CPPFLAGS) $(I_CLI) $(CMOCKA_CFLAGS)
tests_unit_test_ring_init_SOURCES = tests/unit/test_ring_init.c \
	$(FAKE_AGENT)
tests_unit_test_ring_init_LDADD = $(LIBCLI) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_state
TESTS += tests/unit/test_ring_state
tests_unit_test_ring_state_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_state_SOURCES = tests/unit/test_ring_state.c \
	$(FAKE_AGENT)
tests_unit_test_ring_state_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_keeper
TESTS += tests/unit/test_keeper
tests_unit_test_keeper_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keeper_SOURCES = tests/unit/test_keeper.c tests/unit/ring_rig.c \
	tests/unit/ring_rig.h $(FAKE_AGENT) \
	tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_keeper_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_keeper_look
tests_unit_test_keeper_look_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keeper_look_SOURCES = tests/unit/test_keeper_look.c tests/unit/ring_rig.c \
	tests/unit/ring_rig.h $(FAKE_AGENT) \
	tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_keeper_look_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_keeper_heir
TESTS += tests/unit/test_keeper_heir
tests_unit_test_keeper_heir_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keeper_heir_SOURCES = tests/unit/test_keeper_heir.c tests/unit/ring_rig.c \
	tests/unit/ring_rig.h $(FAKE_AGENT) \
	tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_keeper_heir_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_keeper_destroyed
TESTS += tests/unit/test_keeper_destroyed
tests_unit_test_keeper_destroyed_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keeper_destroyed_SOURCES = tests/unit/test_keeper_destroyed.c tests/unit/ring_rig.c \
	tests/unit/ring_rig.h $(FAKE_AGENT) \
	tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_keeper_destroyed_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_keeper_known
TESTS += tests/unit/test_keeper_known
tests_unit_test_keeper_known_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keeper_known_SOURCES = tests/unit/test_keeper_known.c tests/unit/ring_rig.c \
	tests/unit/ring_rig.h $(FAKE_AGENT) \
	tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_keeper_known_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_keeper_external
TESTS += tests/unit/test_keeper_external
tests_unit_test_keeper_external_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_keeper_external_SOURCES = tests/unit/test_keeper_external.c tests/unit/ring_rig.c \
	tests/unit/ring_rig.h $(FAKE_AGENT) \
	tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_keeper_external_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_kms_service
TESTS += tests/unit/test_kms_service
tests_unit_test_kms_service_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) $(CMOCKA_CFLAGS)
tests_unit_test_kms_service_SOURCES = tests/unit/test_kms_service.c tests/unit/kms_calls.c \
	tests/unit/kms_calls.h tests/unit/ring_rig.c tests/unit/ring_rig.h \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_kms_service_LDADD = $(LIBKMS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_kms_flight
tests_unit_test_kms_flight_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) $(CMOCKA_CFLAGS)
tests_unit_test_kms_flight_SOURCES = tests/unit/test_kms_flight.c tests/unit/kms_calls.c \
	tests/unit/kms_calls.h tests/unit/ring_rig.c tests/unit/ring_rig.h \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_kms_flight_LDADD = $(LIBKMS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_kms_joins
TESTS += tests/unit/test_kms_joins
tests_unit_test_kms_joins_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) $(CMOCKA_CFLAGS)
tests_unit_test_kms_joins_SOURCES = tests/unit/test_kms_joins.c tests/unit/kms_calls.c \
	tests/unit/kms_calls.h tests/unit/ring_rig.c tests/unit/ring_rig.h \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_kms_joins_LDADD = $(LIBKMS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_kms_heirs
TESTS += tests/unit/test_kms_heirs
tests_unit_test_kms_heirs_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) $(CMOCKA_CFLAGS)
tests_unit_test_kms_heirs_SOURCES = tests/unit/test_kms_heirs.c tests/unit/kms_calls.c \
	tests/unit/kms_calls.h tests/unit/ring_rig.c tests/unit/ring_rig.h \
	$(FAKE_AGENT) tests/unit/pool_jobs.c tests/unit/pool_jobs.h
tests_unit_test_kms_heirs_LDADD = $(LIBKMS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_ring_plan
TESTS += tests/unit/test_ring_plan
tests_unit_test_ring_plan_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_ring_plan_SOURCES = tests/unit/test_ring_plan.c
tests_unit_test_ring_plan_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_rotation
tests_unit_test_rotation_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_rotation_SOURCES = tests/unit/test_rotation.c $(ROTATION_RIG)
tests_unit_test_rotation_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_rotation_orders
TESTS += tests/unit/test_rotation_orders
tests_unit_test_rotation_orders_CPPFLAGS = $(AM_CPPFLAGS) $(I_KEYRING) $(CMOCKA_CFLAGS)
tests_unit_test_rotation_orders_SOURCES = tests/unit/test_rotation_orders.c $(ROTATION_RIG)
tests_unit_test_rotation_orders_LDADD = $(LIBKEYRING) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_vitals
TESTS += tests/unit/test_vitals
tests_unit_test_vitals_CPPFLAGS = $(AM_CPPFLAGS) $(I_KMS) -I$(srcdir)/src/rpc
tests_unit_test_vitals_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_vitals_SOURCES = tests/unit/test_vitals.c
tests_unit_test_vitals_LDADD = src/rpc/libfrontend.a $(LIBKMSAPI) $(LIBKMS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_token_facts
TESTS += tests/unit/test_token_facts
tests_unit_test_token_facts_CPPFLAGS = $(AM_CPPFLAGS) $(I_FORMAT)
tests_unit_test_token_facts_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_token_facts_SOURCES = tests/unit/test_token_facts.c
tests_unit_test_token_facts_LDADD = $(LIBFORMAT) $(CMOCKA_LIBS)
