/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the journal about a device. Trouble with the journal is no trouble of the caller: it is an extra.
 * */
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include <systemd/sd-journal.h>

#include "tools/log-lines.h"
#include "tools/output.h"
#include "tools/text.h"

#define LINE_MAX_BYTES 4096U /* of one message */

static int add_match(sd_journal *j, const char *field, const char *value) {
        g_autofree char *match = g_strdup_printf("%s=%s", field, value);

        return sd_journal_add_match(j, match, 0);
}

static int open_journal(const DeviceView *v, uid_t uid, sd_journal **ret) {
        g_autofree char *user = g_strdup_printf("%u", (unsigned) uid);
        sd_journal *j = NULL;
        int r;

        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0)
                return r;
        (void) sd_journal_set_data_threshold(j, LINE_MAX_BYTES);
        r = add_match(j, "GATEWAY_DEVICE_TYPE", v->type);
        if (r >= 0)
                r = add_match(j, "GATEWAY_DEVICE_NAME", v->name);
        if (r >= 0)
                r = add_match(j, "_UID", user);
        if (r < 0) {
                sd_journal_close(j);
                return r;
        }
        *ret = j;
        return 0;
}

/* Value of a field of the current entry, made harmless; NULL: none. Caller frees. */
static char *get_field(sd_journal *j, const char *field) {
        g_autofree char *value = NULL;
        size_t size, prefix = strlen(field) + 1;
        const void *data;

        if (sd_journal_get_data(j, field, &data, &size) < 0 || size < prefix)
                return NULL;
        value = g_strndup((const char *) data + prefix, size - prefix);
        return text_printable(value);
}

static void print_entry(sd_journal *j) {
        g_autofree char *message = get_field(j, "MESSAGE"), *pid = get_field(j, "_PID"),
                        *priority = get_field(j, "PRIORITY");
        const char *colour = priority && atoi(priority) <= LOG_WARNING && output_has_colour() ? colour_bold()
                                                                                              : "";
        char when[32] = "";
        struct tm tm;
        uint64_t usec;
        time_t t;

        if (sd_journal_get_realtime_usec(j, &usec) < 0)
                return;
        t = (time_t) (usec / USEC_PER_SEC);
        if (localtime_r(&t, &tm))
                (void) strftime(when, sizeof(when), "%b %d %H:%M:%S", &tm);
        printf("%s gatewayd[%s]: %s%s%s\n", when, pid ?: "?", colour, message ?: "", colour_end(colour));
}

void log_lines_print(const DeviceView *v, uid_t uid, unsigned n) {
        sd_journal *j = NULL;
        bool first = true;
        int r;

        if (open_journal(v, uid, &j) < 0)
                return;
        r = sd_journal_seek_tail(j);
        if (r >= 0)
                r = sd_journal_previous_skip(j, n);
        for (; r > 0; r = sd_journal_next(j)) {
                if (first)
                        putchar('\n');
                first = false;
                print_entry(j);
        }
        sd_journal_close(j);
}
