/* SPDX-License-Identifier: Apache-2.0 */
/* Destroying is never a request: an agent that does it was started for one key. */
#include "keys.h"
#include "p11_key.h"

#include <string.h>

/* Whoever started us has checked far more; what can be read from the object itself is checked here
 * again, right before it goes. */
static struct err check_doomed(const struct agent *agent, const struct p11_key *key,
                               struct advice *advice)
{
    struct err no = err_make(ERR_REFUSED, "destroy");
    struct key_label label;
    if (!object_id_equal(&key->id, &agent->config.doomed))
        return advise(advice, no, REMEDY_HUMAN,
                      "the token found another key than was asked for: nothing was destroyed");
    if (err_is(key_label_parse(bytes_of_string(key->label), &label)) ||
        strcmp(label.ring, agent->config.ring) != 0)
        return advise(advice, no, REMEDY_HUMAN, "the object is no key of ring %s",
                      agent->config.ring);
    if (label.state < KEY_DEACTIVATED)
        return advise(advice, no, REMEDY_HUMAN, "the KEK is labelled %s: deactivate it first",
                      key_state_name(label.state));
    return ERR_OK;
}

struct err agent_destroy(struct lane *lane, struct advice *advice)
{
    unsigned long handle;
    struct p11_key key;
    TRY(key_find(lane, &lane->agent->config.doomed, &handle, advice));
    TRY(p11_key_read(&lane->session, handle, &key));
    TRY(check_doomed(lane->agent, &key, advice));
    TRY(p11_key_destroy(&lane->session, handle));
    struct err gone = key_find(lane, &lane->agent->config.doomed, &handle, advice);
    if (err_is(gone))
        return gone.code == ERR_NOT_FOUND ? ERR_OK : gone;
    return advise(advice, err_make(ERR_TOKEN, "destroy"), REMEDY_HUMAN,
                  "the token said that it destroyed the KEK, and still has it");
}
