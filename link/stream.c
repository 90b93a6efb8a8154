/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the descriptor, its event source, and the bytes that are unfinished or unsent. Loop thread: the
 * scratch buffer is one for the process.
 *
 * While it only waits for input it is edge-triggered: else each turn of the loop, which serves one source,
 * would look at all others that are ready too. What is then left unread is never told again, so after a read
 * that may not have emptied the kernel it is level-triggered.
 *
 * Life: CONNECTING → OPEN → CLOSING (flushed close) or FAILED (the error is known, closed() comes in a later
 * turn) → ENDED (closed() was called). A function that calls back returns at once when the stream may be
 * gone; stream_end() is always the last thing a caller does. */

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/deadline.h"
#include "link/connector.h"
#include "link/stream.h"

#define SCRATCH_SIZE (64U << 10)
/* Up to here an unfinished frame is moved to the front of the scratch buffer; a longer one gets the new
 * bytes behind it. */
#define MOVE_MAX (4U << 10)
#define DISCARD_SIZE (4U << 10)
#define DISCARDS_MAX 64
/* How long the peer has to end its direction after everything was sent. */
#define LINGER_USEC (100 * USEC_PER_MSEC)

typedef enum StreamState {
        STREAM_CONNECTING,
        STREAM_OPEN,
        STREAM_CLOSING,
        STREAM_FAILED,
        STREAM_ENDED,
} StreamState;

struct Stream {
        sd_event *event;
        sd_event_source *source; /* of the descriptor; FAILED: deferred */
        const StreamHandler *handler;
        void *userdata;
        const char *description;
        StreamOptions options;
        sd_event_source *again; /* stream_process(); made when first needed */
        bool *freed; /* set while a callback runs */
        Buffer input, output;
        Connector *connector; /* CONNECTING */
        Deadline *limit;      /* CLOSING */
        usec_t last_progress; /* of the output: when bytes of it left, or began to wait */
        uint32_t events; /* that the source waits for; 0: it is off */
        int fd;
        int error; /* FAILED */
        StreamState state;
        bool reading : 1;
        bool unread : 1;    /* the kernel may have more, or the end */
        bool discarded : 1; /* by the handler that is being called */
        bool due : 1;        /* the owner wants to see again what is left */
        bool peer_ended : 1; /* nothing more will come, but for what was not read yet */
        bool we_ended : 1;  /* CLOSING: our direction is shut down */
        bool abortive : 1;
};

static uint8_t scratch[SCRATCH_SIZE];

/* ---- end ---------------------------------------------------------------------------------------------- */

/* Bytes that the peer has not acknowledged, or that are here. */
static bool stream_is_undelivered(const Stream *s) {
        int n = 0;

        return buffer_size(&s->output) > 0 || (s->abortive && s->fd >= 0 && ioctl(s->fd, SIOCOUTQ, &n) >= 0 && n > 0);
}

