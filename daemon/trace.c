/* SPDX-License-Identifier: Apache-2.0 */
/* Those who look at what passes a device's tap: each gets it through a socket of its own, a JSON object a
 * line. The recorder is their queue, so that a slow one costs nothing and is told what it missed. Owns the
 * sockets. While there is nothing to tell, only the end of a socket is watched; a record then asks for
 * EPOLLOUT, so that what a turn brings leaves together behind it. Loop thread. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/bounds.h"
#include "base/buffer.h"
#include "daemon/proxy-internal.h"

#define BATCH_SIZE (16U << 10)             /* lines that are written at once, but for the last of them */
#define CLOCK_STEP_USEC USEC_PER_MSEC      /* less is not a new relation of the two clocks, but how they were read */

struct Trace {
        Trace *next;
        Proxy *proxy;
        int fd;
        sd_event_source *io;
        TapCursor cursor;
        uint64_t until;         /* number of the first record that is not told; UINT64_MAX: there is none */
        Buffer out;
        JsonWriter line;
};

static unsigned n_traces;  /* of the process */
static int64_t real_ahead; /* of the monotonic clock; the same for all, so that a record has one time */

static unsigned trace_count(const Proxy *p) {
        unsigned n = 0;

        for (const Trace *t = p->traces; t; t = t->next)
                n++;
        return n;
}

/* ---- lines ------------------------------------------------------------------------------------------- */

static void write_hex(JsonWriter *w, const uint8_t *data, size_t size) {
        static const char digits[] = "0123456789abcdef";
        char text[2 * TAP_BYTES_MAX];

        for (size_t i = 0; i < size; i++) {
                text[2 * i] = digits[data[i] >> 4];
                text[2 * i + 1] = digits[data[i] & 0xf];
        }
        json_key(w, "Bytes");
        json_string_n(w, text, 2 * size);
}

static void write_wire(JsonWriter *w, const DeviceConfig *c, const TapRecord *r) {
        json_member_string(w, "Direction", tap_direction_to_string((TapDirection) r->header.direction));
        write_hex(w, r->data, r->header.size);
        c->type->trace(c->conf, r, w);
}

static void write_record(Trace *t, const TapRecord *r, uint64_t missed) {
        TapKind kind = (TapKind) r->header.kind;
        JsonWriter *w = &t->line;

        json_open_object(w);
        json_member_uint(w, "Time", r->header.when + (uint64_t) real_ahead);
        json_member_uint(w, "TimeMonotonic", r->header.when);
        json_member_uint(w, "Number", r->number);
        if (missed > 0)
                json_member_uint(w, "Missed", missed);
        json_member_string(w, "Kind", tap_kind_to_string(kind));
        if (r->header.connection > 0)
                json_member_uint(w, "Connection", r->header.connection);
        if (kind == TAP_OPENED || kind == TAP_CLOSED) {
                json_key(w, "Text");
                json_string_n(w, (const char *) r->data, r->header.size);
        } else
                write_wire(w, t->proxy->view.config, r);
        json_close_object(w);
}

/* false: there is nothing to tell. */
static bool trace_take(Trace *t) {
        const LinkTap *tap = &t->proxy->view.tap;
        uint64_t missed;
        JsonSpan text;
        TapRecord r;

        if (t->cursor.next >= t->until || !tap_read(tap, &t->cursor, &r, &missed) || r.number >= t->until)
                return false; /* or it is newer: the ring went round meanwhile */
        json_writer_reset(&t->line);
        write_record(t, &r, missed);
        if (json_writer_end(&t->line, &text) >= 0) {
                buffer_append(&t->out, text.text, text.size);
                buffer_append(&t->out, "\n", 1);
        }
        return true;
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* The tap wakes somebody only while somebody waits for what comes. */
static void on_record(const TapRecord *record, void *userdata) {
        const Proxy *p = userdata;

        for (Trace *t = p->traces; t; t = t->next)
                if (t->until == UINT64_MAX)
                        (void) sd_event_source_set_io_events(t->io, EPOLLOUT);
}

static void proxy_listen(Proxy *p) {
        LinkTap *tap = &p->view.tap;

        tap->listener = NULL;
        tap->userdata = p;
        for (const Trace *t = p->traces; t; t = t->next)
                if (t->until == UINT64_MAX)
                        tap->listener = on_record;
}

static void trace_free(Trace *t) {
        Trace **at = &t->proxy->traces;

        while (*at != t)
                at = &(*at)->next;
        *at = t->next;
        n_traces--;
        proxy_listen(t->proxy);

        sd_event_source_disable_unref(t->io);
        safe_close(t->fd);
        buffer_done(&t->out);
        json_writer_done(&t->line);
        g_free(t);
}

void proxy_drop_traces(Proxy *p) {
        while (p->traces)
                trace_free(p->traces);
}

static void set_clock(void) {
        int64_t ahead = (int64_t) (now_usec(CLOCK_REALTIME) - now_usec(CLOCK_MONOTONIC));

        if (llabs(ahead - real_ahead) > (int64_t) CLOCK_STEP_USEC)
                real_ahead = ahead;
}

/* One batch a turn. false: the looker is done. */
static bool trace_go_on(Trace *t) {
        bool more = true;
        ssize_t n;

        set_clock();
        while (buffer_size(&t->out) < BATCH_SIZE && more)
                more = trace_take(t);
        if (buffer_size(&t->out) == 0) {
                (void) sd_event_source_set_io_events(t->io, 0);
                return t->until == UINT64_MAX;
        }

        n = send(t->fd, buffer_begin(&t->out), buffer_size(&t->out), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        buffer_consume(&t->out, (size_t) n);
        return true;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Trace *t = userdata;

        if ((revents & (EPOLLHUP | EPOLLERR)) || !trace_go_on(t))
                trace_free(t);
        return 0;
}

/* The reader's end; ours cannot be written to. */
static int trace_open(Trace *t, int *ret_reader) {
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        t->fd = fds[0];
        if (shutdown(fds[0], SHUT_RD) < 0)
                r = -errno;
        else
                r = sd_event_add_io(gateway_get_event(t->proxy->gateway), &t->io, fds[0], EPOLLOUT, on_io, t);
        if (r < 0) {
                (void) safe_close(fds[1]);
                return r;
        }
        (void) sd_event_source_set_description(t->io, "trace");
        *ret_reader = fds[1];
        return 0;
}

int proxy_trace(Proxy *p, bool last, int *ret_reader) {
        const LinkTap *tap = &p->view.tap;
        Trace *t;
        int r;

        if (!p->view.config->type->trace)
                return -EOPNOTSUPP;
        if (n_traces >= TRACES_MAX || trace_count(p) >= TRACES_PER_DEVICE_MAX)
                return -EUSERS;

        t = g_new(Trace, 1);
        *t = (Trace) {
                .next = p->traces,
                .proxy = p,
                .fd = -EBADF,
                .cursor = last ? tap_oldest(tap) : tap_newest(tap),
                .until = last ? tap->ring.next : UINT64_MAX,
        };
        json_writer_init_growing(&t->line);
        p->traces = t;
        n_traces++;
        proxy_listen(p);
        r = trace_open(t, ret_reader);
        if (r < 0)
                trace_free(t);
        return r;
}
