/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl: the command line, the table of verbs, the exit status (docs/gatewayctl.1). */
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>

#include <config.h>

#include "base/log.h"
#include "tools/output.h"
#include "tools/text.h"
#include "tools/verbs.h"

/* What a verb's arguments are. */
typedef enum VerbFlag {
        VERB_NO_BUS = 1 << 0,   /* the verb connects to the bus itself, where it must */
        VERB_NOT_TEXT = 1 << 1, /* arguments may be empty and need not be UTF-8 */
} VerbFlag;

typedef struct VerbRule {
        const char *name;
        unsigned least, most;  /* arguments; most 0: any number */
        const char *arguments; /* "a DEVICE", for complaints */
        OptionFlag options;    /* of its own */
        VerbFlag flags;
        Verb verb;
} VerbRule;

#define SERVER (OPTION_SERVER | OPTION_TOKEN_FILE)
#define HISTORY (OPTION_SINCE | OPTION_UNTIL | OPTION_LIMIT | OPTION_REVERSE)

static const VerbRule verbs[] = {
        { "list", 0, 0, "a DEVICE", 0, 0, verb_list },
        { "status", 0, 0, "a DEVICE", 0, 0, verb_status },
        { "show", 1, 0, "a DEVICE", OPTION_PROPERTY, 0, verb_show },
        { "enable", 1, 0, "a DEVICE", OPTION_WAIT | SERVER, 0, verb_enable },
        { "disable", 1, 0, "a DEVICE", OPTION_WAIT | SERVER, 0, verb_disable },
        { "restart", 1, 0, "a DEVICE", 0, 0, verb_restart },
        { "wait", 1, 0, "a DEVICE", OPTION_STATE | OPTION_LINK, 0, verb_wait },
        { "scan", 1, 1, "a DEVICE", OPTION_UNITS | OPTION_UNIT_TIMEOUT, 0, verb_scan },
        { "is-enabled", 1, 0, "a DEVICE", 0, 0, verb_is_enabled },
        { "is-running", 1, 0, "a DEVICE", 0, 0, verb_is_running },
        { "monitor", 0, 0, "a DEVICE", OPTION_SNAPSHOT, 0, verb_monitor },
        { "trace", 1, 1, "a DEVICE", OPTION_LAST | OPTION_PCAP | OPTION_LIMIT, 0, verb_trace },
        { "values", 1, 0, "a DEVICE", SERVER, 0, verb_values },
        { "write", 3, 3, "a DEVICE, a POINT and a VALUE", SERVER, VERB_NOT_TEXT, verb_write },
        { "event latest", 0, 0, "a TYPE", SERVER, VERB_NO_BUS, verb_event_latest },
        { "event history", 0, 0, "a TYPE", SERVER | HISTORY, VERB_NO_BUS, verb_event_history },
        { "event follow", 0, 0, "a TYPE", SERVER, VERB_NO_BUS, verb_event_follow },
        { "event register", 1, 2, "a TYPE and perhaps a JSON payload", SERVER | OPTION_SOURCE_TIME,
          VERB_NO_BUS, verb_event_register },
        { "event export", 1, 1, "a FILE", OPTION_FORCE, VERB_NOT_TEXT, verb_event_export },
        { "gpio list", 0, 0, "a CHIP", 0, 0, verb_gpio_list },
};

static const char *const option_names[] = {
        "--wait",   "--state=", "--link=",  "--snapshot", "--property=",    "--server=", "--token-file=",
        "--since=", "--until=", "--limit=", "--reverse",  "--source-time=", "--force", "--units=", "--unit-timeout=",
        "--last",   "--pcap=",
};

