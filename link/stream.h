/* SPDX-License-Identifier: Apache-2.0 */
/* A connected byte stream (TCP, unix, socketpair) on the loop: connects by itself, reads into one scratch buffer that all
 * streams share and keeps memory of its own only for an unfinished frame or unsent bytes. Loop thread; nothing blocks.
 * The owner may free the stream inside any callback. */
#pragma once

#include <sys/uio.h>
#include <systemd/sd-event.h>

#include "base/macros.h"
#include "base/time.h"
#include "link/address.h"
#include "link/resolver.h"

typedef struct Stream Stream;

typedef struct StreamHandler {
        void (*connected)(Stream *s, void *userdata);
        /* All bytes not consumed so far; returns how many are consumed now. What is left comes again, in front of newer bytes,
         * when more have arrived. */
        size_t (*received)(Stream *s, const uint8_t *data, size_t size, void *userdata);
        /* Everything written has been handed to the kernel, after it once had not; may be NULL. */
        void (*drained)(Stream *s, void *userdata);
        /* Once, last: 0 end of stream (or flushed close), else negative errno: -ECONNREFUSED, -ETIMEDOUT (connect, or TCP's user
         * timeout), -ENXIO (no such host), -ECONNRESET, -EMSGSIZE (receive_max) … The owner frees the stream. */
        void (*closed)(Stream *s, int error, void *userdata);
} StreamHandler;

typedef struct StreamOptions {
        usec_t connect_timeout; /* name resolution and all addresses together; USEC_INFINITY: the system's */
        usec_t user_timeout;    /* TCP_USER_TIMEOUT; 0: the system's */
        size_t receive_max;     /* most unconsumed bytes kept; beyond: closed(-EMSGSIZE) */
} StreamOptions;

/* Begins to connect; connected() or closed() follow in a later turn, never inside this call. resolver may be NULL for unix
 * and numeric addresses. <0: nothing was begun. description (literal) names the source. */
int stream_connect(sd_event *event, Resolver *resolver, const Address *address, const StreamOptions *options,
                   const char *description, const StreamHandler *handler, void *userdata, Stream **ret);
/* Takes over a connected descriptor (on success only); connected() is not called. Sets non-blocking, TCP_NODELAY. */
int stream_adopt(sd_event *event, int fd, const StreamOptions *options, const char *description,
                 const StreamHandler *handler, void *userdata, Stream **ret);
/* Closes at once, unsent bytes are lost, no callback follows. */
Stream *stream_free(Stream *s);
DEFINE_CLEANUP(Stream, stream_free);

/* Writes now what the kernel takes, keeps the rest in order. -ENOTCONN: not connected. Errors of the socket come by closed(). The caller bounds
 * what it queues by stream_unsent(). */
int stream_write(Stream *s, const void *data, size_t size);
int stream_writev(Stream *s, const struct iovec *iov, size_t n);
size_t stream_unsent(const Stream *s);
/* When bytes last left for the kernel (monotonic): a stalled peer shows here. */
usec_t stream_last_progress(const Stream *s);
/* Stops reading, writes out what is unsent, then closed(0); at the latest after `limit` closed(-ETIMEDOUT). Never inside the call. */
void stream_close_flushed(Stream *s, usec_t limit);
/* Reading off: the kernel's buffers fill and the peer waits. Loss of the connection is still noticed. */
void stream_set_reading(Stream *s, bool on);
/* Drops what was received and not consumed, in the kernel too. */
void stream_discard_input(Stream *s);
int stream_get_fd(const Stream *s); /* borrowed; for addresses and options */
