/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayd: command line, configuration, one loop, exit status (docs/gatewayd.8). The only file of daemon/
 * that knows that D-Bus exists. Loop thread, which is the main one. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include <config.h>

#include "base/log.h"
#include "base/low-fd.h"
#include "base/sd.h"
#include "daemon/config.h"
#include "daemon/gateway.h"
#include "daemon/journal.h"
#include "dbus/bus.h"

/* spec config.md section 4 */
enum {
        STATUS_OK = 0,
        STATUS_FAILURE = 1,
        STATUS_USAGE = 2,
        STATUS_MONITOR = 69,
        STATUS_CONFIG = 78,
};

static const char *arg_config = NULL;
static const char *arg_bus = "system";
static const char *arg_bus_introspect = NULL;
static bool arg_check = false, arg_json = false, arg_print_schema = false;
static int arg_log_level = -1;
static LogTarget arg_log_target = _LOG_TARGET_INVALID;

static void help(void) {
        printf("gatewayd [OPTION…]\n\n"
               "Connects field devices to a Hat event server, both ways.\n\n"
               "  -c, --config=FILE         configuration (default: %s, else %s)\n"
               "      --check               check the configuration, report everything wrong, exit\n"
               "      --json                with --check: the report as JSON on standard output\n"
               "      --print-schema        print the JSON Schema of the configuration\n"
               "      --bus=BUS             system (default), user, none or a D-Bus address\n"
               "      --bus-introspect=PATH print the introspection XML of an object\n"
               "      --log-level=LEVEL     emerg, alert, crit, err, warning, notice, info, debug\n"
               "      --log-target=TARGET   auto (default), journal, stderr\n"
               "      --version\n"
               "  -h, --help\n\n"
               "See gatewayd(8) and gatewayd.yaml(5).\n",
               CONFIG_FILE_ETC, CONFIG_FILE_LIB);
}

static int usage_error(const char *format, ...) _printf_(1, 2);
static int usage_error(const char *format, ...) {
        va_list ap;

        fputs("gatewayd: ", stderr);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputs("; see gatewayd --help\n", stderr);
        return -EINVAL;
}

/* 1: go on, 0: done, <0: wrong usage (said). */
static int parse_argv(int argc, char *argv[]) {
        enum {
                ARG_CHECK = 0x100,
                ARG_JSON,
                ARG_PRINT_SCHEMA,
                ARG_BUS,
                ARG_BUS_INTROSPECT,
                ARG_LOG_LEVEL,
                ARG_LOG_TARGET,
                ARG_VERSION,
        };
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "conf", required_argument, NULL, 'c' }, /* hat-gateway's spelling */
                { "check", no_argument, NULL, ARG_CHECK },
                { "json", no_argument, NULL, ARG_JSON },
                { "print-schema", no_argument, NULL, ARG_PRINT_SCHEMA },
                { "bus", required_argument, NULL, ARG_BUS },
                { "bus-introspect", required_argument, NULL, ARG_BUS_INTROSPECT },
                { "log-level", required_argument, NULL, ARG_LOG_LEVEL },
                { "log-target", required_argument, NULL, ARG_LOG_TARGET },
                { "version", no_argument, NULL, ARG_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "c:h", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        arg_config = optarg;
                        break;
                case ARG_CHECK:
                        arg_check = true;
                        break;
                case ARG_JSON:
                        arg_json = true;
                        break;
                case ARG_PRINT_SCHEMA:
                        arg_print_schema = true;
                        break;
                case ARG_BUS:
                        arg_bus = optarg;
                        break;
                case ARG_BUS_INTROSPECT:
                        arg_bus_introspect = optarg;
                        break;
                case ARG_LOG_LEVEL:
                        arg_log_level = log_level_from_string(optarg);
                        if (arg_log_level < 0)
                                return usage_error("unknown log level '%s'", optarg);
                        break;
                case ARG_LOG_TARGET:
                        arg_log_target = log_target_from_string(optarg);
                        if (arg_log_target < 0)
                                return usage_error("unknown log target '%s'", optarg);
                        break;
                case ARG_VERSION:
                        printf("gatewayd %s\n", VERSION);
                        return 0;
                case 'h':
                        help();
                        return 0;
                default: /* getopt has said what is wrong, in one line */
                        return -EINVAL;
                }
        if (optind < argc)
                return usage_error("unexpected argument '%s'", argv[optind]);
        if (arg_json && !arg_check)
                return usage_error("--json goes with --check");
        return 1;
}

