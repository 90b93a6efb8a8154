/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the line's connection, and while there is none that is open, the watch of its path and the time of the next
 * try. Loop thread. */

#include "devices/modbus/modbus-port.h"

/* A port that cannot be opened, or does not stay, is tried again so often (D9) … */
#define REOPEN_USEC (5 * USEC_PER_SEC)
/* … and when it comes back, but not faster than this. */
#define REOPEN_GAP_USEC (100 * USEC_PER_MSEC)

/* Not before the port is back or some time is over, and never so often that it becomes a storm. */
static void port_schedule(ModbusPort *p) {
        usec_t gap = p->returned ? REOPEN_GAP_USEC : REOPEN_USEC;

        deadline_set(p->timer, MAX(now_usec(CLOCK_MONOTONIC), usec_add(p->tried_at, gap)));
}

static void port_on_returned(void *userdata) {
        ModbusPort *p = userdata;

        p->returned = true;
        if (!p->connection)
                port_schedule(p);
}

/* Without a watch there are still the tries. */
static void port_watch(ModbusPort *p) {
        if (!p->watch)
                (void) path_watch_new(p->server->event, p->path, "modbus-port", port_on_returned, p, &p->watch);
}

static void port_down(ModbusPort *p, DeviceReason reason, const char *detail) {
        p->connection = modbus_connection_free(p->connection);
        p->open = false;
        port_watch(p);
        tap_closed(p->server->tap, /* failed= */ true, now_usec(CLOCK_MONOTONIC), 0, detail);
        device_set_link(p->device, DEVICE_LINK_DOWN, reason, detail);
        port_schedule(p);
}

static void port_failed(ModbusPort *p, int error) {
        g_autofree char *why = serial_open_error(p->path, error);
        g_autofree char *detail = g_strdup_printf("cannot open %s: %s", p->path, why);

        port_down(p, device_reason_from_errno(error), detail);
}

static void port_lost(ModbusPort *p, int error) {
        g_autofree char *detail = g_strdup_printf("%s is lost: %s", p->path, g_strerror(-error));

        port_down(p, DEVICE_REASON_LOST, detail);
}

void modbus_port_closed(ModbusPort *p, int error) {
        if (p->open)
                port_lost(p, error);
        else
                port_failed(p, error);
}

int modbus_port_open(ModbusPort *p) {
        int r;

        port_watch(p);
        p->returned = false;
        p->tried_at = now_usec(CLOCK_MONOTONIC);
        r = modbus_connection_open(p->server, p->path, &p->options, &p->connection);
        if (r < 0)
                port_failed(p, r);
        return r;
}

void modbus_port_opened(ModbusPort *p) {
        p->open = true;
        p->watch = path_watch_free(p->watch);
        tap_opened(p->server->tap, now_usec(CLOCK_MONOTONIC), 0, p->path);
        device_set_link(p->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
}

static void port_on_timer(void *userdata) {
        (void) modbus_port_open(userdata);
}

int modbus_port_init(ModbusPort *p, Device *device, ModbusServer *server, const char *path,
                     const SerialOptions *options) {
        p->device = device;
        p->server = server;
        p->path = path;
        p->options = *options;
        return deadline_new(server->event, "modbus-port", port_on_timer, p, &p->timer);
}

void modbus_port_done(ModbusPort *p) {
        p->connection = modbus_connection_free(p->connection);
        p->watch = path_watch_free(p->watch);
        p->timer = deadline_free(p->timer);
}
