/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl scan DEVICE: what answers on the link of a disabled device. The daemon looks and tells through
 * a pipe; here are progress, a table, and a draft of a configuration, which the daemon has made for each
 * that it found. Closing the pipe ends the scan. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <config.h>

#include "base/json.h"
#include "tools/device-view.h"
#include "tools/json-text.h"
#include "tools/line-reader.h"
#include "tools/text.h"
#include "tools/verbs.h"
#include "tools/yaml-text.h"

typedef struct Found {
        int64_t unit;
        char *answer, *identity; /* printable */
        char *draft;             /* JSON; NULL: none */
} Found;

typedef struct Scan {
        const Options *options;
        const DeviceView *device;
        int64_t from, to, unit; /* unit: under way */
        char *endpoint, *draft, *parts; /* of the line `begin`; NULL: it did not come */
        GArray *found;
        char *reason, *detail; /* of the line `end`; NULL: it did not come */
        bool progress;         /* a line of it stands on the terminal */
} Scan;

static void found_clear(void *data) {
        Found *f = data;

        g_free(f->answer);
        g_free(f->identity);
        g_free(f->draft);
}

static void scan_done(Scan *s) {
        g_free(s->endpoint);
        g_free(s->draft);
        g_free(s->parts);
        g_free(s->reason);
        g_free(s->detail);
        g_array_unref(s->found);
}

/* ---- lines ------------------------------------------------------------------------------------------- */

/* Of a text, printable; "": it has no such text. Caller frees. */
static char *get_text(JsonSpan line, const char *key) {
        JsonSpan value;

        if (json_get(line, key, &value) < 0 || json_kind(value) != JSON_STRING)
                return g_strdup("");
        return json_text_plain(value);
}

static int64_t get_number(JsonSpan line, const char *key) {
        JsonSpan value;
        int64_t number;

        return json_get(line, key, &value) >= 0 && json_to_int64(value, &number) >= 0 ? number : 0;
}

static char *get_json(JsonSpan line, const char *key) {
        JsonSpan value;

        return json_get(line, key, &value) >= 0 ? g_strndup(value.text, value.size) : NULL;
}

static char *get_identity(JsonSpan line) {
        static const char *const keys[] = { "VendorName", "ProductCode", "MajorMinorRevision" };
        GString *text = g_string_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                g_autofree char *one = get_text(line, keys[i]);

                if (one[0])
                        g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "", one);
        }
        return g_string_free(text, FALSE);
}

static void show_progress(Scan *s) {
        if (s->options->quiet || !isatty(STDERR_FILENO))
                return;
        fprintf(stderr, "\r%" PRIi64 " of %" PRIi64 " to %" PRIi64 ", %u found ", s->unit, s->from, s->to, s->found->len);
        s->progress = true;
}

static void end_progress(Scan *s) {
        if (s->progress)
                fputs("\r\033[K", stderr);
        s->progress = false;
}

static void take_line(Scan *s, JsonSpan line) {
        g_autofree char *event = get_text(line, "Event");
        Found f;

        if (streq(event, "begin")) {
                s->from = get_number(line, "From");
                s->to = get_number(line, "To");
                s->endpoint = get_text(line, "Endpoint");
                s->draft = get_json(line, "Draft");
                s->parts = get_text(line, "Parts");
        } else if (streq(event, "progress")) {
                s->unit = get_number(line, "Unit");
                show_progress(s);
        } else if (streq(event, "found")) {
                f = (Found) { get_number(line, "Unit"), get_text(line, "Answer"), get_identity(line), get_json(line, "Draft") };
                g_array_append_val(s->found, f);
        } else if (streq(event, "end")) {
                s->reason = get_text(line, "Reason");
                s->detail = get_text(line, "Detail");
        }
}

static void print_line(const Scan *s, JsonSpan line) {
        g_autofree char *text = json_text(line, s->options->json == JSON_PRETTY ? JSON_TEXT_INDENT | JSON_TEXT_LETTERS : 0);

        puts(text);
        (void) fflush(stdout);
}

/* Up to the end of the pipe. -EINTR: a signal came; -ETIMEDOUT: --timeout. */
static int read_lines(Scan *s, LineReader *reader) {
        JsonSpan line;
        char *text;
        int r;

        while ((r = line_reader_next(reader, &text)) > 0) {
                if (json_check(text, strlen(text), &line) < 0)
                        return -EBADMSG;
                if (s->options->json != JSON_OFF)
                        print_line(s, line);
                take_line(s, line);
        }
        return r;
}

/* ---- what is printed --------------------------------------------------------------------------------- */

