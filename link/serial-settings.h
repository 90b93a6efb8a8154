/* SPDX-License-Identifier: Apache-2.0 */
/* What SerialOptions mean to the kernel, for link/serial.c and link/serial-port.c. Apart from them because the
 * kernel's termios, which knows any speed, and the C library's cannot be in one file. No state, any thread. */
#pragma once

#include "link/serial.h"

/* Sets the line raw and as the options say, and raises or lowers its outputs. pseudo: a pseudo-terminal,
 * which takes no parity and has no outputs. Errors as serial_open(). */
int serial_settings_apply(int fd, const SerialOptions *o, bool pseudo);
int serial_settings_check(const SerialOptions *o); /* out of range: as serial_open() */

/* Bytes in the driver that have not left; 0 when it cannot say. */
size_t serial_settings_queued(int fd);
void serial_settings_flush(int fd, bool input, bool output);
/* 0, or -EBUSY. Until the device is closed nobody else can lock it, or open it but root. */
int serial_settings_lock(int fd, const char *path);
void serial_settings_unlock(int fd);