static void help(void) {
        fputs("gatewayctl [OPTION…] [VERB] [ARGUMENT…]\n\n"
              "Shows and controls the devices of gatewayd. A DEVICE is TYPE/NAME, a NAME that is unique,\n"
              "or an object path; a PATTERN may hold *, ? and […].\n\n"
              "Verbs:\n"
              "  list [PATTERN…]           table of devices (default)\n"
              "  status [PATTERN…]         everything about devices; without one, a summary of the gateway\n"
              "  show DEVICE…              properties as Key=value\n"
              "  enable, disable DEVICE…   at the event server; TYPE/NAME/PART: a part of a device\n"
              "  restart DEVICE…           stop and start an enabled device\n"
              "  wait DEVICE…              until it is running, also for the daemon to appear\n"
              "  is-enabled DEVICE…        the exit status is the answer\n"
              "  is-running DEVICE…\n"
              "  monitor [PATTERN…]        a line for each change of state or link\n"
              "  trace DEVICE              the frames that it sends and receives, as they pass\n"
              "  values DEVICE…            the last value of every point\n"
              "  write DEVICE POINT VALUE  and wait for the device's answer\n\n"
              "Verbs that speak to the event server; a TYPE is a/b/?/* or a JSON array:\n"
              "  event latest [TYPE…]      the last event of each type\n"
              "  event history [TYPE…]     events of the past, newest first\n"
              "  event follow [TYPE…]      events as they come\n"
              "  event register TYPE [JSON]  one event; - reads the payload from standard input\n"
              "  event export FILE         a copy of the embedded event server's database\n\n"
              "Verbs that help to write the configuration:\n"
              "  gpio list [CHIP…]         GPIO chips and lines of the machine, and who holds them\n"
              "  scan DEVICE               what answers on the link of a disabled device\n\n"
              "Options:\n"
              "      --wait[=STATE|LINK]   enable, disable: until the device is there (running; disabled)\n"
              "      --state=STATE         wait: disabled, waiting, starting, running, stopping, failed\n"
              "      --link=LINK           wait: none, connecting, up, partial, down\n"
              "      --timeout=SECONDS     the longest wait (default for waiting: 60; write: 10)\n"
              "      --snapshot            monitor: how the devices are, first\n"
              "  -p, --property=NAME[,…]   show: only these\n"
              "      --server=ADDRESS      another event server: tcp:HOST:PORT, unix:PATH\n"
              "      --token-file=FILE     what the event server wants to be shown\n"
              "      --since=MOMENT        event history: @SECONDS, '2026-11-24 17:45', 17:45, -5min, …\n"
              "      --until=MOMENT\n"
              "  -n, --limit=N             event history, trace: at most so many\n"
              "  -r, --reverse             event history: oldest first\n"
              "      --source-time=MOMENT  event register: when it happened\n"
              "      --force               event export: replace the file\n"
              "      --units=FROM[-TO]     scan: only these\n"
              "      --unit-timeout=SECONDS  scan: the longest wait for one answer\n"
              "      --last                trace: the last ones, and those before the last failure\n"
              "      --pcap=FILE           trace: write a capture file; - is standard output\n"
              "  -j, --json[=MODE]         short, pretty or off (pretty on a terminal, else short)\n"
              "      --no-legend           no header and footer\n"
              "      --no-pager            accepted; there is no pager\n"
              "  -q, --quiet               nothing but errors\n"
              "  -l, --full                do not shorten columns\n"
              "      --system, --user      which bus (default: --system)\n"
              "      --address=ADDRESS     another bus\n"
              "  -H, --host=[USER@]HOST    the system bus of another host, by ssh\n"
              "      --version\n"
              "  -h, --help\n\n"
              "See gatewayctl(1).\n",
              stdout);
}

/* ---- options ----------------------------------------------------------------------------------------- */

/* What parsing leaves beside the options. */
typedef struct Parsed {
        Options options;
        OptionFlag given;
        GPtrArray *rest; /* verb and arguments, those of argv */
        bool done;       /* help or version was printed */
} Parsed;

enum {
        ARG_JSON = 0x100,
        ARG_NO_PAGER,
        ARG_NO_LEGEND,
        ARG_SYSTEM,
        ARG_USER,
        ARG_ADDRESS,
        ARG_WAIT,
        ARG_STATE,
        ARG_LINK,
        ARG_TIMEOUT,
        ARG_SNAPSHOT,
        ARG_SERVER,
        ARG_TOKEN_FILE,
        ARG_SINCE,
        ARG_UNTIL,
        ARG_SOURCE_TIME,
        ARG_FORCE,
        ARG_UNITS,
        ARG_UNIT_TIMEOUT,
        ARG_LAST,
        ARG_PCAP,
        ARG_VERSION,
};

