/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the descriptor of a serial line and back, inside of Serial: a thread opens, locks, sets and
 * closes it, because with an adapter on USB each of these is a conversation, and one that hangs takes
 * seconds to say so. Loop thread; nothing blocks. */
#pragma once

#include <systemd/sd-event.h>

#include "link/serial.h"

typedef struct SerialPort SerialPort;
/* Once, in a later turn than serial_port_open(). error 0: fd (non-blocking, close-on-exec) may be used until
 * serial_port_close(), pseudo: it is a pseudo-terminal; <0: as SerialHandler.closed() before opened(). The
 * callee may close the port. */
typedef void (*SerialPortCallback)(int error, int fd, bool pseudo, void *userdata);

/* <0: nothing was begun. */
int serial_port_open(sd_event *event, const char *path, const SerialOptions *options, SerialPortCallback callback,
                     void *userdata, SerialPort **ret);
/* At any time, also while it is being opened; no callback follows. Output that has not left is thrown away.
 * Who opens this path again gets it when it is closed. */
SerialPort *serial_port_close(SerialPort *p);
