/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that the daemon writes into a pipe or a socket that it has passed, up to a moment or a signal. Main
 * thread. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

typedef struct LineReader LineReader;

/* Bytes of one line with its end: more than the daemon writes. */
#define LINE_READER_LINE_MAX (64U << 10)

/* fd: of a message, which keeps it; here is a duplicate. deadline: CLOCK_MONOTONIC. */
int line_reader_new(int fd, usec_t deadline, LineReader **ret);
/* Signals have their usual effects again. */
LineReader *line_reader_free(LineReader *l);
DEFINE_CLEANUP(LineReader, line_reader_free);

/* From now on SIGINT and SIGTERM only end the reading. */
int line_reader_catch_signals(LineReader *l);

/* 1: the next whole line, without its end, up to the next call; 0: there are no more. -EINTR: a signal,
 * -ETIMEDOUT: the deadline, -EMSGSIZE: a line without an end. */
int line_reader_next(LineReader *l, char **ret);
