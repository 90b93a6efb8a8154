/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe of lines, one JSON value each, for a process that asked for them and reads as fast as it likes.
 * What it has not read lies in the kernel, so that nobody here holds it: a line goes whole, or not at all.
 * Owned by whoever writes. Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/json.h"

typedef struct LinePipe LinePipe;
/* Nobody reads any more; once. The callee may free the pipe. */
typedef void (*LinePipeCallback)(void *userdata);

/* Bytes of one line with its end. */
#define LINE_PIPE_LINE_MAX 4096U

/* capacity: bytes that may lie unread, as far as the kernel grants them. ret_reader: the end to be handed
 * out; the caller's, and to be closed here. */
int line_pipe_new(sd_event *event, size_t capacity, LinePipeCallback left, void *userdata, LinePipe **ret, int *ret_reader);
/* The reader gets what was written, then the end. */
LinePipe *line_pipe_free(LinePipe *p);
DEFINE_CLEANUP(LinePipe, line_pipe_free);

/* -EAGAIN: too much lies unread; -E2BIG: longer than a line may be; -EPIPE: the callback has told or will
 * tell. Nothing of it was written then. */
int line_pipe_write(LinePipe *p, JsonSpan value);
