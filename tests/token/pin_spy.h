/* SPDX-License-Identifier: Apache-2.0 */
/* What a test asks of pin_module.c. Its files are in the fixture's directory. */
#ifndef P11KMS_TEST_PIN_SPY_H
#define P11KMS_TEST_PIN_SPY_H

#include "fixture.h"

/* Puts the module between agents and token. */
void pin_spy_use(struct fixture *f);

/* How often this PIN came to C_Login ("NULL": none was given; "start": how many agents began). */
unsigned pin_spy_logins(const struct fixture *f, const char *pin);

/* "before WHAT", "after WHAT", or NULL for nothing any more. */
void pin_spy_act(const struct fixture *f, const char *action);

/* Token flags that are shown as well, in hex; NULL for none. */
void pin_spy_flags(const struct fixture *f, const char *flags);

/* Makes the gate that the action "gate" waits at; waits until a login does; lets it pass. */
void pin_spy_make_gate(const struct fixture *f);
void pin_spy_await_at_gate(const struct fixture *f);
void pin_spy_open_gate(const struct fixture *f);

/* Writes another PIN file and uses it. */
void pin_spy_use_pin(struct fixture *f, const char *pin);

/* The right one, which the maker of the token left; and uses it. */
enum { PIN_SPY_MAX = 64 };
void pin_spy_right_pin(const struct fixture *f, char ret[static PIN_SPY_MAX]);
void pin_spy_use_right_pin(struct fixture *f);

/* The one record in the state directory. False: there is none. */
bool pin_spy_record(const struct fixture *f, char ret[static PATH_MAX]);

#endif
