/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a serial line's port, the event source of its descriptor, and the bytes that are unfinished or have
 * not left. Loop thread: the scratch buffer is one for the process.
 *
 * Output: what stands first in `output` is one transmission (`sending` bytes of it are not the kernel's
 * yet); then the wire empties (`emptying`); then the line rests until `quiet_until`. One deadline drives the
 * last two. A function that calls back returns at once when the line may be gone. */

#include <errno.h>
#include <sys/epoll.h>

#include "base/buffer.h"
#include "base/deadline.h"
#include "link/holder.h"
#include "link/serial-echo.h"
#include "link/serial-port.h"
#include "link/serial-settings.h"
#include "link/serial.h"

#define SCRATCH_SIZE (4U << 10)
/* Between two looks at an output that does not empty (flow control): doubled from the first to the second. */
#define LOOK_MIN_USEC (1 * USEC_PER_MSEC)
#define LOOK_MAX_USEC (100 * USEC_PER_MSEC)
/* The timer of a silence is armed ahead of its end, by about what such timers are late: on a fast line that is as
 * long as a character. What one comes too early, some microseconds, is spent in a loop. */
#define AHEAD_MAX_USEC 100U

typedef enum SerialState { SERIAL_OPENING, SERIAL_OPEN, SERIAL_FAILED, SERIAL_ENDED } SerialState;

struct Serial {
        sd_event *event;
        SerialPort *port;
        sd_event_source *source; /* of the descriptor; FAILED: deferred */
        sd_event_source *again;  /* serial_process(); made when first needed */
        sd_event_source *gone;   /* of a pseudo-terminal: its output has left */
        const SerialHandler *handler;
        void *userdata;
        const char *description;
        SerialOptions options;
        bool *freed; /* set while a callback runs */
        Buffer input, output;
        SerialEcho echo;
        Deadline *deadline; /* of the opening; next transmission, or next look whether the wire is empty */
        size_t sending;     /* bytes at the front of output that are this transmission's */
        size_t on_wire;     /* … and those that the kernel has taken */
        usec_t empty_at;    /* when they have left, by computation */
        usec_t look;        /* pause before the next look */
        usec_t quiet_until;
        usec_t timer_for; /* the quiet_until that the deadline waits for */
        usec_t ahead;     /* of it the timer is armed, which is late by about that */
        int fd;    /* the port's */
        int error; /* FAILED */
        SerialState state;
        bool reading : 1;
        bool framed : 1;    /* the next transmission is a frame … */
        bool ambiguous : 1; /* … that its echo looks like an answer to */
        bool discarded : 1; /* by the handler that is being called */
};

static uint8_t scratch[SCRATCH_SIZE];

usec_t serial_chars_usec(const SerialOptions *o, size_t n) {
        uint64_t bits = 1 + o->data_bits + (o->parity != SERIAL_PARITY_NONE) + o->stop_bits;

        return (n * bits * USEC_PER_SEC + o->baudrate - 1) / o->baudrate;
}

/* Twice the computed time: a clock may be off, and a driver has its buffers. */
usec_t serial_transmission_usec(const SerialOptions *o, size_t n) {
        return usec_add(MAX(o->silence_after_sent, o->silence_after_received),
                        2 * serial_chars_usec(o, n) + LOOK_MAX_USEC);
}

static usec_t serial_now(const Serial *s) {
        return now_usec(CLOCK_MONOTONIC);
}

/* ---- end ---------------------------------------------------------------------------------------------- */

static void serial_end(Serial *s, int error) {
        s->state = SERIAL_ENDED;
        s->source = sd_event_source_disable_unref(s->source);
        s->again = sd_event_source_disable_unref(s->again);
        s->gone = sd_event_source_disable_unref(s->gone);
        s->deadline = deadline_free(s->deadline);
        buffer_done(&s->input);
        buffer_done(&s->output);
        s->sending = s->on_wire = 0;
        s->handler->closed(s, error, s->userdata); /* may free s */
}

static int serial_on_failed(sd_event_source *source, void *userdata) {
        Serial *s = userdata;

        serial_end(s, s->error);
        return 0;
}

/* What a tty that was pulled out says: EIO, ENXIO, or the end of input. */
static int loss_of(int error) {
        return error == -EIO || error == -ENXIO ? -ENODEV : error;
}