/* ---- configuration ----------------------------------------------------------------------------------- */

static bool errors_are_fatal(const ConfErrors *errors) {
        return conf_errors_count(errors, CONF_ERROR) + conf_errors_count(errors, CONF_RANGE) > 0;
}

static void print_errors(ConfErrors *errors) {
        if (arg_json) {
                JsonWriter w;
                g_autofree char *text = NULL;

                json_writer_init_growing(&w);
                conf_errors_write_json(errors, &w);
                text = json_writer_steal(&w);
                puts(text);
        } else
                conf_errors_print(errors, stderr);
}

/* The log goes where and as loud as the command line says, else the configuration, else automatically. */
static void apply_log_settings(const Config *config) {
        LogTarget target = arg_log_target >= 0 ? arg_log_target : config && config->log_target >= 0 ? config->log_target :
                                                                                                    LOG_TARGET_AUTO;
        int level = arg_log_level >= 0 ? arg_log_level : config && config->log_level >= 0 ? config->log_level : LOG_INFO;

        log_setup(target, level);
}

/* Prints what is wrong with it. -EBADMSG also with --check for what the daemon would start with. */
static int load_config(Config **ret) {
        _cleanup_(conf_errors_freep) ConfErrors *errors = NULL;
        _cleanup_(config_unrefp) Config *config = NULL;
        const char *file = arg_config;
        int r = 0;

        if (!file)
                r = config_find(&file);
        errors = conf_errors_new(file);
        if (r < 0)
                conf_error(errors, CONF_ERROR, NULL, "no configuration here, nor at %s", CONFIG_FILE_LIB);
        else
                r = config_load(file, errors, &config);
        print_errors(errors);
        if (r < 0)
                return r;
        if (arg_check && errors_are_fatal(errors))
                return -EBADMSG;
        *ret = TAKE_PTR(config);
        return 0;
}

/* ---- the running daemon ------------------------------------------------------------------------------ */

typedef struct Daemon {
        sd_event *event;
        ListenFds *fds;
        FdStore *store;
        Gateway *gateway;
        StatusLine *status_line;
        Bus *bus;
        bool stopping;
} Daemon;

static void daemon_exit(Daemon *d, int status) {
        int r;

        r = sd_event_exit(d->event, status);
        if (r < 0) {
                log_error_errno(r, "Cannot leave the loop: %m");
                exit(STATUS_FAILURE);
        }
}

static void on_stopped(void *userdata) {
        daemon_exit(userdata, STATUS_OK);
}

static void on_lost(void *userdata) {
        Daemon *d = userdata;

        daemon_exit(d, gateway_get_monitor_state(d->gateway) == MONITOR_NONE ? STATUS_FAILURE : STATUS_MONITOR);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Daemon *d = userdata;

        if (d->stopping) {
                log_notice("Signal again, leaving at once.");
                daemon_exit(d, STATUS_OK);
                return 0;
        }
        d->stopping = true;
        (void) sd_notify(false, "STOPPING=1");
        log_info("Stopping.");
        gateway_stop(d->gateway, on_stopped, d);
        return 0;
}

static void daemon_ready(void *userdata) {
        Daemon *d = userdata;

        gateway_set_ready(d->gateway);
        (void) sd_notify(false, "READY=1");
}

