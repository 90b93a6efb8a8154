/* SPDX-License-Identifier: Apache-2.0 */
/* The connection's life: begins before there is a bus, asks for the name, begins anew after a loss.
 * Nothing here waits. Loop thread. */
#include <errno.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

#include <config.h>

#include "dbus/bus-error.h"
#include "dbus/bus-internal.h"

#define SYSTEM_BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
#define LOCAL "org.freedesktop.DBus.Local"

/* ---- ready ------------------------------------------------------------------------------------------- */

/* Ready once, in a later turn. */
static void bus_set_ready(Bus *b) {
        if (!b->ready)
                deadline_set(b->patience, 0);
}

static void on_patience(void *userdata) {
        Bus *b = userdata;

        if (b->ready)
                return;
        b->ready = true;
        if (!b->owned)
                log_notice("There is no D-Bus yet; going on without, until there is.");
        if (b->handler->ready)
                b->handler->ready(b->userdata);
}

/* ---- loss and the next try --------------------------------------------------------------------------- */

static void bus_retry_later(Bus *b) {
        deadline_set_relative(b->connect, b->retry);
        b->retry = MIN(b->retry * 2, BUS_RETRY_MAX_USEC);
}

void bus_lose(Bus *b, int error) {
        if (b->lost)
                return;
        if (b->owned)
                log_warning_errno(error, "D-Bus is lost, trying again: %m");
        else
                log_debug_errno(error, "No connection to D-Bus: %m");
        b->lost = true;
        if (b->bus && sd_bus_is_open(b->bus) > 0)
                b->lingering = BUS_LINGER_TRIES;
        bus_operations_cancel(b);
        bus_signals_reset(b);
        bus_set_ready(b);
        bus_retry_later(b);
}

/* What was not sent goes with it. */
static void bus_close(Bus *b) {
        if (!b->bus)
                return;
        (void) sd_bus_detach_event(b->bus);
        b->bus = sd_bus_close_unref(b->bus);
}

/* ---- the name ---------------------------------------------------------------------------------------- */

static void bus_refused(Bus *b, int error) {
        if (b->handler->failed)
                b->handler->failed(error, b->userdata);
}

static void on_name_denied(Bus *b, const sd_bus_error *e) {
        if (sd_bus_error_has_name(e, SD_BUS_ERROR_ACCESS_DENIED)) {
                if (!b->ready) {
                        bus_refused(b, -EACCES);
                        return;
                }
                if (!b->complained)
                        log_warning("The D-Bus policy does not give us the name %s: %s", BUS_NAME,
                                    e->message);
                b->complained = true;
        }
        bus_lose(b, -sd_bus_error_get_errno(e));
}

static void on_name_owned(Bus *b) {
        log_info("On D-Bus as %s.", BUS_NAME);
        b->retry = BUS_RETRY_USEC;
        b->lingering = 0;
        b->complained = false;
        bus_begin(b);
        bus_set_ready(b);
}

/* A bus that did not read from our last connection notices its end only when it has something for it. */
static void bus_knock(Bus *b) {
        (void) sd_bus_call_method_async(b->bus, NULL, BUS_NAME, BUS_ROOT_PATH, "org.freedesktop.DBus.Peer",
                                        "Ping", NULL, NULL, NULL);
}

static void on_name_exists(Bus *b) {
        unsigned tries = b->lingering;

        if (tries == 0) {
                bus_refused(b, -EEXIST);
                return;
        }
        bus_knock(b);
        bus_lose(b, -EEXIST);
        b->lingering = tries - 1;
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        enum {
                NAME_OWNER = 1,
                NAME_EXISTS = 3,
                NAME_ALREADY_OWNER = 4
        };
        Bus *b = userdata;
        uint32_t answer;
        int r;

        if (b->lost)
                return 0;
        if (sd_bus_message_is_method_error(reply, NULL)) {
                on_name_denied(b, sd_bus_message_get_error(reply));
                return 0;
        }
        r = sd_bus_message_read(reply, "u", &answer);
        if (r < 0)
                bus_lose(b, r);
        else if (answer == NAME_OWNER || answer == NAME_ALREADY_OWNER)
                on_name_owned(b);
        else if (answer == NAME_EXISTS)
                on_name_exists(b);
        else
                bus_lose(b, -EPROTO);
        return 0;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        int r;

        r = sd_bus_request_name_async(b->bus, NULL, BUS_NAME, 0, on_name, b);
        if (r < 0)
                bus_lose(b, r);
        return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        bus_lose(userdata, -ECONNRESET);
        return 0;
}

/* ---- the connection ---------------------------------------------------------------------------------- */

