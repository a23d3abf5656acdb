/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in to the token without ever locking it. */
#ifndef P11KMS_LOGIN_H
#define P11KMS_LOGIN_H

#include "agent.h"

/* Logs this process in as the user unless it is. Keys found before are forgotten. A PIN that must
 * not be tried is ERR_TOKEN and no C_Login is made; advice says what to mend and remove. */
MUST_CHECK struct err agent_login(struct agent *agent, const struct p11_session *session,
                                  struct advice *advice);

#endif
