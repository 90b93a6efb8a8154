/* SPDX-License-Identifier: Apache-2.0 */
/* A connected byte stream (TCP, unix, socketpair) on the loop: connects by itself, reads into one scratch
 * buffer that all streams share and keeps memory of its own only for an unfinished frame or unsent bytes:
 * an idle one costs under 1 KiB. Loop thread; nothing blocks. The owner may free the stream inside any
 * callback. */
#pragma once

#include <sys/uio.h>
#include <systemd/sd-event.h>

#include "base/macros.h"
#include "base/time.h"
#include "link/address.h"
#include "link/resolver.h"

typedef struct Stream Stream;

/* Lives as long as the streams that use it: a static const table. Each callback comes from the loop,
 * never inside a call of the owner. */
typedef struct StreamHandler {
        void (*connected)(Stream *s, void *userdata); /* NULL for adopted descriptors */
        /* All bytes not consumed so far; returns how many are consumed now. What is left comes again, in
         * front of newer bytes, when more have arrived, and only then. data is valid until return, also
         * when the stream is freed (the result then does not matter). */
        size_t (*received)(Stream *s, const uint8_t *data, size_t size, void *userdata);
        /* Everything written has been handed to the kernel, after it once had not; may be NULL. */
        void (*drained)(Stream *s, void *userdata);
        /* Once, last: 0 end of stream (or flushed close), else negative errno: -ECONNREFUSED, -ETIMEDOUT
         * (connect, or TCP's user timeout), -ENXIO (no such host), -EHOSTUNREACH, -ECONNRESET (also for
         * EPIPE), -EMSGSIZE (receive_max) … What had arrived before is delivered first, unless reading is
         * off. The owner frees the stream. */
        void (*closed)(Stream *s, int error, void *userdata);
} StreamHandler;

typedef struct StreamOptions {
        usec_t connect_timeout; /* name resolution and all addresses together; USEC_INFINITY: the system's */
        usec_t user_timeout;    /* TCP_USER_TIMEOUT; 0: the system's */
        usec_t keepalive_idle;  /* SO_KEEPALIVE, the first probe after this long without traffic; 0: off */
        size_t receive_max;     /* most unconsumed bytes kept while reading is on; beyond: closed(-EMSGSIZE) */
        size_t read_max;        /* bytes that one turn of the loop reads of it; 0: as many as there is room for, 64 KiB */
        int64_t priority;       /* of its sources once it is connected (sd_event_source_set_priority()); 0: as all others */
} StreamOptions;

/* Begins to connect; connected() or closed() follow in a later turn, never inside this call. resolver may
 * be NULL for unix and numeric addresses (else -ENXIO), and outlives the attempt. <0: nothing was begun.
 * description (a literal) names the source. */
int stream_connect(sd_event *event, Resolver *resolver, const Address *address, const StreamOptions *options,
                   const char *description, const StreamHandler *handler, void *userdata, Stream **ret);
/* Takes over a connected descriptor (on success only); connected() is not called. Sets non-blocking,
 * TCP_NODELAY. */
int stream_adopt(sd_event *event, int fd, const StreamOptions *options, const char *description,
                 const StreamHandler *handler, void *userdata, Stream **ret);
/* Closes at once, unsent bytes are lost, no callback follows. */
Stream *stream_free(Stream *s);
DEFINE_CLEANUP(Stream, stream_free);

/* Writes now what the kernel takes, keeps the rest in order. -ENOTCONN: not connected, closing, or lost.
 * Errors of the socket come by closed(). The caller bounds what it queues by stream_unsent(). */
int stream_write(Stream *s, const void *data, size_t size);
int stream_writev(Stream *s, const struct iovec *iov, size_t n);
size_t stream_unsent(const Stream *s);
/* Bytes of memory that hold them: what has left counts until all of it has. */
size_t stream_output_memory(const Stream *s);
/* When the peer has stalled, unless something moves (monotonic): so long after unsent bytes last left for the
 * kernel, or began to wait for it. USEC_INFINITY: nothing is unsent. */
usec_t stream_stall_deadline(const Stream *s, usec_t limit);
/* Stops reading, writes out what is unsent, ends our direction and gives the peer a moment to end its own
 * (what it still sends is thrown away: left unread it would turn the close into a reset); then closed(0).
 * At the latest after `limit` closed(-ETIMEDOUT) if bytes are unsent. Never inside the call. */
void stream_close_flushed(Stream *s, usec_t limit);
/* From now on the kernel delivers nothing after the end (TCP): stream_close_flushed() waits, up to its limit,
 * until the peer has ended its direction too, and what is not acknowledged when the descriptor is closed is
 * thrown away with a reset; then closed(-ETIMEDOUT). */
void stream_set_abortive(Stream *s);
/* Reading off: the kernel's buffers fill and the peer waits. A reset or error is still noticed at once, an
 * end of stream only when nothing is before it, neither in the kernel nor unconsumed: else once reading is on
 * again and received() was called for it. */
void stream_set_reading(Stream *s, bool on);
/* received() again, in a later turn, with what was left unconsumed; nothing when nothing is left or reading
 * is off then. Switching reading on implies it. May be called inside received(). */
void stream_process(Stream *s);
/* Drops what was received and not consumed, in the kernel too. Inside received(): all of data counts as
 * consumed. */
void stream_discard_input(Stream *s);
/* What was received and not consumed; borrowed, NULL when nothing was. Not inside received(). */
const uint8_t *stream_get_input(const Stream *s, size_t *ret_size);
/* Borrowed; for addresses and options. Negative before connected(); in closed() still that of the
 * connection, if there was one. */
int stream_get_fd(const Stream *s);
