/* SPDX-License-Identifier: Apache-2.0 */
/* One suite on every token, for every scheme: run by a script in-*, beside its token.
 *
 *   matrix TOKEN FILE
 *
 * appends a line to FILE for each scheme and case, "TOKEN|SCHEME|CASE|RESULT": "pass", or why the
 * case does not apply; and what a running and a starting agent say of an outage. A reason is
 * proved, so that a token that learns it fails the test. */
#include "matrix.h"
#include "fixture.h"
#include "openers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";

struct run {
    const struct matrix_row *row;
    const char *out;
    struct fixture *f;     /* the agent that serves */
    struct fixture *other; /* another process on the same token and state directory */
    bool ceremony;         /* keys are the operator's: the token makes none that may be managed */
    bool sealed;           /* the rest has something to open */
    struct key_id key;
    uint8_t envelope[ENVELOPE_MAX];
    size_t len;
};

/* --- the token's commands ------------------------------------------------------------------ */

static void command(const char *name, const char *id, const char *label, const char *kind)
{
    char path[PATH_MAX];
    int status = -1;
    (void)snprintf(path, sizeof path, "%s/%s", getenv("TOKEN_DIR"), name);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl(path, path, id, label, kind, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

/* --- what a case came to ------------------------------------------------------------------- */

static void report(const struct run *r, const char *what, const char *result)
{
    FILE *out = fopen(r->out, "a");
    assert_non_null(out);
    (void)fprintf(out, "%s|%s|%s|%s\n", r->row->token, scheme_name(r->row->scheme), what, result);
    assert_int_equal(fclose(out), 0);
}

static void pass(const struct run *r, const char *what)
{
    report(r, what, "pass");
}

/* True, and reported, where the token seals nothing under this scheme. */
static bool nothing_sealed(const struct run *r, const char *what)
{
    if (!r->row->seal.why)
        assert_true(r->sealed);
    else
        report(r, what, "n/a: nothing is sealed");
    return r->row->seal.why != NULL;
}

/* Nor does an operator make what the token may not, where a KEK is of several objects, or where no
 * key of the token would serve. */
static bool nothing_made(const struct run *r)
{
    return r->row->generate.why && !r->row->kind;
}

/* --- agents and keys ------------------------------------------------------------------------ */

static void serve(struct run *r, struct fixture *f)
{
    if (r->ceremony) {
        char select[KEY_SELECT_MAX + 1];
        (void)snprintf(select, sizeof select, "label:kek-%s-*", scheme_name(r->row->scheme));
        fixture_external(f, select, r->row->waive);
    }
    fixture_up(f, AGENT_SERVE);
}

static enum err_code generate(struct run *r, uint32_t generation, struct key_id *ret)
{
    struct lane_request request = {.op = LANE_GENERATE};
    struct fixture *f = r->other;
    request.u.generate.label = (struct key_label){"k8s", generation, r->row->scheme, 0, KEY_ACTIVE};
    fixture_up(f, AGENT_MAKE);
    if (fixture_call(f, &request) == ERR_NONE)
        assert_false(err_is(key_id_make("k8s", &f->reply.u.made, ret)));
    enum err_code code = f->reply.status.code;
    fixture_stop(f);
    return code;
}

static void make_by_hand(struct run *r, uint32_t generation, struct key_id *ret)
{
    char id[OBJECT_ID_MAX], label[KEY_LABEL_MAX];
    struct object_id object;
    (void)snprintf(id, sizeof id, "%08u-%07u", (unsigned)r->row->scheme, (unsigned)generation);
    (void)snprintf(label, sizeof label, "kek-%s-%u", scheme_name(r->row->scheme),
                   (unsigned)generation);
    command("make-key", id, label, r->row->kind);
    assert_false(err_is(object_id_from(bytes_of_string(id), &object)));
    assert_false(err_is(key_id_make("k8s", &object, ret)));
}

/* A key made by another process than the one that serves. */
static void new_key(struct run *r, uint32_t generation, struct key_id *ret)
{
    if (r->ceremony)
        make_by_hand(r, generation, ret);
    else
        assert_int_equal(generate(r, generation, ret), ERR_NONE);
}

static enum err_code seal(struct run *r, const struct key_id *key, struct bytes plaintext)
{
    return fixture_seal_by(r->f, r->row->scheme, FAMILY_V2, key, plaintext, r->envelope, &r->len);
}

static void says(const struct fixture *f)
{
    if (f->reply.status.code != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
}

static void opens(struct fixture *f, struct bytes envelope, struct bytes expected)
{
    (void)fixture_open(f, FAMILY_V2, envelope);
    says(f);
    assert_true(bytes_equal(f->reply.u.plaintext, expected));
}

static void opens_dek(struct run *r, struct fixture *f)
{
    opens(f, bytes_of(r->envelope, r->len), bytes_of(dek, sizeof dek));
}

static bool listed(struct fixture *f, const struct key_id *key)
{
    struct lane_request request = {.op = LANE_LIST, .u.list.ring = "k8s"};
    struct listed_key at;
    struct key_id id;
    bool found = false;
    do {
        (void)fixture_call(f, &request);
        says(f);
        struct bytes records = f->reply.u.list.records;
        for (uint32_t i = 0; i < f->reply.u.list.count; i++) {
            assert_false(err_is(lane_next_key(&records, &at)));
            assert_false(err_is(key_id_make("k8s", &at.id, &id)));
            found = found || strcmp(id.text, key->text) == 0;
        }
        request.u.list.cursor = f->reply.u.list.next;
    } while (request.u.list.cursor != 0);
    return found;
}

/* The refusal that the row promises is the one that came. */
static void proves(const struct fixture *f, const struct matrix_refusal *refusal)
{
    const struct lane_status *status = &f->reply.status;
    if (status->code == ERR_NONE)
        fail_msg("the token can do it now; it could not: %s", refusal->why);
    if (status->ckr != refusal->ckr || (refusal->says && !strstr(status->text, refusal->says)))
        fail_msg("not for the reason given, but: %s (0x%lx)", status->text, status->ckr);
}

/* --- the cases, in this order ---------------------------------------------------------------- */

/* A making agent's key is listed by a fresh agent, and is as a KEK must be. */
static void case_generate(void **state)
{
    struct run *r = *state;
    const struct matrix_refusal *refusal = &r->row->generate;
    struct lane_request selftest = {.op = LANE_SELFTEST};
    if (refusal->why) { /* the self-test generates too, and looks at what it got */
        selftest.u.selftest.scheme = r->row->scheme;
        fixture_up(r->other, AGENT_MAKE);
        (void)fixture_call(r->other, &selftest);
        proves(r->other, refusal);
        fixture_stop(r->other);
        r->ceremony = true;
    }
    if (nothing_made(r)) {
        report(r, "generate", refusal->why);
        return;
    }
    new_key(r, 1, &r->key);
    serve(r, r->f);
    assert_true(listed(r->f, &r->key));
    report(r, "generate", refusal->why ? refusal->why : "pass");
}

static void case_seal(void **state)
{
    struct run *r = *state;
    const struct matrix_refusal *refusal = &r->row->seal;
    if (nothing_made(r)) {
        report(r, "seal", refusal->why);
        return;
    }
    serve(r, r->f);
    (void)seal(r, &r->key, bytes_of(dek, sizeof dek));
    if (refusal->why) {
        proves(r->f, refusal);
        report(r, "seal", refusal->why);
        return;
    }
    says(r->f);
    r->sealed = true;
    pass(r, "seal");
}

/* Deactivated by another process, as a rotation does it. A ceremony's keys have no states. */
static void retire(struct run *r)
{
    struct lane_request request = {.op = LANE_RELABEL};
    char ring[RING_NAME_MAX + 1];
    if (r->ceremony)
        return;
    assert_false(err_is(key_id_parse(bytes_of_string(r->key.text), ring, &request.u.relabel.id)));
    request.u.relabel.seen = KEY_ACTIVE;
    request.u.relabel.label = (struct key_label){"k8s", 1, r->row->scheme, 0, KEY_DEACTIVATED};
    fixture_up(r->other, AGENT_MAKE);
    (void)fixture_call(r->other, &request);
    says(r->other);
    fixture_stop(r->other);
}

/* How often a lane opens beside another. */
static unsigned how_often(const struct run *r)
{
    return r->row->slow ? 20 : 500;
}

/* By an agent's two threads at once (where it has sessions for them), after another process has
 * changed the key's label. */
static void open_by_threads(struct run *r)
{
    retire(r);
    serve(r, r->f);
    open_at_once(r->f->agent.lane, r->f->agent.lanes < 2 ? 1 : 2, how_often(r),
                 bytes_of(r->envelope, r->len), bytes_of(dek, sizeof dek));
    serve(r, r->f);
}

static void case_open(void **state)
{
    struct run *r = *state;
    const size_t most = r->row->most > 0 ? r->row->most : PLAINTEXT_MAX;
    const size_t lengths[] = {1, 16, 48, most, sizeof dek};
    uint8_t plaintext[PLAINTEXT_MAX];
    char result[32] = "pass";
    if (nothing_sealed(r, "open"))
        return;
    memset(plaintext, 0x5a, sizeof plaintext);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bytes from = bytes_of(lengths[i] == sizeof dek ? dek : plaintext, lengths[i]);
        assert_int_equal(seal(r, &r->key, from), ERR_NONE);
        opens(r->f, bytes_of(r->envelope, r->len), from);
    }
    if (most < PLAINTEXT_MAX) {
        assert_int_equal(seal(r, &r->key, bytes_of(plaintext, most + 1)), ERR_INVALID);
        (void)snprintf(result, sizeof result, "pass (up to %zu bytes)", most);
    }
    assert_int_equal(seal(r, &r->key, bytes_of(dek, sizeof dek)), ERR_NONE);
    open_by_threads(r);
    report(r, "open", result);
}

static void refused_as(struct run *r, enum family family, size_t len)
{
    (void)fixture_open(r->f, family, bytes_of(r->envelope, len));
    enum err_code code = r->f->reply.status.code;
    if (code != ERR_INVALID && code != ERR_AUTH && code != ERR_NOT_FOUND)
        fail_msg("%s", code == ERR_NONE ? "opened" : r->f->reply.status.text);
    assert_int_equal(r->f->reply.status.remedy, REMEDY_CALLER);
}

static void refused(struct run *r, size_t len)
{
    refused_as(r, FAMILY_V2, len);
}

/* Every bit; on a token that takes its time one of each byte, and another one of the next. */
static bool is_turned(const struct run *r, size_t bit)
{
    return !r->row->slow || bit % 8 == bit / 8 % 8;
}

static void case_tamper(void **state)
{
    struct run *r = *state;
    if (nothing_sealed(r, "tamper"))
        return;
    for (size_t bit = 0; bit < r->len * 8; bit++) {
        if (!is_turned(r, bit))
            continue;
        r->envelope[bit / 8] ^= (uint8_t)(1U << bit % 8);
        refused(r, r->len);
        r->envelope[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t shorter = 0; shorter < r->len; shorter++)
        refused(r, shorter);
    r->envelope[2] = FAMILY_V1; /* nothing but the seal itself knows better */
    refused_as(r, FAMILY_V1, r->len);
    r->envelope[2] = FAMILY_V2;
    opens_dek(r, r->f);
    pass(r, "tamper");
}

/* What is sealed now, as if it were another KEK's. */
static void refused_under(struct run *r, const struct key_id *key)
{
    char own[KEY_ID_MAX];
    const size_t len = strlen(key->text);
    assert_int_equal(r->envelope[3], len);
    memcpy(own, r->envelope + 4, len);
    memcpy(r->envelope + 4, key->text, len);
    refused(r, r->len);
    memcpy(r->envelope + 4, own, len);
}

/* The new key seals, the old one still opens, and neither opens the other's. */
static void case_rotate(void **state)
{
    struct run *r = *state;
    uint8_t old[ENVELOPE_MAX];
    struct key_id second;
    size_t old_len = r->len;
    if (nothing_sealed(r, "rotate"))
        return;
    memcpy(old, r->envelope, old_len);
    new_key(r, 2, &second);
    serve(r, r->f);
    assert_int_equal(seal(r, &second, bytes_of(dek, sizeof dek)), ERR_NONE);
    opens_dek(r, r->f);
    refused_under(r, &r->key);
    memcpy(r->envelope, old, old_len);
    r->len = old_len;
    opens_dek(r, r->f);
    refused_under(r, &second);
    pass(r, "rotate");
}

static void case_restart(void **state)
{
    struct run *r = *state;
    if (nothing_sealed(r, "restart"))
        return;
    fixture_stop(r->f);
    serve(r, r->f);
    opens_dek(r, r->f);
    pass(r, "restart");
}

/* An outage is told as one, by the agent that runs and by one that starts, for as long as it lasts;
 * then a fresh agent serves as before. */
static void case_recover(void **state)
{
    struct run *r = *state;
    const struct matrix_row *row = r->row;
    if (nothing_sealed(r, "recover"))
        return;
    serve(r, r->f);
    opens_dek(r, r->f);
    command("down", NULL, NULL, NULL);
    (void)fixture_open(r->f, FAMILY_V2, bytes_of(r->envelope, r->len));
    struct lane_status running = r->f->reply.status;
    fixture_start(r->other, AGENT_SERVE);
    struct lane_status starting = r->other->reply.status;
    command("up", NULL, NULL, NULL);
    report(r, "running", running.code == ERR_NONE ? "serves on" : running.text);
    report(r, "starting", starting.text);
    assert_int_equal(running.code, row->serves_on ? ERR_NONE : ERR_UNAVAILABLE);
    assert_int_equal(running.remedy, row->serves_on ? REMEDY_NONE : REMEDY_AGENT);
    assert_int_equal(starting.code, row->away ? row->away : ERR_UNAVAILABLE);
    fixture_stop(r->other);
    serve(r, r->f);
    opens_dek(r, r->f);
    report(r, "recover", row->serves_on ? "pass (a running agent serves on)" : "pass");
}

/* Two agents serve at once; what another process makes they see at once, or when started anew. */
static void case_two_processes(void **state)
{
    struct run *r = *state;
    struct key_id third;
    if (nothing_sealed(r, "two processes"))
        return;
    serve(r, r->f);
    opens_dek(r, r->f);
    new_key(r, 3, &third);
    assert_int_equal(listed(r->f, &third), !r->row->blind);
    opens_dek(r, r->f);
    serve(r, r->other);
    assert_true(listed(r->other, &third));
    const int lanes[] = {r->f->agent.lane[0], r->other->agent.lane[0]};
    open_at_once(lanes, 2, how_often(r), bytes_of(r->envelope, r->len), bytes_of(dek, sizeof dek));
    fixture_stop(r->other);
    serve(r, r->f);
    assert_int_equal(seal(r, &third, bytes_of(dek, sizeof dek)), ERR_NONE);
    opens_dek(r, r->f);
    report(r, "two processes", r->row->blind ? "pass (new keys: after a restart)" : "pass");
}

/* --- a row ------------------------------------------------------------------------------------ */

static int begin(void **state)
{
    struct run *r = *state;
    r->f = fixture_beside();
    r->other = fixture_beside();
    if (r->row->lanes != 0)
        r->f->config.lanes = r->other->config.lanes = r->row->lanes;
    (void)snprintf(r->other->config.state_dir, sizeof r->other->config.state_dir, "%s",
                   r->f->config.state_dir);
    return 0;
}

static int end(void **state)
{
    struct run *r = *state;
    (void)fixture_teardown((void **)&r->other);
    return fixture_teardown((void **)&r->f);
}

static int run_row(const struct matrix_row *row, const char *out)
{
    static const struct {
        const char *name;
        CMUnitTestFunction test;
    } cases[] = {
        {"generate", case_generate}, {"seal", case_seal},
        {"open", case_open},         {"tamper", case_tamper},
        {"rotate", case_rotate},     {"restart", case_restart},
        {"recover", case_recover},   {"two processes", case_two_processes},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    struct run run = {.row = row, .out = out};
    struct CMUnitTest tests[CASES];
    char name[64];
    void *state = &run;
    for (size_t i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){cases[i].name, cases[i].test, NULL, NULL, &run};
    (void)snprintf(name, sizeof name, "%s on %s", scheme_name(row->scheme), row->token);
    (void)begin(&state);
    int failed = _cmocka_run_group_tests(name, tests, CASES, NULL, NULL);
    return end(&state) + failed;
}

/* Those of the token; how many there were. */
static int run_rows(const struct matrix_row *rows, size_t n, char **argv, int *failed)
{
    int ran = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rows[i].token, argv[1]) != 0)
            continue;
        *failed += run_row(&rows[i], argv[2]);
        ran++;
    }
    return ran;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc != 3) {
        (void)fputs("usage: matrix TOKEN FILE\n", stderr);
        return 2;
    }
    int ran = run_rows(matrix_rows, matrix_rows_count, argv, &failed) +
              run_rows(matrix_mocks, matrix_mocks_count, argv, &failed);
    if (ran != SCHEMES)
        (void)fprintf(stderr, "matrix: %d rows for %s, not one a scheme\n", ran, argv[1]);
    return failed != 0 || ran != SCHEMES;
}
