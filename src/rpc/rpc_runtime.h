/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC core, made safe to start in a process that handles plaintexts. */
#ifndef P11KMS_RPC_RUNTIME_H
#define P11KMS_RPC_RUNTIME_H

/* Told of an error inside gRPC: where in its source. Its text is withheld, because it quotes what
 * clients sent. At most one call in RPC_REPORT_EVERY_MS; skipped: how many before it were not
 * told. May be called on any thread. */
typedef void rpc_report(const char *file, int line, unsigned skipped);

enum { RPC_REPORT_EVERY_MS = 10000 };

/* Takes every GRPC_* variable out of the environment (GRPC_TRACE would print plaintexts), filters
 * gRPC's log and starts it. Call once a process, after the last fork and before any thread, with
 * signals blocked where they are to be blocked in gRPC's threads. report may be NULL. */
void rpc_runtime_start(rpc_report *report);

#endif
