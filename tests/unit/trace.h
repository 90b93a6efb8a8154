/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, as one line of words: fakes note their calls, tests compare. One trace a program. */
#pragma once

#include <glib.h>
#include <stdarg.h>

#include "base/macros.h"

static GString *trace;

static _unused_ _printf_(1, 2) void note(const char *format, ...) {
        va_list ap;

        if (trace->len > 0)
                g_string_append_c(trace, ' ');
        va_start(ap, format);
        g_string_append_vprintf(trace, format, ap);
        va_end(ap);
}
