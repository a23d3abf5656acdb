/* SPDX-License-Identifier: Apache-2.0 */
/* A throw-away token and agents on it. A suite runs once per row of token_rows, and where keys are
 * used once per scheme and row. */
#ifndef P11KMS_TEST_FIXTURE_H
#define P11KMS_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent_process.h"
#include "lane.h"

enum { CALL_MS = 60000, SKIPPED = 77 };

/* One kind of token: a script that makes one in a directory, as softhsm-token describes. */
struct token_row {
    const char *name;
    const char *maker; /* below the source directory */
};

extern const struct token_row token_rows[];
extern const size_t token_rows_count;

/* What tests and an operator's tools call a key of the scheme. */
struct scheme_row {
    enum scheme scheme;
    const char *tool_type;       /* pkcs11-tool's --key-type; NULL: a KEK is two keys */
    const char *tool_short_type; /* the same, but too short */
    const char *tool_other_type; /* another scheme's */
    size_t overhead;             /* bytes of an envelope beside header and plaintext */
    size_t block;                /* the plaintext is padded to these; 0: it is not */
};

extern const struct scheme_row fixture_schemes[];

struct fixture {
    const struct scheme_row *scheme; /* of the keys it makes and uses */
    char dir[64];                    /* holds everything; removed at the end */
    struct agent_config config;
    struct agent_process agent;
    struct lane_reply reply; /* of the last call; views into packet */
    uint64_t number;
    uint8_t packet[LANE_LIST_PACKET_MAX];
};

/* Runs the tests on every token that is here; the value for main to return (77: none is). */
int fixture_run(const char *suite, const struct CMUnitTest *tests, size_t count);
#define FIXTURE_RUN(suite, tests) fixture_run(suite, tests, sizeof(tests) / sizeof *(tests))

/* The same with each scheme. */
int fixture_run_schemes(const char *suite, bool external, const struct CMUnitTest *tests,
                        size_t count);
#define FIXTURE_RUN_SCHEMES(suite, tests)                                                          \
    fixture_run_schemes(suite, false, tests, sizeof(tests) / sizeof *(tests))

/* With each scheme whose KEKs are one key: an operator's own may be such. */
#define FIXTURE_RUN_EXTERNAL(suite, tests)                                                         \
    fixture_run_schemes(suite, true, tests, sizeof(tests) / sizeof *(tests))

/* cmocka set-up and tear-down: a new token and an empty state directory, no agent yet. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* The same on the token that a script in-* has made around this program; ended by
 * fixture_teardown. */
struct fixture *fixture_beside(void);

/* Adds a token of another label beside the first. */
void fixture_add_token(struct fixture *f, const char *label);

/* Starts an agent and waits for its hello: its status is in f->reply. */
void fixture_start(struct fixture *f, enum agent_role role);
void fixture_stop(struct fixture *f);

/* Starts one, asserts that it is well. */
void fixture_up(struct fixture *f, enum agent_role role);

/* One request on a lane of the running agent; the reply is in f->reply. Returns its code. */
enum err_code fixture_call_on(struct fixture *f, uint32_t lane, struct lane_request *request);
enum err_code fixture_call(struct fixture *f, struct lane_request *request);

/* Writes a file of the fixture's directory. */
void fixture_write(const struct fixture *f, const char *name, const char *text, mode_t mode);
void fixture_path(const struct fixture *f, const char *name, char ret[static PATH_MAX]);

/* Restarts with a making agent, makes a KEK, restarts with a serving one. */
void fixture_make_key(struct fixture *f, uint32_t generation, struct key_id *ret);

enum err_code fixture_seal(struct fixture *f, enum family family, const struct key_id *key,
                           struct bytes plaintext, uint8_t *ret, size_t *ret_len);
enum err_code fixture_seal_by(struct fixture *f, enum scheme scheme, enum family family,
                              const struct key_id *key, struct bytes plaintext, uint8_t *ret,
                              size_t *ret_len);
enum err_code fixture_open(struct fixture *f, enum family family, struct bytes envelope);

/* How many objects so many KEKs are. */
uint32_t fixture_objects(const struct fixture *f, uint32_t keks);

/* The label of object number role of a KEK of ring k8s. Valid until the next call. */
const char *fixture_label(const struct fixture *f, uint32_t generation, size_t role,
                          enum key_state state);

/* Makes a KEK through the module itself, whose first object has the scheme's template but for
 * these. */
struct odd_key {
    const char *id;    /* 16 bytes */
    const char *label; /* NULL: that of an active KEK */
    bool extractable;
    bool wrap;
    bool alone; /* without the KEK's other objects */
};
void fixture_make_odd_key(struct fixture *f, const struct odd_key *key);

/* Puts faultp11 before the token's module from the next agent on, with one rule: what follows "on"
 * in docs/drills.md. NULL: the module alone again. */
void fixture_fault(struct fixture *f, const char *rule);

/* Serves ring k8s as an external one from the next agent on. */
void fixture_external(struct fixture *f, const char *select, uint32_t waive);

/* Runs pkcs11-tool on the token, logged in, with these words (at most 20, then NULL): an operator's
 * own tool makes an operator's own keys. */
void fixture_pkcs11_tool(struct fixture *f, const char *const *words);

#endif