/* From here on nothing is read or written, and closed() comes in the next turn. */
static void serial_fail(Serial *s, int error) {
        if (s->state != SERIAL_OPEN)
                return;

        s->state = SERIAL_FAILED;
        s->error = loss_of(error);
        s->source = sd_event_source_disable_unref(s->source);
        /* Fails only when the loop has ended, and then nobody waits. */
        if (sd_event_add_defer(s->event, &s->source, serial_on_failed, s) >= 0)
                (void) sd_event_source_set_description(s->source, s->description);
}

/* ---- output ------------------------------------------------------------------------------------------- */

static void serial_update_events(Serial *s) {
        uint32_t events = (s->reading ? EPOLLIN : 0) | (s->sending > 0 ? EPOLLOUT : 0);

        if (s->state == SERIAL_OPEN)
                (void) sd_event_source_set_io_events(s->source, events);
}

/* Everything of a transmission is the kernel's: when will it have left? */
static void serial_begin_emptying(Serial *s) {
        s->look = LOOK_MIN_USEC;
        if (s->gone)
                (void) sd_event_source_set_enabled(s->gone, SD_EVENT_ONESHOT);
        else
                deadline_set(s->deadline, s->empty_at);
}

/* Gives the kernel more of this transmission. */
static void serial_send(Serial *s) {
        usec_t now = serial_now(s);
        ssize_t n = write(s->fd, buffer_begin(&s->output), s->sending);

        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR) {
                        serial_fail(s, -errno);
                        return;
                }
                n = 0;
        }

        buffer_consume(&s->output, (size_t) n);
        s->sending -= (size_t) n;
        s->on_wire += (size_t) n;
        s->empty_at = usec_add(MAX(s->empty_at, now), serial_chars_usec(&s->options, (size_t) n));
        if (s->sending == 0)
                serial_begin_emptying(s);
}

/* Follows what the timer was late by a quarter, what it was early by half. */
static void serial_adjust_timer(Serial *s) {
        usec_t now = serial_now(s);

        if (s->timer_for != s->quiet_until) /* which was put off since */
                return;
        if (now > s->quiet_until)
                s->ahead = MIN(s->ahead + 1 + (now - s->quiet_until) / 4, AHEAD_MAX_USEC);
        else
                s->ahead = usec_sub(s->ahead, (s->quiet_until - now) / 2);
        s->timer_for = 0;
}

/* The line is free: begins a transmission, or waits for the silence before it. */
static void serial_transmit(Serial *s) {
        if (buffer_size(&s->output) == 0)
                return;
        if (s->quiet_until > usec_add(serial_now(s), s->ahead)) {
                s->timer_for = s->quiet_until;
                deadline_set(s->deadline, s->quiet_until - s->ahead);
                return;
        }
        while (serial_now(s) < s->quiet_until)
                ; /* the last microseconds */

        s->sending = buffer_size(&s->output);
        if (s->framed)
                serial_echo_begin(&s->echo, buffer_begin(&s->output), s->sending, s->ambiguous);
        s->framed = false;
        serial_send(s);
        if (s->sending > 0)
                serial_update_events(s);
}

static bool serial_is_transmitting(const Serial *s) {
        return s->sending > 0 || s->on_wire > 0;
}

/* The last byte has left. */
static void serial_finish_transmission(Serial *s) {
        bool freed = false;

        s->on_wire = 0;
        s->empty_at = 0;
        if (s->options.silence_after_sent > 0)
                s->quiet_until = MAX(s->quiet_until, usec_add(serial_now(s), s->options.silence_after_sent));

        if (s->handler->drained) {
                s->freed = &freed;
                s->handler->drained(s, s->userdata);
                if (freed)
                        return;
                s->freed = NULL;
        }
        if (s->state == SERIAL_OPEN && !serial_is_transmitting(s))
                serial_transmit(s);
}

static int serial_on_gone(sd_event_source *source, void *userdata) {
        Serial *s = userdata;

        if (s->state == SERIAL_OPEN && s->sending == 0 && s->on_wire > 0)
                serial_finish_transmission(s);
        return 0;
}