/* A close then resets the connection, and the kernel forgets what it has. */
static void stream_forget_undelivered(const Stream *s) {
        const struct linger linger = { .l_onoff = 1 };

        if (s->abortive && stream_is_undelivered(s))
                (void) setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void stream_end(Stream *s, int error) {
        s->state = STREAM_ENDED;
        s->source = sd_event_source_disable_unref(s->source);
        s->again = sd_event_source_disable_unref(s->again);
        s->connector = connector_free(s->connector);
        s->limit = deadline_free(s->limit);
        buffer_done(&s->input);
        stream_forget_undelivered(s);
        buffer_done(&s->output);
        s->handler->closed(s, error, s->userdata); /* may free s */
}

static void stream_read(Stream *s, bool ending);

static int stream_on_failed(sd_event_source *source, void *userdata) {
        Stream *s = userdata;

        /* What arrived before the failure is the owner's: one piece a turn until the kernel has no more. */
        if (s->fd >= 0 && s->reading)
                stream_read(s, true);
        else
                stream_end(s, s->error);
        return 0;
}

static void stream_describe_source(const Stream *s) {
        (void) sd_event_source_set_description(s->source, s->description);
        (void) sd_event_source_set_priority(s->source, s->options.priority);
}

/* From here on nothing is written and the loop calls until closed() was. */
static void stream_fail(Stream *s, int error) {
        s->state = STREAM_FAILED;
        s->error = error;
        buffer_done(&s->output);
        s->source = sd_event_source_disable_unref(s->source);
        s->connector = connector_free(s->connector);
        s->limit = deadline_free(s->limit);

        /* Fails only when the loop has ended, and then nobody waits. */
        if (sd_event_add_defer(s->event, &s->source, stream_on_failed, s) < 0)
                return;
        (void) sd_event_source_set_enabled(s->source, SD_EVENT_ON);
        stream_describe_source(s);
}

/* ---- events of the descriptor ------------------------------------------------------------------------- */

static uint32_t stream_wanted_events(const Stream *s) {
        uint32_t events = 0;

        if (s->state == STREAM_CLOSING) {
                if (!s->peer_ended)
                        events |= EPOLLIN;
                if (!s->we_ended)
                        events |= EPOLLOUT;
                return events;
        }

        if (s->reading)
                events |= EPOLLIN;
        else if (!s->peer_ended)
                events |= EPOLLRDHUP;
        if (buffer_size(&s->output) > 0)
                events |= EPOLLOUT;
        return events == EPOLLIN && !s->unread ? EPOLLIN | EPOLLRDHUP | EPOLLET : events;
}

/* No system call when nothing changed. With nothing wanted the source is off: a hangup would otherwise
 * wake us for ever. */
static void stream_update_events(Stream *s) {
        uint32_t events;

        if (s->state != STREAM_OPEN && s->state != STREAM_CLOSING)
                return;

        events = stream_wanted_events(s);
        if (events == s->events)
                return;
        s->events = events;
        if (events != 0)
                (void) sd_event_source_set_io_events(s->source, events);
        (void) sd_event_source_set_enabled(s->source, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int stream_pending_error(const Stream *s) {
        int error = 0;
        socklen_t size = sizeof(error);

        return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

/* A loss while reading is off. An orderly end waits until the owner had what came before it. */
static void stream_check_loss(Stream *s) {
        int r, n = 0;

        r = stream_pending_error(s);
        if (r < 0) {
                stream_end(s, r);
                return;
        }
        if (buffer_size(&s->input) == 0 && (ioctl(s->fd, FIONREAD, &n) < 0 || n == 0)) {
                stream_end(s, 0);
                return;
        }
        s->peer_ended = true;
        stream_update_events(s);
}

/* ---- input -------------------------------------------------------------------------------------------- */

/* The memory of a burst or of a long frame does not stay for the few bytes behind it. */
static void input_shrink(Buffer *input) {
        Buffer small = { 0 };
        size_t size = buffer_size(input);

        if ((size <= MOVE_MAX && input->allocated > SCRATCH_SIZE) ||
            (size <= input->allocated / 4 && input->allocated > 2 * SCRATCH_SIZE)) {
                buffer_append(&small, buffer_begin(input), size);
                buffer_done(input);
                *input = small;
        }
        buffer_trim(input, 0);
}

/* Gives the owner all input, which is in `input` or in the scratch buffer, and keeps in `input` what is
 * not consumed. */
static void stream_deliver(Stream *s, Buffer *input, const uint8_t *data, size_t size) {
        bool freed = false;
        size_t consumed;

        s->freed = &freed;
        s->discarded = s->due = false;
        consumed = s->handler->received(s, data, size, s->userdata);
        if (freed) {
                buffer_done(input);
                return;
        }
        s->freed = NULL;

        g_assert(consumed <= size);
        if (s->discarded || (s->state != STREAM_OPEN && s->state != STREAM_FAILED))
                consumed = size;

        if (data == scratch)
                buffer_append(input, scratch + consumed, size - consumed);
        else
                buffer_consume(input, consumed);
        input_shrink(input);
        s->input = *input;

        if (s->reading && buffer_size(&s->input) > s->options.receive_max)
                stream_end(s, -EMSGSIZE);
}

static void stream_deliver_again(Stream *s) {
        Buffer input = s->input;

        s->input = (Buffer) { 0 };
        stream_deliver(s, &input, buffer_begin(&input), buffer_size(&input));
}

/* The kernel has nothing more, but perhaps we have: the end is then read once more. */
static void stream_read_failed(Stream *s, int error) {
        if (error == -EINTR || (error == -EAGAIN && s->state != STREAM_FAILED))
                return;
        if (s->state == STREAM_FAILED)
                error = s->error;
        if (!s->due || buffer_size(&s->input) == 0) {
                stream_end(s, error);
                return;
        }
        if (error < 0 && s->state == STREAM_OPEN)
                stream_fail(s, error);
        s->unread = true;
        stream_update_events(s);
        stream_deliver_again(s);
}

/* One read, whatever it brings: the loop calls again while there is more, which is certain when the peer has
 * ended. The input leaves the stream for the time of the callback, so that it stays valid when the owner
 * frees or discards. */
static void stream_read(Stream *s, bool ending) {
        Buffer input = s->input;
        size_t kept = buffer_size(&input), room;
        bool moved = kept <= MOVE_MAX;
        uint8_t *data;
        ssize_t n;

        if (moved) {
                data = scratch + kept;
                room = SCRATCH_SIZE - kept;
        } else {
                data = buffer_reserve(&input, SCRATCH_SIZE);
                room = input.allocated - input.end;
                s->input = input;
        }

        if (s->options.read_max > 0)
                room = MIN(room, s->options.read_max);
        n = recv(s->fd, data, room, 0);
        if (n <= 0) {
                stream_read_failed(s, n == 0 ? 0 : -errno);
                return;
        }

        if (moved) {
                if (kept > 0)
                        memcpy(scratch, buffer_begin(&input), kept);
                buffer_clear(&input);
                data = scratch;
        } else {
                buffer_commit(&input, (size_t) n);
                data = buffer_begin(&input);
        }
        s->input = (Buffer) { 0 };
        s->unread = ending || (size_t) n == room;
        stream_update_events(s);
        stream_deliver(s, &input, data, kept + (size_t) n);
}

/* Throws away what the kernel has, up to a bound. Returns 0, or 1 when the peer has ended, or negative
 * errno. */
static int stream_discard_kernel(Stream *s) {
        uint8_t dustbin[DISCARD_SIZE];

        for (unsigned i = 0; i < DISCARDS_MAX; i++) {
                ssize_t n;

                n = recv(s->fd, dustbin, sizeof(dustbin), 0);
                if (n == 0)
                        return 1;
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                if ((size_t) n < sizeof(dustbin))
                        return 0;
        }
        return 0;
}

void stream_discard_input(Stream *s) {
        int r;

        if (s->state != STREAM_OPEN && s->state != STREAM_FAILED)
                return;

        s->discarded = true;
        buffer_done(&s->input);
        if (s->fd < 0)
                return;

        /* An end shows again at the next read, an error does not. */
        r = stream_discard_kernel(s);
        if (r < 0 && s->state == STREAM_OPEN)
                stream_fail(s, r);
}

const uint8_t *stream_get_input(const Stream *s, size_t *ret_size) {
        *ret_size = buffer_size(&s->input);
        return buffer_begin(&s->input);
}

static int stream_on_again(sd_event_source *source, void *userdata) {
        Stream *s = userdata;

        if (s->due && s->reading && s->state == STREAM_OPEN && buffer_size(&s->input) > 0)
                stream_deliver_again(s);
        return 0;
}

void stream_process(Stream *s) {
        int r = 0;

        if (s->state != STREAM_OPEN)
                return;
        if (!s->again) {
                r = sd_event_add_defer(s->event, &s->again, stream_on_again, s);
                if (r >= 0)
                        (void) sd_event_source_set_description(s->again, s->description);
        }
        if (r >= 0)
                r = sd_event_source_set_enabled(s->again, SD_EVENT_ONESHOT);
        s->due = r >= 0;
        if (r < 0)
                stream_fail(s, r);
}

void stream_set_reading(Stream *s, bool on) {
        if (on && !s->reading) {
                s->peer_ended = false; /* it is read */
                stream_process(s);
        }
        s->reading = on;
        stream_update_events(s);
}

/* ---- output ------------------------------------------------------------------------------------------- */

/* Returns how many bytes the kernel took, 0 when it takes none now, or negative errno. */
static ssize_t stream_send(Stream *s, const struct iovec *iov, size_t n) {
        const struct msghdr message = { .msg_iov = (struct iovec *) iov,
                                        .msg_iovlen = MIN(n, (size_t) IOV_MAX) };
        ssize_t sent;

        if (n == 1)
                sent = send(s->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
        else
                sent = sendmsg(s->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
                if (errno == EAGAIN || errno == EINTR)
                        return 0;
                return errno == EPIPE ? -ECONNRESET : -errno;
        }
        return sent;
}

static void stream_queue(Stream *s, const struct iovec *iov, size_t n, size_t skip) {
        if (buffer_size(&s->output) == 0)
                s->last_progress = now_usec(CLOCK_MONOTONIC);

        for (size_t i = 0; i < n; i++) {
                size_t skipped = MIN(skip, iov[i].iov_len);

                skip -= skipped;
                buffer_append(&s->output, (const uint8_t *) iov[i].iov_base + skipped,
                              iov[i].iov_len - skipped);
        }
        stream_update_events(s);
}

int stream_writev(Stream *s, const struct iovec *iov, size_t n) {
        size_t size = 0;
        ssize_t sent = 0;

        if (s->state != STREAM_OPEN)
                return -ENOTCONN;

        for (size_t i = 0; i < n; i++)
                size += iov[i].iov_len;
        if (size == 0)
                return 0;

        if (buffer_size(&s->output) == 0) {
                sent = stream_send(s, iov, n);
                if (sent < 0) {
                        stream_fail(s, (int) sent);
                        return 0;
                }
        }
        if ((size_t) sent < size)
                stream_queue(s, iov, n, (size_t) sent);
        return 0;
}

int stream_write(Stream *s, const void *data, size_t size) {
        const struct iovec iov = { .iov_base = (void *) data, .iov_len = size };

        return stream_writev(s, &iov, 1);
}

static int stream_flush(Stream *s) {
        const struct iovec iov = { .iov_base = buffer_begin(&s->output),
                                   .iov_len = buffer_size(&s->output) };
        ssize_t sent;

        sent = stream_send(s, &iov, 1);
        if (sent < 0)
                return (int) sent;
        if (sent > 0)
                s->last_progress = now_usec(CLOCK_MONOTONIC);
        buffer_consume(&s->output, (size_t) sent);
        buffer_trim(&s->output, 0);
        return 0;
}

/* Returns whether the stream is still there and open. */
static bool stream_on_writable(Stream *s) {
        bool freed = false;
        int r;

        r = stream_flush(s);
        if (r < 0) {
                stream_fail(s, r);
                return false;
        }
        if (buffer_size(&s->output) > 0)
                return true;

        stream_update_events(s);
        if (!s->handler->drained)
                return true;
        s->freed = &freed;
        s->handler->drained(s, s->userdata);
        if (freed)
                return false;
        s->freed = NULL;
        return s->state == STREAM_OPEN;
}

size_t stream_unsent(const Stream *s) {
        return buffer_size(&s->output);
}

size_t stream_output_memory(const Stream *s) {
        return s->output.end;
}

usec_t stream_stall_deadline(const Stream *s, usec_t limit) {
        return stream_unsent(s) > 0 ? usec_add(s->last_progress, limit) : USEC_INFINITY;
}

/* ---- flushed close ------------------------------------------------------------------------------------ */

/* After the last byte: a FIN, and for a moment an ear for the peer's. */
static void stream_end_our_direction(Stream *s) {
        usec_t linger = usec_add(now_usec(CLOCK_MONOTONIC), LINGER_USEC);

        (void) shutdown(s->fd, SHUT_WR);
        s->we_ended = true;
        if (!s->abortive && linger < deadline_get(s->limit))
                deadline_set(s->limit, linger);
}

void stream_set_abortive(Stream *s) {
        s->abortive = true;
}

static void stream_on_closing(Stream *s) {
        int r;

        if (buffer_size(&s->output) > 0) {
                r = stream_flush(s);
                if (r < 0) {
                        stream_end(s, r);
                        return;
                }
        }
        if (!s->peer_ended) {
                r = stream_discard_kernel(s);
                if (r < 0) {
                        stream_end(s, buffer_size(&s->output) > 0 ? r : 0);
                        return;
                }
                s->peer_ended = r > 0;
        }
        if (buffer_size(&s->output) == 0) {
                if (!s->we_ended)
                        stream_end_our_direction(s);
                if (s->peer_ended) {
                        stream_end(s, 0);
                        return;
                }
        }
        stream_update_events(s);
}

static void stream_on_limit(void *userdata) {
        Stream *s = userdata;

        stream_end(s, stream_is_undelivered(s) ? -ETIMEDOUT : 0);
}

void stream_close_flushed(Stream *s, usec_t limit) {
        int r;

        if (s->state == STREAM_CONNECTING) {
                stream_fail(s, 0);
                return;
        }
        if (s->state != STREAM_OPEN)
                return;

        buffer_done(&s->input);
        r = deadline_new(s->event, s->description, stream_on_limit, s, &s->limit);
        if (r < 0) {
                s->reading = false;
                stream_fail(s, r);
                return;
        }
        deadline_set_relative(s->limit, limit);
        s->state = STREAM_CLOSING;
        s->peer_ended = false; /* there may be unread bytes before the end */
        stream_update_events(s);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static int stream_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Stream *s = userdata;

        if (s->state == STREAM_CLOSING) {
                stream_on_closing(s);
                return 0;
        }

        if (buffer_size(&s->output) > 0 && (revents & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
                if (!stream_on_writable(s))
                        return 0;

        if (s->reading && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                stream_read(s, revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        else if (!s->reading && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
                stream_check_loss(s);
        return 0;
}

/* They have no effect on sockets that are not TCP. */
static void stream_set_tcp_options(const Stream *s, int fd) {
        const unsigned user_timeout = (unsigned) MIN(s->options.user_timeout / USEC_PER_MSEC, (usec_t) INT_MAX);
        const int idle = (int) MIN(s->options.keepalive_idle / USEC_PER_SEC, (usec_t) INT16_MAX);
        const int on = 1;

        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (user_timeout > 0)
                (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
        if (idle > 0) {
                (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
                (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        }
}

static int stream_open(Stream *s, int fd) {
        int r;

        s->state = STREAM_OPEN;
        s->events = stream_wanted_events(s); /* reading may have been switched off while connecting */
        r = sd_event_add_io(s->event, &s->source, fd, s->events, stream_on_io, s);
        if (r < 0)
                return r;
        stream_describe_source(s);

        stream_set_tcp_options(s, fd);
        s->fd = fd;
        return 0;
}

static void stream_on_connected(int error, int fd, void *userdata) {
        Stream *s = userdata;
        int r = error;

        if (r >= 0) {
                r = stream_open(s, fd);
                if (r < 0)
                        (void) safe_close(fd);
        }
        if (r < 0) {
                stream_end(s, r);
                return;
        }
        s->connector = connector_free(s->connector);
        s->handler->connected(s, s->userdata); /* may free s */
}

static Stream *stream_new(sd_event *event, const StreamOptions *options, const char *description,
                          const StreamHandler *handler, void *userdata) {
        Stream *s;

        s = g_new(Stream, 1);
        *s = (Stream) {
                .event = sd_event_ref(event),
                .handler = handler,
                .userdata = userdata,
                .description = description,
                .options = *options,
                .fd = -EBADF,
                .state = STREAM_CONNECTING,
                .reading = true,
        };
        return s;
}

int stream_connect(sd_event *event, Resolver *resolver, const Address *address, const StreamOptions *options,
                   const char *description, const StreamHandler *handler, void *userdata, Stream **ret) {
        _cleanup_(stream_freep) Stream *s = NULL;
        int r;

        s = stream_new(event, options, description, handler, userdata);
        r = connector_new(event, resolver, address, options->connect_timeout, description,
                          stream_on_connected, s, &s->connector);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

int stream_adopt(sd_event *event, int fd, const StreamOptions *options, const char *description,
                 const StreamHandler *handler, void *userdata, Stream **ret) {
        _cleanup_(stream_freep) Stream *s = NULL;
        int r;

        r = fd_set_nonblocking(fd);
        if (r < 0)
                return r;

        s = stream_new(event, options, description, handler, userdata);
        r = stream_open(s, fd);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

Stream *stream_free(Stream *s) {
        if (!s)
                return NULL;

        if (s->freed)
                *s->freed = true;
        s->source = sd_event_source_disable_unref(s->source);
        s->again = sd_event_source_disable_unref(s->again);
        s->connector = connector_free(s->connector);
        s->limit = deadline_free(s->limit);
        buffer_done(&s->input);
        stream_forget_undelivered(s);
        buffer_done(&s->output);
        s->fd = safe_close(s->fd);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

int stream_get_fd(const Stream *s) {
        return s->fd;
}