static const struct option long_options[] = {
        { "address", required_argument, NULL, ARG_ADDRESS },
        { "force", no_argument, NULL, ARG_FORCE },
        { "full", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { "host", required_argument, NULL, 'H' },
        { "json", optional_argument, NULL, ARG_JSON },
        { "last", no_argument, NULL, ARG_LAST },
        { "limit", required_argument, NULL, 'n' },
        { "link", required_argument, NULL, ARG_LINK },
        { "no-legend", no_argument, NULL, ARG_NO_LEGEND },
        { "no-pager", no_argument, NULL, ARG_NO_PAGER },
        { "pcap", required_argument, NULL, ARG_PCAP },
        { "property", required_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { "reverse", no_argument, NULL, 'r' },
        { "server", required_argument, NULL, ARG_SERVER },
        { "since", required_argument, NULL, ARG_SINCE },
        { "snapshot", no_argument, NULL, ARG_SNAPSHOT },
        { "source-time", required_argument, NULL, ARG_SOURCE_TIME },
        { "state", required_argument, NULL, ARG_STATE },
        { "system", no_argument, NULL, ARG_SYSTEM },
        { "timeout", required_argument, NULL, ARG_TIMEOUT },
        { "token-file", required_argument, NULL, ARG_TOKEN_FILE },
        { "unit-timeout", required_argument, NULL, ARG_UNIT_TIMEOUT },
        { "units", required_argument, NULL, ARG_UNITS },
        { "until", required_argument, NULL, ARG_UNTIL },
        { "user", no_argument, NULL, ARG_USER },
        { "version", no_argument, NULL, ARG_VERSION },
        { "wait", optional_argument, NULL, ARG_WAIT },
        {},
};

static ExitStatus parse_json(const char *text, JsonMode *ret) {
        static const char *const modes[] = {
                [JSON_OFF] = "off", [JSON_SHORT] = "short", [JSON_PRETTY] = "pretty"
        };

        for (size_t i = 0; i < ELEMENTSOF(modes); i++)
                if (streq(modes[i], text)) {
                        *ret = (JsonMode) i;
                        return CTL_OK;
                }
        return complain(CTL_USAGE, "--json=%s: it is short, pretty or off", text);
}

static ExitStatus parse_timeout(const char *option, const char *text, usec_t *ret) {
        switch (parse_seconds(text, ret)) {
        case 0:
                return CTL_OK;
        case -ERANGE:
                return complain(CTL_USAGE, "%s=%s: it is more than 0 and at most 10000000 seconds", option, text);
        default:
                return complain(CTL_USAGE, "%s=%s: not a number of seconds", option, text);
        }
}

/* FROM or FROM-TO. */
static ExitStatus parse_units(const char *text, Options *o) {
        g_auto(GStrv) ends = g_strsplit(text, "-", 2);
        uint64_t from, to;

        if (!ends[0] || !g_ascii_string_to_unsigned(ends[0], 10, 0, UINT32_MAX, &from, NULL) ||
            !g_ascii_string_to_unsigned(ends[1] ?: ends[0], 10, 1, UINT32_MAX, &to, NULL) || from > to)
                return complain(CTL_USAGE, "--units=%s: not like 7 or 1-32", text);
        o->units_from = (unsigned) from;
        o->units_to = (unsigned) to;
        return CTL_OK;
}

static void set_bus(Options *o, BusKind kind, const char *where) {
        o->bus = kind;
        o->bus_where = where;
}

static void add_properties(Options *o, const char *text) {
        g_auto(GStrv) old = TAKE_PTR(o->properties), new = g_strsplit(text, ",", -1);
        g_autoptr(GPtrArray) all = g_ptr_array_new();

        for (char **p = old; p && *p; p++)
                g_ptr_array_add(all, g_strdup(*p));
        for (char **p = new; *p; p++)
                if ((*p)[0])
                        g_ptr_array_add(all, g_strdup(*p));
        g_ptr_array_add(all, NULL);
        o->properties = (char **) g_ptr_array_free(TAKE_PTR(all), false);
}

/* Options of the event verbs, and of those that need the event server. */
static ExitStatus parse_event_option(Parsed *p, int c, const char *text) {
        Options *o = &p->options;
        uint64_t limit;

        switch (c) {
        case ARG_SERVER:
                p->given |= OPTION_SERVER;
                o->server = text;
                return CTL_OK;
        case ARG_TOKEN_FILE:
                p->given |= OPTION_TOKEN_FILE;
                o->token_file = text;
                return CTL_OK;
        case ARG_SINCE:
                p->given |= OPTION_SINCE;
                o->since = text;
                return CTL_OK;
        case ARG_UNTIL:
                p->given |= OPTION_UNTIL;
                o->until = text;
                return CTL_OK;
        case 'n':
                p->given |= OPTION_LIMIT;
                if (!g_ascii_string_to_unsigned(text, 10, 1, INT64_MAX, &limit, NULL))
                        return complain(CTL_USAGE, "--limit=%s: it is a number greater than 0", text);
                o->limit = (int64_t) limit;
                return CTL_OK;
        case 'r':
                p->given |= OPTION_REVERSE;
                o->reverse = true;
                return CTL_OK;
        case ARG_SOURCE_TIME:
                p->given |= OPTION_SOURCE_TIME;
                o->source_time = text;
                return CTL_OK;
        case ARG_FORCE:
                p->given |= OPTION_FORCE;
                o->force = true;
                return CTL_OK;
        default: /* getopt_long() has said what is wrong, in one line */
                return CTL_USAGE;
        }
}

/* Options of some verbs only. */
static ExitStatus parse_own(Parsed *p, int c, const char *text) {
        Options *o = &p->options;

        switch (c) {
        case ARG_WAIT:
                p->given |= OPTION_WAIT;
                o->wait = true;
                o->goal = (WaitGoal) {};
                if (text && wait_goal_set_state(&o->goal, text) < 0 &&
                    wait_goal_set_link(&o->goal, text) < 0)
                        return complain(CTL_USAGE, "--wait=%s: no such state or link", text);
                return CTL_OK;
        case ARG_STATE:
                p->given |= OPTION_STATE;
                if (wait_goal_set_state(&o->goal, text) < 0)
                        return complain(CTL_USAGE, "--state=%s: no such state", text);
                return CTL_OK;
        case ARG_LINK:
                p->given |= OPTION_LINK;
                if (wait_goal_set_link(&o->goal, text) < 0)
                        return complain(CTL_USAGE, "--link=%s: no such link", text);
                return CTL_OK;
        case ARG_SNAPSHOT:
                p->given |= OPTION_SNAPSHOT;
                o->snapshot = true;
                return CTL_OK;
        case ARG_UNITS:
                p->given |= OPTION_UNITS;
                return parse_units(text, o);
        case ARG_UNIT_TIMEOUT:
                p->given |= OPTION_UNIT_TIMEOUT;
                return parse_timeout("--unit-timeout", text, &o->unit_timeout);
        case ARG_LAST:
                p->given |= OPTION_LAST;
                o->last = true;
                return CTL_OK;
        case ARG_PCAP:
                p->given |= OPTION_PCAP;
                o->pcap = text;
                return CTL_OK;
        case 'p':
                p->given |= OPTION_PROPERTY;
                add_properties(o, text);
                return CTL_OK;
        default:
                return parse_event_option(p, c, text);
        }
}

static ExitStatus parse_option(Parsed *p, int c, const char *text) {
        Options *o = &p->options;

        switch (c) {
        case 'h':
                help();
                p->done = true;
                return CTL_OK;
        case ARG_VERSION:
                puts("gatewayctl " VERSION);
                p->done = true;
                return CTL_OK;
        case 'j':
        case ARG_JSON:
                if (text)
                        return parse_json(text, &o->json);
                o->json = output_is_terminal() ? JSON_PRETTY : JSON_SHORT;
                return CTL_OK;
        case ARG_NO_PAGER:
                return CTL_OK;
        case ARG_NO_LEGEND:
                o->no_legend = true;
                return CTL_OK;
        case 'q':
                o->quiet = true;
                return CTL_OK;
        case 'l':
                o->full = true;
                return CTL_OK;
        case ARG_SYSTEM:
                set_bus(o, BUS_KIND_SYSTEM, NULL);
                return CTL_OK;
        case ARG_USER:
                set_bus(o, BUS_KIND_USER, NULL);
                return CTL_OK;
        case ARG_ADDRESS:
                set_bus(o, BUS_KIND_ADDRESS, text);
                return CTL_OK;
        case 'H':
                set_bus(o, BUS_KIND_HOST, text);
                return CTL_OK;
        case ARG_TIMEOUT:
                return parse_timeout("--timeout", text, &o->timeout);
        default:
                return parse_own(p, c, text);
        }
}

/* A negative number is an argument, not an option: `write plc setpoint -5`. getopt_long() takes its first
 * digit for an option that may have a value, so the element has been used up and stands before optind. */
#define DIGITS "0::1::2::3::4::5::6::7::8::9::"

static ExitStatus add_number(Parsed *p, char *element, int digit) {
        if (element[0] != '-' || element[1] != digit)
                return complain(CTL_USAGE, "Unknown option -%c in '%s'", digit, element);
        g_ptr_array_add(p->rest, element);
        return CTL_OK;
}

static ExitStatus parse_argv(int argc, char *argv[], Parsed *p) {
        static char name[] = "gatewayctl";
        int c;

        if (argc > 0)
                argv[0] = name; /* getopt_long() speaks as we do */
        /* `-`: arguments come in their places, as the value of option 1 */
        while ((c = getopt_long(argc, argv, "-hH:jln:p:qr" DIGITS, long_options, NULL)) >= 0) {
                ExitStatus s = CTL_OK;

                if (c == 1)
                        g_ptr_array_add(p->rest, optarg);
                else if (g_ascii_isdigit(c))
                        s = add_number(p, argv[optind - 1], c);
                else
                        s = parse_option(p, c, optarg);
                if (s != CTL_OK || p->done)
                        return s;
        }
        for (; optind < argc; optind++) /* behind `--` */
                g_ptr_array_add(p->rest, argv[optind]);
        g_ptr_array_add(p->rest, NULL);
        return CTL_OK;
}

/* ---- verbs ------------------------------------------------------------------------------------------- */

/* Verbs of two words: what may follow the first. NULL: it is one word. */
static const char *second_words(const char *word) {
        static const struct {
                const char *first, *second;
        } groups[] = {
                { "event", "one of latest, history, follow, register, export" },
                { "gpio", "list" },
        };

        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                if (streq(groups[i].first, word))
                        return groups[i].second;
        return NULL;
}

/* words: verb and arguments. ret_arguments: what follows the verb. */
static const VerbRule *find_verb(char **words, char ***ret_arguments) {
        static char *list[] = { (char *) "list", NULL };
        g_autofree char *two = NULL;
        bool group;

        words = words[0] ? words : list;
        group = second_words(words[0]) && words[1];
        two = group ? g_strconcat(words[0], " ", words[1], NULL) : g_strdup(words[0]);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (streq(verbs[i].name, two)) {
                        *ret_arguments = words + (group ? 2 : 1);
                        return &verbs[i];
                }
        return NULL;
}

static ExitStatus complain_verb(char **words) {
        const char *second = second_words(words[0]);

        if (!second)
                return complain(CTL_USAGE, "Unknown verb '%s'", words[0]);
        if (words[1])
                return complain(CTL_USAGE, "Unknown verb '%s %s'", words[0], words[1]);
        return complain(CTL_USAGE, "%s needs %s", words[0], second);
}

static ExitStatus check_use(const VerbRule *v, OptionFlag given, char **arguments) {
        unsigned n = g_strv_length(arguments);

        for (size_t i = 0; i < ELEMENTSOF(option_names); i++)
                if ((given & ~v->options) & (1U << i))
                        return complain(CTL_USAGE, "%s is not an option of %s", option_names[i], v->name);
        if (n < v->least || (v->most > 0 && n > v->most))
                return complain(CTL_USAGE, "%s needs %s", v->name, v->arguments);
        for (; *arguments && !(v->flags & VERB_NOT_TEXT); arguments++)
                if ((*arguments)[0] == '\0' || !g_utf8_validate(*arguments, -1, NULL))
                        return complain(CTL_USAGE, "What %s takes is not empty and is UTF-8", v->name);
        return CTL_OK;
}

static ExitStatus run(const Parsed *p) {
        _cleanup_(client_freep) Client *c = NULL;
        char **words = (char **) p->rest->pdata, **arguments = NULL;
        const VerbRule *v = find_verb(words, &arguments);
        ExitStatus s;

        if (!v)
                return complain_verb(words);
        s = check_use(v, p->given, arguments);
        if (s == CTL_OK && !(v->flags & VERB_NO_BUS))
                s = client_new(&p->options, &c);
        return s == CTL_OK ? v->verb(c, &p->options, arguments) : s;
}

/* Names and details are UTF-8 whatever the locale says; libsmartcols asks the locale. */
static void use_utf8(void) {
        if (!setlocale(LC_CTYPE, "") || !streq(nl_langinfo(CODESET), "UTF-8"))
                (void) setlocale(LC_CTYPE, "C.UTF-8");
}

int main(int argc, char *argv[]) {
        Parsed p = { .rest = g_ptr_array_new() };
        ExitStatus s;

        use_utf8();
        log_set_max_level(LOG_ERR); /* what matters is said in a line of our own */
        s = parse_argv(argc, argv, &p);
        if (s == CTL_OK && !p.done)
                s = run(&p);
        if ((fflush(stdout) != 0 || ferror(stdout)) && s == CTL_OK)
                s = complain(CTL_FAILED, "Cannot write: %s", g_strerror(errno));
        g_strfreev(p.options.properties);
        g_ptr_array_unref(p.rest);
        return s;
}