static void serial_on_deadline(void *userdata) {
        Serial *s = userdata;
        size_t queued;

        if (s->state == SERIAL_OPENING) {
                s->port = serial_port_close(s->port);
                serial_end(s, -ETIMEDOUT);
                return;
        }
        if (s->state != SERIAL_OPEN || s->sending > 0)
                return;
        if (s->on_wire == 0) {
                serial_adjust_timer(s);
                serial_transmit(s);
                return;
        }

        queued = serial_settings_queued(s->fd);
        if (queued == 0) {
                serial_finish_transmission(s);
                return;
        }
        deadline_set_relative(s->deadline, MAX(s->look, serial_chars_usec(&s->options, MIN(queued, s->on_wire))));
        s->look = MIN(s->look * 2, LOOK_MAX_USEC);
}

int serial_write(Serial *s, const void *data, size_t size) {
        if (s->state != SERIAL_OPEN)
                return -ENODEV;

        buffer_append(&s->output, data, size);
        if (!serial_is_transmitting(s))
                serial_transmit(s);
        return 0;
}

int serial_write_frame(Serial *s, const void *frame, size_t size, bool ambiguous) {
        s->framed = true;
        s->ambiguous = ambiguous;
        return serial_write(s, frame, size);
}

bool serial_hears_itself(const Serial *s) {
        return s->echo.heard;
}

size_t serial_unsent(const Serial *s) {
        return buffer_size(&s->output) + s->on_wire;
}

void serial_discard_output(Serial *s) {
        if (s->state != SERIAL_OPEN)
                return;

        if (serial_is_transmitting(s))
                serial_settings_flush(s->fd, false, true);
        buffer_clear(&s->output);
        s->sending = s->on_wire = 0;
        s->empty_at = 0;
        s->quiet_until = MAX(s->quiet_until, usec_add(serial_now(s), s->options.silence_after_sent));
        serial_update_events(s);
}

/* ---- input -------------------------------------------------------------------------------------------- */

/* Gives the owner all input, which is in `input` or in the scratch buffer, and keeps in `input` what is not
 * consumed. */
static void serial_deliver(Serial *s, Buffer *input, const uint8_t *data, size_t size) {
        bool freed = false;
        size_t consumed;

        s->freed = &freed;
        s->discarded = false;
        consumed = s->handler->received(s, data, size, s->userdata);
        if (freed) {
                buffer_done(input);
                return;
        }
        s->freed = NULL;

        g_assert(consumed <= size);
        if (s->discarded || s->state != SERIAL_OPEN)
                consumed = size;
        if (data == scratch)
                buffer_append(input, scratch + consumed, size - consumed);
        else
                buffer_consume(input, consumed);
        s->input = *input;

        if (s->reading && buffer_size(&s->input) > s->options.receive_max)
                serial_end(s, -EMSGSIZE);
}

static void serial_take(Serial *s, size_t n) {
        size_t echo = serial_echo_received(&s->echo, scratch, n);
        Buffer input = s->input;

        if (echo == n)
                return;
        if (echo > 0)
                memmove(scratch, scratch + echo, n -= echo);

        s->input = (Buffer) { 0 };
        if (buffer_size(&input) == 0) {
                serial_deliver(s, &input, scratch, n);
                return;
        }
        buffer_append(&input, scratch, n);
        serial_deliver(s, &input, buffer_begin(&input), buffer_size(&input));
}

static void serial_read(Serial *s, uint32_t revents) {
        ssize_t n = read(s->fd, scratch, sizeof(scratch));

        if (n > 0) {
                if (s->options.silence_after_received > 0)
                        s->quiet_until = MAX(s->quiet_until,
                                             usec_add(serial_now(s), s->options.silence_after_received));
                serial_take(s, (size_t) n);
                return;
        }
        if (n == 0 || (revents & (EPOLLHUP | EPOLLERR)))
                serial_end(s, -ENODEV);
        else if (errno != EAGAIN && errno != EINTR)
                serial_end(s, loss_of(-errno));
}

static int serial_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Serial *s = userdata;

        if ((revents & EPOLLOUT) && s->sending > 0) {
                serial_send(s);
                if (s->state != SERIAL_OPEN)
                        return 0;
                serial_update_events(s);
        }

        if (s->reading && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                serial_read(s, revents);
        else if (revents & (EPOLLHUP | EPOLLERR))
                serial_end(s, -ENODEV);
        return 0;
}

