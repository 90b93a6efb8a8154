/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl trace DEVICE: the frames of a device, as they pass, or the last ones; decoded by gatewayd, as
 * lines, JSON or a capture file. Knows no device type: what is decoded is printed as it stands there. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <config.h>

#include "tools/line-reader.h"
#include "tools/output.h"
#include "tools/pcap.h"
#include "tools/text.h"
#include "tools/verbs.h"

#define VALUES_SHOWN 16U /* of an array, without --full */

/* How the bytes of a `Protocol` stand in a capture. */
typedef struct Capture {
        const char *protocol;
        PcapKind kind;
        uint16_t port;
        const char *dissector;
} Capture;

static const Capture captures[] = {
        { "modbus-tcp", PCAP_TCP, 502, NULL },
        { "modbus-rtu", PCAP_PDU, 502, "mbrtu" },
};

typedef struct Tracing {
        const Options *options;
        uint64_t n;             /* records printed */
        GQueue kept;            /* GString of one line each: with --last and --limit the newest are printed, at the end */
        GDate day;              /* of the last line */
        Pcap *pcap;             /* from the first record on that says its protocol */
} Tracing;

/* ---- text -------------------------------------------------------------------------------------------- */

/* Milliseconds and microseconds apart, so that either can be read. */
static void print_time(Tracing *t, usec_t realtime) {
        time_t seconds = (time_t) (realtime / USEC_PER_SEC);
        char text[16] = "";
        struct tm tm;
        GDate day;

        if (!localtime_r(&seconds, &tm))
                return;
        g_date_clear(&day, 1);
        g_date_set_dmy(&day, (GDateDay) tm.tm_mday, (GDateMonth) (tm.tm_mon + 1), (GDateYear) (tm.tm_year + 1900));
        if (!g_date_valid(&t->day) || g_date_compare(&day, &t->day) != 0) {
                if (!t->options->no_legend)
                        printf("-- %04d-%02d-%02d --\n", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
                t->day = day;
        }
        (void) strftime(text, sizeof(text), "%H:%M:%S", &tm);
        printf("%s.%06u", text, (unsigned) (realtime % USEC_PER_SEC));
}

/* AndMask: and mask */
static void print_words(const char *name) {
        for (const char *p = name; *p; p++) {
                if (g_ascii_isupper(*p) && p > name)
                        putchar(' ');
                putchar(g_ascii_tolower(*p));
        }
}

static void print_array(const Tracing *t, JsonArray *values) {
        guint n = json_array_get_length(values);

        for (guint i = 0; i < n; i++) {
                if (i == VALUES_SHOWN && n > VALUES_SHOWN + 1 && !t->options->full) {
                        printf(" … (%u)", n);
                        return;
                }
                printf(" %" G_GINT64_FORMAT, json_array_get_int_element(values, i));
        }
}

/* A word says itself what it is; numbers need their names; what is not known is nothing. */
static void print_member(JsonObject *o, const char *name, JsonNode *node, gpointer userdata) {
        const Tracing *t = userdata;

        if (JSON_NODE_HOLDS_NULL(node))
                return;
        if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING) {
                g_autofree char *text = text_printable(json_node_get_string(node));

                printf(" %s%s", streq(name, "Error") ? "— " : "", text);
                return;
        }
        putchar(' ');
        print_words(name);
        if (JSON_NODE_HOLDS_ARRAY(node))
                print_array(t, json_node_get_array(node));
        else if (JSON_NODE_HOLDS_VALUE(node))
                printf(" %" G_GINT64_FORMAT, json_node_get_int(node));
}

static void print_bytes(const char *hex) {
        for (; hex[0] && hex[1]; hex += 2)
                printf(" %.2s", hex);
}

