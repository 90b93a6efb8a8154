/* SPDX-License-Identifier: Apache-2.0 */
/* TCP on the loopback address and the clock, for the peers of the measurements. Any thread. */
#pragma once

#include <stdint.h>

/* A listening socket; *port 0 chooses one and says which. Negative errno. */
int loopback_listen(uint16_t *port);
/* A connected, blocking socket without delay. Negative errno. */
int loopback_connect(uint16_t port);
/* The next connection of a listener, without delay. Negative errno. */
int loopback_accept(int listener);

/* CLOCK_MONOTONIC. */
uint64_t monotonic_ns(void);
