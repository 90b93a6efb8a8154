/* SPDX-License-Identifier: Apache-2.0 */
/* The one sink of log lines: where they go is decided once, in log_setup(). A line is built on the stack,
 * made harmless (text of peers may hold control characters) and leaves in one system call. Loop thread. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/log.h"
#include "base/time.h"
#include "base/utf8.h"

#define LOG_TEXT_MAX 2048 /* bytes of one message before it is made harmless; the rest is cut off */
#define LOG_FIELD_MAX 512
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

typedef enum LogSink {
        LOG_SINK_PLAIN,   /* stderr, with time and level */
        LOG_SINK_SERVICE, /* stderr, with the <N> that a service manager reads */
        LOG_SINK_JOURNAL,
} LogSink;

static LogSink log_sink = LOG_SINK_PLAIN;
static int log_max_level = LOG_INFO;

static const char *const log_target_table[_LOG_TARGET_MAX] = {
        [LOG_TARGET_AUTO] = "auto",
        [LOG_TARGET_JOURNAL] = "journal",
        [LOG_TARGET_STDERR] = "stderr",
};
DEFINE_STRING_TABLE(log_target, LogTarget, log_target_table);

static const char *const log_level_table[] = {
        [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

int log_level_from_string(const char *text) {
        if (!text)
                return -EINVAL;
        if (text[0] >= '0' && text[0] <= '7' && text[1] == '\0')
                return text[0] - '0';

        for (size_t i = 0; i < ELEMENTSOF(log_level_table); i++)
                if (streq(log_level_table[i], text))
                        return (int) i;
        return -EINVAL;
}

const char *log_level_to_string(int level) {
        return level >= 0 && (size_t) level < ELEMENTSOF(log_level_table) ? log_level_table[level] : NULL;
}

void log_set_max_level(int level) {
        log_max_level = level;
}

int log_get_max_level(void) {
        return log_max_level;
}

/* ---- where lines go ----------------------------------------------------------------------------------- */

/* $JOURNAL_STREAM is DEVICE:INODE of the stream that the service manager connected; the variable is
 * inherited by processes whose stderr is something else, hence the comparison. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool stderr_is_service_pipe(void) {
        struct stat st;

        if (!getenv("INVOCATION_ID") && !getenv("JOURNAL_STREAM"))
                return false;
        return fstat(STDERR_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static LogSink choose_sink(LogTarget target) {
        if (target == LOG_TARGET_AUTO && stderr_is_journal())
                return LOG_SINK_JOURNAL;
        /* sd_journal_sendv() drops lines silently where no journal runs. */
        if (target == LOG_TARGET_JOURNAL && access(JOURNAL_SOCKET, W_OK) == 0)
                return LOG_SINK_JOURNAL;
        return stderr_is_journal() || stderr_is_service_pipe() ? LOG_SINK_SERVICE : LOG_SINK_PLAIN;
}

static int level_from_glib(GLogLevelFlags flags) {
        if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
                return LOG_ERR;
        if (flags & G_LOG_LEVEL_WARNING)
                return LOG_WARNING;
        if (flags & G_LOG_LEVEL_MESSAGE)
                return LOG_NOTICE;
        return flags & G_LOG_LEVEL_INFO ? LOG_INFO : LOG_DEBUG;
}

/* What GLib itself has to say (a failed assertion, say) takes the same way as our lines. */
static GLogWriterOutput write_glib_line(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
                                        gpointer userdata) {
        for (gsize i = 0; i < n_fields; i++)
                if (streq(fields[i].key, "MESSAGE") && fields[i].length < 0)
                        (void) log_full(level_from_glib(flags), 0, NULL, "%s",
                                        (const char *) fields[i].value);
        return G_LOG_WRITER_HANDLED;
}

void log_setup(LogTarget target, int max_level) {
        static bool glib_taken;

        log_sink = choose_sink(target);
        log_max_level = max_level;

        if (!glib_taken) { /* GLib allows it once in a process */
                g_log_set_writer_func(write_glib_line, NULL, NULL);
                glib_taken = true;
        }
}

/* ---- one line ----------------------------------------------------------------------------------------- */

/* Copies at most size - 1 bytes and a terminator: control characters (C0, DEL, C1) and bytes that are no
 * UTF-8 become \xNN of their bytes. Returns the length. */
static size_t copy_harmless(const char *text, char *ret, size_t size) {
        size_t n = 0;

        for (size_t left = strlen(text); left > 0;) {
                uint32_t c = 0;
                size_t length = utf8_decode(text, left, &c);
                bool harmless = length > 0 && c >= 0x20 && !(c >= 0x7f && c < 0xa0);

                length = MAX(length, (size_t) 1);
                if ((harmless ? length : 4 * length) >= size - n)
                        break;

                if (harmless) {
                        memcpy(ret + n, text, length);
                        n += length;
                } else
                        for (size_t i = 0; i < length; i++)
                                n += (size_t) snprintf(ret + n, size - n, "\\x%02x",
                                                       (unsigned) (uint8_t) text[i]);
                text += length;
                left -= length;
        }

        ret[n] = '\0';
        return n;
}

static size_t format_prefix(const LogContext *context, char *ret, size_t size) {
        int n;

        if (!context || !context->device_name)
                return 0;
        n = snprintf(ret, size, "%s%s%s: ", context->device_type ?: "", context->device_type ? "/" : "",
                     context->device_name);
        return MIN((size_t) MAX(n, 0), size - 1);
}

/* The sinks may fail (a full pipe, a closed terminal): there is nobody to tell. */
static void write_stderr(int level, const char *text, size_t size) {
        char head[64];
        size_t n;
        struct iovec iov[3];

        if (log_sink == LOG_SINK_PLAIN) {
                usec_t now = now_usec(CLOCK_REALTIME);
                time_t seconds = (time_t) (now / USEC_PER_SEC);
                struct tm tm = { 0 };

                n = localtime_r(&seconds, &tm) ? strftime(head, sizeof(head), "%Y-%m-%d %H:%M:%S", &tm) : 0;
                n += (size_t) snprintf(head + n, sizeof(head) - n, ".%03u %s ",
                                       (unsigned) (now % USEC_PER_SEC / USEC_PER_MSEC),
                                       log_level_table[level]);
        } else
                n = (size_t) snprintf(head, sizeof(head), "<%i>", level);

        iov[0] = (struct iovec) { head, n };
        iov[1] = (struct iovec) { (char *) text, size };
        iov[2] = (struct iovec) { (char *) "\n", 1 };
        (void) !writev(STDERR_FILENO, iov, ELEMENTSOF(iov));
}

typedef struct JournalFields {
        struct iovec iov[8];
        int n;
        char text[7][LOG_FIELD_MAX]; /* all but MESSAGE= */
} JournalFields;

static void add_field(JournalFields *f, const char *name, const char *value) {
        char *text;
        size_t n;

        if (!value)
                return;
        text = f->text[f->n - 1];
        n = (size_t) snprintf(text, LOG_FIELD_MAX, "%s=", name);
        n += copy_harmless(value, text + n, LOG_FIELD_MAX - n);
        f->iov[f->n++] = (struct iovec) { text, n };
}

/* message starts with `MESSAGE=`. */
static int write_journal(int level, int error, const LogContext *context, const char *message, size_t size) {
        JournalFields f;
        char number[12];

        f.iov[0] = (struct iovec) { (char *) message, size };
        f.n = 1;
        snprintf(number, sizeof(number), "%i", level);
        add_field(&f, "PRIORITY", number);
        add_field(&f, "SYSLOG_IDENTIFIER", program_invocation_short_name);
        if (error != 0) {
                snprintf(number, sizeof(number), "%i", error);
                add_field(&f, "ERRNO", number);
        }
        if (context) {
                add_field(&f, "GATEWAY_DEVICE_TYPE", context->device_type);
                add_field(&f, "GATEWAY_DEVICE_NAME", context->device_name);
                add_field(&f, "GATEWAY_STATE", context->state);
                add_field(&f, "MESSAGE_ID", context->message_id);
        }

        return sd_journal_sendv(f.iov, f.n);
}

static void write_line(int level, int error, const LogContext *context, const char *raw) {
        static const char field[] = "MESSAGE=";
        char message[sizeof(field) + 4 * LOG_TEXT_MAX];
        char *text = mempcpy(message, field, sizeof(field) - 1);
        size_t size = copy_harmless(raw, text, sizeof(message) - (sizeof(field) - 1));

        if (log_sink == LOG_SINK_JOURNAL &&
            write_journal(level, error, context, message, sizeof(field) - 1 + size) >= 0)
                return;
        write_stderr(level, text, size);
}

int log_full(int level, int error, const LogContext *context, const char *format, ...) {
        int positive = error < 0 ? -error : error, saved = errno;
        char raw[LOG_TEXT_MAX];
        size_t n;
        va_list ap;

        if (!log_on(level))
                return error;

        n = format_prefix(context, raw, sizeof(raw));
        errno = positive;
        va_start(ap, format);
        if (vsnprintf(raw + n, sizeof(raw) - n, format, ap) < 0)
                raw[n] = '\0';
        va_end(ap);

        write_line(level & LOG_PRIMASK, positive, context, raw);
        errno = saved;
        return error;
}