static void on_bus_failed(int error, void *userdata) {
        if (error == -EEXIST)
                log_error("Bus name %s is taken, another gatewayd is running.", BUS_NAME);
        else
                log_error_errno(error, "D-Bus refuses us: %m");
        daemon_exit(userdata, STATUS_FAILURE);
}

static const BusHandler bus_handler = { .ready = daemon_ready, .failed = on_bus_failed };

static void daemon_done(Daemon *d) {
        bus_free(d->bus);
        status_line_free(d->status_line);
        gateway_free(d->gateway);
        fd_store_free(d->store);
        listen_fds_free(d->fds);
        sd_event_unref(d->event);
}

static int daemon_start_event(Daemon *d) {
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN); /* LimitFSIZE=: a full disk as any other */
        r = sd_event_new(&d->event); /* the default loop would ask for the thread's id in each turn */
        if (r < 0)
                return r;
        r = sd_event_add_signal(d->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, on_signal, d);
        if (r < 0)
                return r;
        r = sd_event_add_signal(d->event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, on_signal, d);
        if (r < 0)
                return r;
        return sd_event_set_watchdog(d->event, true);
}

/* Every device and every client takes one. The soft limit is low only for those who select(), and
 * base/low-fd is there for them. */
static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int daemon_start(Daemon *d, Config *config) {
        int r;

        r = daemon_start_event(d);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the loop: %m");
        r = listen_fds_new(&d->fds);
        if (r < 0)
                return log_error_errno(r, "Cannot take over passed sockets: %m");
        raise_descriptor_limit();
        low_fd_reserve();
        d->store = fd_store_new(d->fds);
        listen_fds_close_unknown(d->fds, config_listen_names(config));
        r = gateway_new(d->event, config, d->fds, &d->gateway);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the gateway: %m");
        gateway_set_fd_store(d->gateway, d->store);
        gateway_on_lost(d->gateway, on_lost, d);
        gateway_add_observer(d->gateway, &journal_observer, NULL);
        r = status_line_new(d->gateway, &d->status_line);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the status line: %m");
        if (!streq(arg_bus, "none")) {
                r = bus_new(d->event, d->gateway, arg_bus, &bus_handler, d, &d->bus);
                if (r < 0)
                        return log_error_errno(r, "Cannot use D-Bus '%s': %m", arg_bus);
        }
        r = gateway_start(d->gateway);
        if (r < 0)
                return r;
        if (!d->bus)
                daemon_ready(d);
        return 0;
}

static int run_daemon(Config *config) {
        _cleanup_(daemon_done) Daemon d = {};
        int r;

        (void) malloc_trim(0); /* the configuration's text took more than all that is needed from now on */
        apply_log_settings(config);
        log_info("gatewayd %s, gateway '%s', %zu device%s.", VERSION, config->name, config->n_devices,
                 config->n_devices == 1 ? "" : "s");
        r = daemon_start(&d, config);
        if (r < 0)
                return STATUS_FAILURE;
        r = sd_event_loop(d.event);
        if (r < 0) {
                log_error_errno(r, "The loop failed: %m");
                return STATUS_FAILURE;
        }
        return r;
}

static int run(int argc, char *argv[]) {
        _cleanup_(config_unrefp) Config *config = NULL;
        int r;

        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? STATUS_USAGE : STATUS_OK;
        apply_log_settings(NULL);
        if (arg_print_schema) {
                config_print_schema(CONF_FORM_NATIVE, stdout);
                return STATUS_OK;
        }
        if (arg_bus_introspect) {
                r = bus_introspect(arg_bus_introspect, stdout);
                if (r < 0) {
                        log_error_errno(r, "Cannot introspect '%s': %m", arg_bus_introspect);
                        return STATUS_FAILURE;
                }
                return STATUS_OK;
        }
        r = load_config(&config);
        if (r < 0)
                return STATUS_CONFIG;
        return arg_check ? STATUS_OK : run_daemon(config);
}

int main(int argc, char *argv[]) {
        return run(argc, argv);
}