static int serial_on_again(sd_event_source *source, void *userdata) {
        Serial *s = userdata;
        Buffer input = s->input;

        if (!s->reading || s->state != SERIAL_OPEN || buffer_size(&input) == 0)
                return 0;
        s->input = (Buffer) { 0 };
        serial_deliver(s, &input, buffer_begin(&input), buffer_size(&input));
        return 0;
}

void serial_process(Serial *s) {
        if (s->state != SERIAL_OPEN)
                return;
        if (!s->again) {
                if (sd_event_add_defer(s->event, &s->again, serial_on_again, s) < 0)
                        return;
                (void) sd_event_source_set_description(s->again, s->description);
        }
        (void) sd_event_source_set_enabled(s->again, SD_EVENT_ONESHOT);
}

void serial_set_reading(Serial *s, bool on) {
        if (s->reading == on)
                return;

        s->reading = on;
        serial_update_events(s);
        if (on)
                serial_process(s);
}

void serial_discard_input(Serial *s) {
        if (s->state != SERIAL_OPEN)
                return;

        s->discarded = true;
        buffer_clear(&s->input);
        serial_settings_flush(s->fd, true, false);
}

const uint8_t *serial_get_input(const Serial *s, size_t *ret_size) {
        *ret_size = buffer_size(&s->input);
        return buffer_begin(&s->input);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static int serial_begin(Serial *s, bool pseudo) {
        int r;

        r = sd_event_add_io(s->event, &s->source, s->fd, s->reading ? EPOLLIN : 0, serial_on_io, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->source, s->description);
        if (!pseudo)
                return 0;
        r = sd_event_add_defer(s->event, &s->gone, serial_on_gone, s);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s->gone, SD_EVENT_OFF);
}

static void serial_on_opened(int error, int fd, bool pseudo, void *userdata) {
        Serial *s = userdata;

        s->fd = fd;
        if (error >= 0)
                error = serial_begin(s, pseudo);
        if (error < 0) {
                serial_end(s, error);
                return;
        }
        s->state = SERIAL_OPEN;
        deadline_set(s->deadline, USEC_INFINITY);
        s->handler->opened(s, s->userdata); /* may free s */
}

static int serial_init(Serial *s, const char *path) {
        int r;

        r = serial_settings_check(&s->options);
        if (r < 0)
                return r;
        r = deadline_new(s->event, s->description, serial_on_deadline, s, &s->deadline);
        if (r < 0)
                return r;
        if (s->options.open_timeout > 0)
                deadline_set_relative(s->deadline, s->options.open_timeout);
        return serial_port_open(s->event, path, &s->options, serial_on_opened, s, &s->port);
}

int serial_open(sd_event *event, const char *path, const SerialOptions *options, const char *description,
                const SerialHandler *handler, void *userdata, Serial **ret) {
        _cleanup_(serial_freep) Serial *s = g_new(Serial, 1);
        int r;

        *s = (Serial) {
                .event = sd_event_ref(event),
                .handler = handler,
                .userdata = userdata,
                .description = description,
                .options = *options,
                .fd = -EBADF,
                .reading = true,
        };
        r = serial_init(s, path);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

Serial *serial_free(Serial *s) {
        if (!s)
                return NULL;

        if (s->freed)
                *s->freed = true;
        s->source = sd_event_source_disable_unref(s->source);
        s->again = sd_event_source_disable_unref(s->again);
        s->gone = sd_event_source_disable_unref(s->gone);
        s->deadline = deadline_free(s->deadline);
        buffer_done(&s->input);
        buffer_done(&s->output);
        s->port = serial_port_close(s->port);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

char *serial_open_error(const char *path, int error) {
        Holder holder;

        switch (error) {
        case -ENOENT:
        case -ENODEV:
        case -ENXIO:
                return g_strdup("there is no such device");
        case -EBUSY:
                if (holder_find(path, -1, &holder) >= 0)
                        return g_strdup_printf("%s (process %d) has it", holder.name, (int) holder.pid);
                return g_strdup("another process has it");
        case -ETIMEDOUT:
                return g_strdup("it does not open in time");
        case -EALREADY:
                return g_strdup("an earlier attempt to open it has not come back");
        case -ENOTTY:
                return g_strdup("it is not a serial line");
        case -EOPNOTSUPP:
                return g_strdup("its driver cannot do these settings");
        default:
                return g_strdup(g_strerror(-error));
        }
}