static void print_record(Tracing *t, JsonObject *o) {
        const char *kind = member_string(o, "Kind"), *direction = member_string(o, "Direction");
        uint64_t missed = member_number(o, "Missed"), connection = member_number(o, "Connection");
        JsonNode *decoded = json_object_get_member(o, "Decoded");
        JsonObject *fields = decoded && JSON_NODE_HOLDS_OBJECT(decoded) ? json_node_get_object(decoded) : NULL;
        bool frame = streq(kind, "frame");

        if (missed > 0)
                printf("-- %" PRIu64 " records are lost --\n", missed);
        print_time(t, member_number(o, "Time"));
        if (connection > 0)
                printf(" #%" PRIu64, connection);
        if (direction[0])
                fputs(streq(direction, "sent") ? " →" : " ←", stdout);
        if (!frame) {
                const char *colour = direction[0] ? colour_of_state("failed") : "";

                printf(" %s%s%s", colour, kind, colour_end(colour));
        }
        if (json_object_has_member(o, "Text")) {
                g_autofree char *text = text_printable(member_string(o, "Text"));

                printf(": %s", text);
        }
        if (fields)
                json_object_foreach_member(fields, print_member, t);
        if (!fields || json_object_has_member(fields, "Error") || t->options->full)
                print_bytes(member_string(o, "Bytes"));
        putchar('\n');
}

/* ---- capture ----------------------------------------------------------------------------------------- */

static const Capture *find_capture(const char *protocol) {
        for (size_t i = 0; i < ELEMENTSOF(captures); i++)
                if (streq(captures[i].protocol, protocol))
                        return &captures[i];
        return NULL;
}

static ExitStatus open_capture(Tracing *t, const Capture *c) {
        int r;

        r = pcap_open(t->options->pcap, c->kind, c->port, c->dissector, &t->pcap);
        return r < 0 ? complain(CTL_FAILED, "Cannot write %s: %s", t->options->pcap, g_strerror(-r)) : CTL_OK;
}