/* As comments, so that all of it is one configuration. */
static void print_table(const Scan *s) {
        g_autofree char *device = g_strdup_printf("%s/%s", s->device->type, s->device->name),
                        *printable = text_printable(device);
        int width = (int) strlen("ANSWER");

        printf("# %s at %s: %u of %" PRIi64 " to %" PRIi64 " answered.\n", printable, s->endpoint, s->found->len, s->from,
               s->to);
        if (s->found->len == 0)
                return;

        for (guint i = 0; i < s->found->len; i++)
                width = MAX(width, (int) text_width(g_array_index(s->found, Found, i).answer));
        printf("#\n# %4s  %-*s  %s\n", "UNIT", width, "ANSWER", "IDENTIFICATION");
        for (guint i = 0; i < s->found->len; i++) {
                const Found *f = &g_array_index(s->found, Found, i);

                if (f->identity[0])
                        printf("# %4" PRIi64 "  %-*s  %s\n", f->unit, width, f->answer, f->identity);
                else
                        printf("# %4" PRIi64 "  %s\n", f->unit, f->answer);
        }
}

static void write_device(const Scan *s, JsonWriter *w) {
        json_open_object(w);
        json_member_string(w, "type", s->device->type);
        json_member_string(w, "name", s->device->name);
        if (s->draft) {
                JsonSpan draft = { s->draft, strlen(s->draft) }, key, value;
                JsonIterator i = json_iterate(draft);

                while (json_next(&i, &key, &value)) {
                        g_autofree char *name = NULL;
                        size_t size;

                        if (json_unescape(key, &name, &size) < 0)
                                continue;
                        json_key(w, name);
                        json_raw(w, value);
                }
        }
        json_key(w, s->parts);
        json_open_array(w);
        for (guint i = 0; i < s->found->len; i++) {
                const char *part = g_array_index(s->found, Found, i).draft;

                if (part)
                        json_raw(w, (JsonSpan) { part, strlen(part) });
        }
        json_close_array(w);
        json_close_object(w);
}

static void print_draft(const Scan *s) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_autofree char *json = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_member_string(&w, "name", "draft");
        json_key(&w, "devices");
        json_open_array(&w);
        write_device(s, &w);
        json_close_array(&w);
        json_close_object(&w);
        json = json_writer_steal(&w);
        yaml_text_append(text, (JsonSpan) { json, strlen(json) }, 0);
        printf("#\n# A draft of a configuration: what is read of each is yours to say.\n%s", text->str);
}

/* Also of a scan that was not whole. */
static void print_result(const Scan *s) {
        if (!s->endpoint)
                return;
        print_table(s);
        if (s->found->len > 0)
                print_draft(s);
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

static ExitStatus begin(Client *bus, const Scan *s, LineReader **ret) {
        const Options *o = s->options;
        g_autofree char *what = g_strdup_printf("scan %s/%s", s->device->type, s->device->name);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        ExitStatus status;
        int fd, r;

        if (!bus->local || sd_bus_can_send(bus->bus, 'h') <= 0)
                return complain(CTL_FAILED, "A pipe cannot be passed over this bus: scan on the daemon's own host");
        status = client_call(bus,
                             &(Call) { .path = s->device->path,
                                      .interface = BUS_DEVICE_INTERFACE,
                                      .member = "Scan",
                                      .what = what,
                                      .timeout = CONTROL_USEC,
                                      .start = true },
                             &reply, "a{sv}", 3, "from", "u", o->units_from, "to", "u", o->units_to, "timeout", "t",
                             o->unit_timeout);
        if (status != CTL_OK)
                return status;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = line_reader_new(fd, bus->deadline, ret);
        if (r < 0) {
                client_complain_answer(what, r);
                return CTL_FAILED;
        }
        return CTL_OK;
}

/* r: of read_lines(). */
static ExitStatus say_end(const Scan *s, int r) {
        const char *type = s->device->type, *name = s->device->name;

        if (r == -EINTR)
                return complain(CTL_FAILED, "The scan of %s/%s was ended at %" PRIi64, type, name, s->unit);
        if (r == -ETIMEDOUT)
                return complain(CTL_TIMEOUT, "The scan of %s/%s was not over in time, but at %" PRIi64, type, name, s->unit);
        if (r < 0)
                return complain(CTL_FAILED, "The scan of %s/%s cannot be read: %s", type, name, g_strerror(-r));
        if (!s->reason)
                return complain(CTL_NO_DAEMON, "gatewayd went away while it scanned %s/%s, or was read too slowly", type, name);
        if (!streq(s->reason, "none"))
                return complain(CTL_FAILED, "The scan of %s/%s ended: %s", type, name, s->detail);
        return CTL_OK;
}

ExitStatus verb_scan(Client *bus, const Options *o, char **arguments) {
        _cleanup_(device_view_freep) DeviceView *v = NULL;
        LineReader *reader = NULL;
        Scan s = { .options = o };
        ExitStatus status;
        int r;

        status = device_find(bus, arguments[0], true, &v);
        if (status != CTL_OK)
                return status;
        s.device = v;
        s.found = g_array_new(FALSE, FALSE, sizeof(Found));
        g_array_set_clear_func(s.found, found_clear);
        status = begin(bus, &s, &reader);
        if (status == CTL_OK) {
                r = line_reader_catch_signals(reader);
                if (r >= 0)
                        r = read_lines(&s, reader);
                line_reader_free(reader); /* the scan ends */
                end_progress(&s);
                status = say_end(&s, r);
                if (o->json == JSON_OFF && (status == CTL_OK || s.found->len > 0))
                        print_result(&s);
        }
        scan_done(&s);
        return status;
}
