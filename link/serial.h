/* SPDX-License-Identifier: Apache-2.0 */
/* A serial line on the loop, for every protocol that runs over one: opens and locks the device, sets the line,
 * reads, transmits with the silence that is due before, and tells when the last byte has left. Loop thread;
 * nothing blocks. The owner may free the line inside any callback. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"
#include "base/time.h"

typedef struct Serial Serial;

typedef enum SerialParity {
        SERIAL_PARITY_NONE,
        SERIAL_PARITY_EVEN,
        SERIAL_PARITY_ODD,
        SERIAL_PARITY_MARK,
        SERIAL_PARITY_SPACE,
} SerialParity;

/* The driver switches the transmitter on and off (TIOCSRS485). */
typedef struct SerialRs485 {
        bool enabled;
        bool rts_on_send;               /* level of RTS while sending; the other one otherwise */
        usec_t delay_before, delay_after; /* rounded up to milliseconds, at most 1 s */
} SerialRs485;

#define SERIAL_BAUDRATE_MAX 20000000U /* faster than any driver */

typedef struct SerialOptions {
        uint32_t baudrate;              /* bit/s, 1 to SERIAL_BAUDRATE_MAX; any number that the driver can make within 3 % */
        unsigned data_bits;             /* 5 to 8 */
        SerialParity parity;
        unsigned stop_bits;             /* 1 or 2 */
        bool xonxoff, rtscts;
        bool dsrdtr;                    /* DTR is left low: Linux has no such flow control */
        usec_t silence_after_sent;      /* from the end of a transmission to the next one */
        usec_t silence_after_received;  /* from the last byte heard to the next transmission */
        SerialRs485 rs485;
        usec_t open_timeout;            /* longest wait for opened(); 0: as long as it takes */
        size_t receive_max;             /* most unconsumed bytes kept while reading is on; beyond: closed(-EMSGSIZE) */
} SerialOptions;

/* Lives as long as the lines that use it: a static const table. Each callback comes from the loop, never
 * inside a call of the owner. */
typedef struct SerialHandler {
        void (*opened)(Serial *s, void *userdata);
        /* All bytes not consumed so far; returns how many are consumed now. What is left comes again, in
         * front of newer bytes, when more have arrived, and only then. A byte with a wrong parity bit is 0,
         * a break is nothing. data is valid until return, also when the line is freed. */
        size_t (*received)(Serial *s, const uint8_t *data, size_t size, void *userdata);
        /* The last byte of a transmission has left for the wire; may be NULL. */
        void (*drained)(Serial *s, void *userdata);
        /* Once, last: it could not be opened, or is lost. Before opened(): -ENOENT, -EACCES …; -EBUSY
         * somebody has it; -ENOTTY not a serial line; -EOPNOTSUPP the driver does not take these settings;
         * -ETIMEDOUT open_timeout is over. After opened(): -ENODEV the device is gone, or another negative errno.
         * The owner frees the line. */
        void (*closed)(Serial *s, int error, void *userdata);
} SerialHandler;

/* Begins to open it; opened() or closed() follow in a later turn. <0: nothing was begun: -EOPNOTSUPP no line has
 * this speed, -EINVAL another option out of range, -EALREADY earlier attempts at this device hang. description
 * (a literal) names the source. What was received before the opening is thrown away. */
int serial_open(sd_event *event, const char *path, const SerialOptions *options, const char *description,
                const SerialHandler *handler, void *userdata, Serial **ret);
/* Closes at once, what has not left is lost, no callback follows. */
Serial *serial_free(Serial *s);
DEFINE_CLEANUP(Serial, serial_free);
/* Why a line could not be opened, as the end of a sentence; names the process that holds a busy device where that
 * can be found out, which takes some milliseconds. Caller frees. */
char *serial_open_error(const char *path, int error);

/* One transmission: begins when the line is free and was silent for long enough. -ENODEV: not open.
 * What is written during a transmission becomes the next one. The caller bounds what it queues by
 * serial_unsent(). */
int serial_write(Serial *s, const void *data, size_t size);
/* The same of a frame, whose echo is not delivered once the line is known to hear itself: since it heard one
 * whole that was not ambiguous. That is one which the far end, too, may have sent after it: an answer like
 * the request, a request again. */
int serial_write_frame(Serial *s, const void *frame, size_t size, bool ambiguous);
bool serial_hears_itself(const Serial *s);
/* Bytes that may not have left for the wire: > 0 from a write to its drained(). */
size_t serial_unsent(const Serial *s);
/* Forgets what has not left, in the kernel too; no drained() follows. */
void serial_discard_output(Serial *s);
/* Reading off: the kernel keeps what fits. A device that is gone is still noticed. */
void serial_set_reading(Serial *s, bool on);
/* received() again, in a later turn, with what was left unconsumed; nothing when nothing is left or reading
 * is off then. Switching reading on implies it. May be called inside received(). */
void serial_process(Serial *s);
/* Drops what was received and not consumed, in the kernel too. Inside received(): all of data counts as
 * consumed. */
void serial_discard_input(Serial *s);
/* What was received and not consumed; borrowed, NULL when nothing was. Not inside received(). */
const uint8_t *serial_get_input(const Serial *s, size_t *ret_size);

/* How long so many characters take on the wire, rounded up; options that serial_open() takes. */
usec_t serial_chars_usec(const SerialOptions *o, size_t n);
/* How long a transmission of so many characters can take on a line that nobody holds up, the silence before it
 * included. */
usec_t serial_transmission_usec(const SerialOptions *o, size_t n);