static ExitStatus capture_record(Tracing *t, JsonObject *o) {
        const char *hex = member_string(o, "Bytes");
        g_autofree uint8_t *data = g_malloc(strlen(hex) / 2 + 1);
        PcapPacket k = {
                .time = member_number(o, "Time"),
                .connection = (uint32_t) member_number(o, "Connection"),
                .request = member_boolean(o, "Request"),
                .sent = streq(member_string(o, "Direction"), "sent"),
                .data = data,
        };
        const Capture *c = find_capture(member_string(o, "Protocol"));
        ExitStatus s = CTL_OK;
        int r;

        if (hex[0] == '\0')
                return CTL_OK;
        if (!c)
                return complain(CTL_FAILED, "There is no capture format for %s; --json shows its bytes",
                                member_string(o, "Protocol"));
        if (!t->pcap)
                s = open_capture(t, c);
        if (s != CTL_OK)
                return s;
        /* What there is of an answer that is late is not thrown away yet: in a stream it comes again with
         * the rest. */
        if (c->kind == PCAP_TCP && streq(member_string(o, "Kind"), "timeout"))
                return CTL_OK;
        for (; g_ascii_isxdigit(hex[0]) && g_ascii_isxdigit(hex[1]); hex += 2)
                data[k.size++] = (uint8_t) (g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
        r = pcap_write(t->pcap, &k);
        return r < 0 ? complain(CTL_FAILED, "Cannot write %s: %s", t->options->pcap, g_strerror(-r)) : CTL_OK;
}

/* ---- records ----------------------------------------------------------------------------------------- */

static ExitStatus show_record(Tracing *t, const char *line) {
        g_autoptr(JsonNode) root = parse_object(line);
        ExitStatus s = CTL_OK;

        if (!root) {
                client_complain_answer("trace", -EBADMSG);
                return CTL_FAILED;
        }
        if (t->options->pcap)
                s = capture_record(t, json_node_get_object(root));
        else if (t->options->json != JSON_OFF)
                output_json(root, t->options->json);
        else
                print_record(t, json_node_get_object(root));
        t->n++;
        return s;
}

/* Of the last ones, only so many as are wanted. */
static void keep_record(Tracing *t, const char *line) {
        g_queue_push_tail(&t->kept, g_strdup(line));
        if (g_queue_get_length(&t->kept) > (guint64) t->options->limit)
                g_free(g_queue_pop_head(&t->kept));
}

static ExitStatus show_kept(Tracing *t) {
        ExitStatus s = CTL_OK;
        char *line;

        while ((line = g_queue_pop_head(&t->kept))) {
                if (s == CTL_OK)
                        s = show_record(t, line);
                g_free(line);
        }
        return s;
}

static bool is_enough(const Tracing *t) {
        return !t->options->last && t->options->limit > 0 && t->n >= (uint64_t) t->options->limit;
}

static ExitStatus take_line(Tracing *t, const char *line) {
        ExitStatus s;

        if (t->options->last && t->options->limit > 0) {
                keep_record(t, line);
                return CTL_OK;
        }
        s = show_record(t, line);
        if (s == CTL_OK && fflush(stdout) != 0)
                return complain(CTL_FAILED, "Cannot write: %s", g_strerror(errno));
        return s;
}

/* ---- the socket -------------------------------------------------------------------------------------- */

static ExitStatus follow(Tracing *t, LineReader *reader) {
        while (!is_enough(t)) {
                ExitStatus s;
                char *line;
                int r;

                r = line_reader_next(reader, &line);
                if (r == -ETIMEDOUT)
                        break;
                if (r < 0)
                        return complain(CTL_FAILED, "Cannot read the trace: %s", g_strerror(-r));
                if (r == 0)
                        return t->options->last ? show_kept(t) : complain(CTL_NO_DAEMON, "gatewayd ended the trace");
                s = take_line(t, line);
                if (s != CTL_OK)
                        return s;
        }
        return t->options->last ? show_kept(t) : CTL_OK; /* enough, or the time is over */
}

static ExitStatus open_trace(Client *c, const Options *o, const char *argument, LineReader **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(device_view_freep) DeviceView *v = NULL;
        g_autofree char *what = NULL;
        ExitStatus s;
        int fd, r;

        if (!c->local || sd_bus_can_send(c->bus, 'h') <= 0)
                return complain(CTL_FAILED, "A socket cannot be passed over this bus: trace on the daemon's own host");
        s = device_find(c, argument, false, &v);
        if (s != CTL_OK)
                return s;
        what = g_strdup_printf("trace %s/%s", v->type, v->name);
        s = client_call(c,
                        &(Call) { .path = v->path,
                                  .interface = BUS_DEVICE_INTERFACE,
                                  .member = "Trace",
                                  .what = what,
                                  .timeout = READ_USEC },
                        &reply, "a{sv}", 1, "last", "b", o->last);
        if (s != CTL_OK)
                return s;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = line_reader_new(fd, c->deadline, ret);
        if (r < 0) {
                client_complain_answer(what, r);
                return CTL_FAILED;
        }
        return CTL_OK;
}

ExitStatus verb_trace(Client *c, const Options *o, char **arguments) {
        _cleanup_(line_reader_freep) LineReader *reader = NULL;
        Tracing t = { .options = o, .kept = G_QUEUE_INIT };
        ExitStatus s;
        int r;

        g_date_clear(&t.day, 1);
        s = open_trace(c, o, arguments[0], &reader);
        if (s == CTL_OK)
                s = follow(&t, reader);
        g_queue_clear_full(&t.kept, g_free);
        r = pcap_close(t.pcap);
        if (r < 0 && s == CTL_OK)
                return complain(CTL_FAILED, "Cannot write %s: %s", o->pcap, g_strerror(-r));
        if (s == CTL_OK && o->pcap && !t.pcap)
                return complain(CTL_FAILED, "Nothing passed, %s is not written", o->pcap);
        return s;
}
