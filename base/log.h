/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, to the journal with fields, to a service manager's pipe with <N>, to a terminal with time. Loop
 * thread only (workers log nothing). Levels are those of <syslog.h>. Never prints secrets: callers do not
 * pass any. */
#pragma once

#include <errno.h>
#include <syslog.h>

#include "base/macros.h"

typedef enum LogTarget {
        LOG_TARGET_AUTO, /* journal when stderr is connected to it, else stderr */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_STDERR,
        _LOG_TARGET_MAX,
        _LOG_TARGET_INVALID = -EINVAL,
} LogTarget;
DECLARE_STRING_TABLE(log_target, LogTarget);

/* Level names: emerg alert crit err warning notice info debug; also the numbers 0 to 7. -EINVAL when unknown. */
int log_level_from_string(const char *text);
const char *log_level_to_string(int level);

/* Whom a line is about: prefix of the text, GATEWAY_DEVICE_TYPE=, GATEWAY_DEVICE_NAME= (and the rest where
 * set). Borrowed. */
typedef struct LogContext {
        const char *device_type, *device_name;
        const char *state;      /* GATEWAY_STATE= */
        const char *message_id; /* MESSAGE_ID=, 32 hex digits */
} LogContext;

void log_setup(LogTarget target, int max_level);
void log_set_max_level(int level);
int log_get_max_level(void);
static inline bool log_on(int level) {
        return level <= log_get_max_level();
}

/* Returns error unchanged, so that a caller can `return log_…_errno(r, "…: %m")`; %m is the text of error. */
int log_full(int level, int error, const LogContext *context, const char *format, ...) _printf_(4, 5);

#define log_context(level, context, ...)                                                                    \
        ({                                                                                                  \
                if (log_on(level))                                                                          \
                        log_full(level, 0, context, __VA_ARGS__);                                           \
        })
#define log_debug(...) log_context(LOG_DEBUG, NULL, __VA_ARGS__)
#define log_info(...) log_context(LOG_INFO, NULL, __VA_ARGS__)
#define log_notice(...) log_context(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_warning(...) log_context(LOG_WARNING, NULL, __VA_ARGS__)
#define log_error(...) log_context(LOG_ERR, NULL, __VA_ARGS__)
#define log_debug_errno(error, ...) log_full(LOG_DEBUG, error, NULL, __VA_ARGS__)
#define log_warning_errno(error, ...) log_full(LOG_WARNING, error, NULL, __VA_ARGS__)
#define log_error_errno(error, ...) log_full(LOG_ERR, error, NULL, __VA_ARGS__)
