/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl: the command line, the table of verbs, the exit status (docs/gatewayctl.1). */
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>

#include <config.h>

#include "tools/output.h"
#include "tools/text.h"
#include "tools/verbs.h"

typedef struct VerbRule {
        const char *name;
        unsigned least;     /* arguments */
        OptionFlag options; /* of its own */
        Verb verb;
} VerbRule;

static const VerbRule verbs[] = {
        { "list", 0, 0, verb_list },
        { "status", 0, 0, verb_status },
        { "show", 1, OPTION_PROPERTY, verb_show },
        { "enable", 1, OPTION_WAIT, verb_enable },
        { "disable", 1, OPTION_WAIT, verb_disable },
        { "restart", 1, 0, verb_restart },
        { "wait", 1, OPTION_STATE | OPTION_LINK, verb_wait },
        { "is-enabled", 1, 0, verb_is_enabled },
        { "is-running", 1, 0, verb_is_running },
        { "monitor", 0, OPTION_SNAPSHOT, verb_monitor },
};

static const char *const option_names[] = { "--wait", "--state=", "--link=", "--snapshot", "--property=" };

static void help(void) {
        fputs("gatewayctl [OPTION…] [VERB] [DEVICE…]\n\n"
              "Shows and controls the devices of gatewayd. A DEVICE is TYPE/NAME, a NAME that is unique,\n"
              "or an object path; a PATTERN may hold *, ? and […].\n\n"
              "Verbs:\n"
              "  list [PATTERN…]           table of devices (default)\n"
              "  status [PATTERN…]         everything about devices; without one, a summary of the gateway\n"
              "  show DEVICE…              properties as Key=value\n"
              "  enable, disable DEVICE…   at the event server\n"
              "  restart DEVICE…           stop and start an enabled device\n"
              "  wait DEVICE…              until it is running, also for the daemon to appear\n"
              "  is-enabled DEVICE…        the exit status is the answer\n"
              "  is-running DEVICE…\n"
              "  monitor [PATTERN…]        a line for each change of state or link\n\n"
              "Options:\n"
              "      --wait[=STATE|LINK]   enable, disable: until the device is there (running; disabled)\n"
              "      --state=STATE         wait: disabled, waiting, starting, running, stopping, failed\n"
              "      --link=LINK           wait: none, connecting, up, partial, down\n"
              "      --timeout=SECONDS     the longest wait (default for waiting: 60)\n"
              "      --snapshot            monitor: how the devices are, first\n"
              "  -p, --property=NAME[,…]   show: only these\n"
              "      --json=MODE           short, pretty or off\n"
              "  -j                        pretty on a terminal, else short\n"
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
        char **rest; /* verb and arguments */
        bool done;   /* help or version was printed */
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
        ARG_VERSION,
};

static const struct option long_options[] = {
        { "address", required_argument, NULL, ARG_ADDRESS },
        { "full", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { "host", required_argument, NULL, 'H' },
        { "json", required_argument, NULL, ARG_JSON },
        { "link", required_argument, NULL, ARG_LINK },
        { "no-legend", no_argument, NULL, ARG_NO_LEGEND },
        { "no-pager", no_argument, NULL, ARG_NO_PAGER },
        { "property", required_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { "snapshot", no_argument, NULL, ARG_SNAPSHOT },
        { "state", required_argument, NULL, ARG_STATE },
        { "system", no_argument, NULL, ARG_SYSTEM },
        { "timeout", required_argument, NULL, ARG_TIMEOUT },
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

static ExitStatus parse_timeout(const char *text, usec_t *ret) {
        switch (parse_seconds(text, ret)) {
        case 0:
                return CTL_OK;
        case -ERANGE:
                return complain(CTL_USAGE, "--timeout=%s: it is more than 0 and at most 10000000 seconds",
                                text);
        default:
                return complain(CTL_USAGE, "--timeout=%s: not a number of seconds", text);
        }
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
        case 'p':
                p->given |= OPTION_PROPERTY;
                add_properties(o, text);
                return CTL_OK;
        default: /* getopt_long() has said what is wrong, in one line */
                return CTL_USAGE;
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
                o->json = output_is_terminal() ? JSON_PRETTY : JSON_SHORT;
                return CTL_OK;
        case ARG_JSON:
                return parse_json(text, &o->json);
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
                return parse_timeout(text, &o->timeout);
        default:
                return parse_own(p, c, text);
        }
}

static ExitStatus parse_argv(int argc, char *argv[], Parsed *p) {
        static char name[] = "gatewayctl";
        int c;

        if (argc > 0)
                argv[0] = name; /* getopt_long() speaks as we do */
        while ((c = getopt_long(argc, argv, "hH:jlp:q", long_options, NULL)) >= 0) {
                ExitStatus s = parse_option(p, c, optarg);

                if (s != CTL_OK || p->done)
                        return s;
        }
        p->rest = argv + optind;
        return CTL_OK;
}

/* ---- verbs ------------------------------------------------------------------------------------------- */

static const VerbRule *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (streq(verbs[i].name, name))
                        return &verbs[i];
        return NULL;
}

static ExitStatus check_use(const VerbRule *v, OptionFlag given, char **arguments) {
        for (size_t i = 0; i < ELEMENTSOF(option_names); i++)
                if ((given & ~v->options) & (1U << i))
                        return complain(CTL_USAGE, "%s is not an option of %s", option_names[i], v->name);
        if (g_strv_length(arguments) < v->least)
                return complain(CTL_USAGE, "%s needs a DEVICE", v->name);
        for (; *arguments; arguments++)
                if ((*arguments)[0] == '\0' || !g_utf8_validate(*arguments, -1, NULL))
                        return complain(CTL_USAGE, "A DEVICE is not empty and is UTF-8");
        return CTL_OK;
}

static ExitStatus run(const Parsed *p) {
        static char *nothing[] = { NULL };
        _cleanup_(client_freep) Client *c = NULL;
        const char *name = p->rest[0] ? p->rest[0] : "list";
        char **arguments = p->rest[0] ? p->rest + 1 : nothing;
        const VerbRule *v = find_verb(name);
        ExitStatus s;

        if (!v)
                return complain(CTL_USAGE, "Unknown verb '%s'", name);
        s = check_use(v, p->given, arguments);
        if (s == CTL_OK)
                s = client_new(&p->options, &c);
        return s == CTL_OK ? v->verb(c, &p->options, arguments) : s;
}

/* Names and details are UTF-8 whatever the locale says; libsmartcols asks the locale. */
static void use_utf8(void) {
        if (!setlocale(LC_CTYPE, "") || !streq(nl_langinfo(CODESET), "UTF-8"))
                (void) setlocale(LC_CTYPE, "C.UTF-8");
}

int main(int argc, char *argv[]) {
        Parsed p = {};
        ExitStatus s;

        use_utf8();
        s = parse_argv(argc, argv, &p);
        if (s == CTL_OK && !p.done)
                s = run(&p);
        if ((fflush(stdout) != 0 || ferror(stdout)) && s == CTL_OK)
                s = complain(CTL_FAILED, "Cannot write: %s", g_strerror(errno));
        g_strfreev(p.options.properties);
        return s;
}