static char *bus_address(const char *where) {
        const char *given;

        if (streq(where, "system"))
                return g_strdup(getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: SYSTEM_BUS_ADDRESS);
        if (!streq(where, "user"))
                return g_strdup(where);
        given = getenv("DBUS_SESSION_BUS_ADDRESS");
        if (given)
                return g_strdup(given);
        given = getenv("XDG_RUNTIME_DIR");
        return given ? g_strdup_printf("unix:path=%s/bus", given) : NULL;
}

/* The library skips what it does not know and then reports a refused connection, which would be tried
 * for ever. */
static bool address_is_usable(const char *address) {
        static const char *const transports[] = { "unix:", "tcp:", "unixexec:", "x-machine-unix:" };
        g_auto(GStrv) parts = g_strsplit(address, ";", -1);

        for (char **p = parts; *p; p++)
                for (size_t i = 0; i < ELEMENTSOF(transports); i++)
                        if (g_str_has_prefix(*p, transports[i]))
                                return true;
        return false;
}

static int bus_set_up(Bus *b, sd_bus *bus) {
        int r;

        r = sd_bus_set_description(bus, "gatewayd");
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, b->address);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_watch_bind(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_connected_signal(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_close_on_exit(bus, false); /* it would wait for a bus that hangs */
        if (r < 0)
                return r;
        r = sd_bus_match_signal(bus, NULL, LOCAL, NULL, LOCAL, "Connected", on_connected, b);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(bus, NULL, LOCAL, NULL, LOCAL, "Disconnected", on_disconnected, b);
        if (r < 0)
                return r;
        return bus_objects_serve(b, bus);
}

/* While the library waits for the bus' socket to appear, its descriptor is no socket. */
static bool bus_is_absent(const Bus *b) {
        int fd = sd_bus_get_fd(b->bus);

        return fd < 0 || sd_is_socket(fd, AF_UNSPEC, 0, -1) <= 0;
}

static int bus_connect(Bus *b) {
        int r;

        b->lost = b->asked = false;
        b->sent = 0;
        b->older = b->recent = (BusAnswers) {};
        r = sd_bus_new(&b->bus);
        if (r < 0)
                return r;
        r = bus_set_up(b, b->bus);
        if (r < 0)
                return r;
        r = sd_bus_start(b->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        if (bus_is_absent(b))
                bus_set_ready(b);
        return 0;
}

static void on_connect(void *userdata) {
        Bus *b = userdata;
        int r;

        bus_close(b);
        r = bus_connect(b);
        if (r < 0)
                bus_lose(b, r);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Whether trying again could help. */
static bool error_may_pass(int r) {
        return r != -EINVAL && r != -EOPNOTSUPP && r != -EAFNOSUPPORT && r != -E2BIG && r != -ENAMETOOLONG;
}

static int bus_start(Bus *b) {
        int r;

        r = bus_connect(b);
        if (r >= 0)
                return 0;
        if (!error_may_pass(r))
                return r;
        bus_lose(b, r);
        return 0;
}

int bus_new(sd_event *event, Gateway *gateway, const char *where, const BusHandler *handler, void *userdata,
            Bus **ret) {
        _cleanup_(bus_freep) Bus *b = g_new0(Bus, 1);
        int r;

        b->event = sd_event_ref(event);
        b->handler = handler;
        b->userdata = userdata;
        b->retry = BUS_RETRY_USEC;
        b->address = bus_address(where);
        if (!b->address)
                return -ENXIO;
        if (!address_is_usable(b->address))
                return -EINVAL;
        r = bus_error_register();
        if (r < 0)
                return r;
        r = deadline_new(event, "bus-connect", on_connect, b, &b->connect);
        if (r < 0)
                return r;
        r = deadline_new(event, "bus-patience", on_patience, b, &b->patience);
        if (r < 0)
                return r;
        b->gateway = gateway;
        r = bus_signals_init(b);
        if (r < 0)
                return r;
        bus_objects_init(b);
        deadline_set_relative(b->patience, BUS_READY_USEC);
        r = bus_start(b);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

/* What is pending has a moment to leave; a bus that does not take it does not hold us. */
static void bus_drain(Bus *b) {
        usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), BUS_DRAIN_USEC);

        (void) sd_bus_detach_event(b->bus);
        for (;;) {
                usec_t now = now_usec(CLOCK_MONOTONIC);
                uint64_t n = 0;

                if (sd_bus_get_n_queued_write(b->bus, &n) < 0 || n == 0 || now >= end)
                        return;
                if (sd_bus_wait(b->bus, end - now) < 0 || sd_bus_process(b->bus, NULL) < 0)
                        return;
        }
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        if (b->owned) {
                bus_signals_flush(b);
                bus_drain(b);
        }
        bus_operations_cancel(b);
        bus_close(b); /* and so the name is given back */
        if (b->gateway)
                bus_signals_done(b);
        bus_objects_done(b);
        deadline_free(b->connect);
        deadline_free(b->patience);
        sd_event_unref(b->event);
        g_free(b->hardware);
        g_free(b->address);
        g_free(b);
        return NULL;
}
