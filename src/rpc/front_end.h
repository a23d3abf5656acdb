/* SPDX-License-Identifier: Apache-2.0 */
/* The front end: p11-kmsd as the monitor starts it, with --front-end. */
#ifndef P11KMS_FRONT_END_H
#define P11KMS_FRONT_END_H

/* Serves until the monitor says stop or is gone; yields the exit code. Inherits the control
 * socket, the sealed configuration and the listening socket on the descriptors of control.h. */
int front_end_main(void);

#endif
