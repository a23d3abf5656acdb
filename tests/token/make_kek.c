/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a KEK for tests, as init and rotation do, and prints its key_id:
 *
 *   make-kek AGENT MODULE URI PIN-FILE STATE-DIR RING GENERATION STATE [COUNT]
 *
 * With COUNT it makes so many, of this generation and those after it, each in its state from the
 * start: relabelling thousands would take SoftHSM hours. */
#include "agent_process.h"
#include "lane.h"

#include <stdio.h>
#include <string.h>

enum { CALL_MS = 60000 };

static struct err parse(char **argv, struct agent_config *config, struct key_label *label)
{
    uint64_t generation;
    *config = (struct agent_config){.role = AGENT_MAKE, .lanes = 1};
    (void)snprintf(config->module, sizeof config->module, "%s", argv[2]);
    (void)snprintf(config->uri, sizeof config->uri, "%s", argv[3]);
    (void)snprintf(config->pin_source, sizeof config->pin_source, "file:%s", argv[4]);
    (void)snprintf(config->state_dir, sizeof config->state_dir, "%s", argv[5]);
    (void)snprintf(config->ring, sizeof config->ring, "%s", argv[6]);
    TRY(parse_u64(argv[7], 1, GENERATION_MAX, &generation));
    *label = (struct key_label){.generation = (uint32_t)generation, .scheme = SCHEME_AES_GCM};
    memcpy(label->ring, config->ring, sizeof label->ring);
    for (int s = KEY_PRE_ACTIVE; s <= KEY_COMPROMISED; s++) {
        label->state = (enum key_state)s;
        if (strcmp(key_state_name(label->state), argv[8]) == 0)
            return ERR_OK;
    }
    return err_make(ERR_USAGE, "state");
}

static struct err check(struct err e, const struct lane_reply *reply)
{
    TRY(e);
    if (reply->status.code != ERR_NONE)
        (void)fprintf(stderr, "make-kek: %s\n", reply->status.text);
    return lane_status_err(reply);
}

/* Made pre-active and relabelled, as a rotation does it. */
static struct err make(int lane, struct key_label label, struct key_id *ret)
{
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_reply reply = {.op = LANE_HELLO};
    struct lane_request request = {.op = LANE_GENERATE, .number = 1};
    request.u.generate.label = label;
    request.u.generate.label.state = KEY_PRE_ACTIVE;
    TRY(check(lane_hello(lane, CALL_MS, packet, sizeof packet, &reply), &reply));
    TRY(check(lane_call(lane, &request, CALL_MS, packet, sizeof packet, &reply), &reply));
    struct object_id id = reply.u.made;
    request = (struct lane_request){.op = LANE_RELABEL, .number = 2};
    request.u.relabel.id = id;
    request.u.relabel.label = label;
    TRY(check(lane_call(lane, &request, CALL_MS, packet, sizeof packet, &reply), &reply));
    return key_id_make(label.ring, &id, ret);
}

/* One of many: no relabelling. */
static struct err generate(int lane, struct key_label label, uint64_t number, struct key_id *ret)
{
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_reply reply;
    struct lane_request request = {.op = LANE_GENERATE, .number = number};
    request.u.generate.label = label;
    TRY(check(lane_call(lane, &request, CALL_MS, packet, sizeof packet, &reply), &reply));
    return key_id_make(label.ring, &reply.u.made, ret);
}

static struct err make_many(int lane, struct key_label label, uint64_t count)
{
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_reply reply = {.op = LANE_HELLO};
    struct key_id key_id;
    TRY(check(lane_hello(lane, CALL_MS, packet, sizeof packet, &reply), &reply));
    for (uint64_t i = 1; i <= count; i++, label.generation++) {
        TRY(generate(lane, label, i, &key_id));
        (void)puts(key_id.text);
    }
    return ERR_OK;
}

static struct err make_one(int lane, struct key_label label)
{
    struct key_id key_id;
    TRY(make(lane, label, &key_id));
    (void)puts(key_id.text);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct agent_config config;
    struct agent_process agent;
    struct key_label label;
    uint64_t count = 0;
    char text[128];
    if ((argc != 9 && argc != 10) ||
        (argc == 10 && err_is(parse_u64(argv[9], 1, GENERATION_MAX, &count)))) {
        (void)fputs("usage: make-kek AGENT MODULE URI PIN-FILE STATE-DIR RING GENERATION STATE "
                    "[COUNT]\n",
                    stderr);
        return 2;
    }
    struct err e = parse(argv, &config, &label);
    if (!err_is(e))
        e = agent_process_start(argv[1], &config, &agent);
    if (!err_is(e)) {
        e = count ? make_many(agent.lane[0], label, count) : make_one(agent.lane[0], label);
        agent_process_kill(&agent);
    }
    if (err_is(e))
        (void)fprintf(stderr, "make-kek: %s\n", err_format(e, text, sizeof text));
    return err_exit_code(e);
}
