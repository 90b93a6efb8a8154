/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are answered once the event server has: the message is kept until then. Bounded; all are
 * given up when the bus goes, for then nobody waits. Loop thread. */
#include <errno.h>

#include "dbus/bus-error.h"
#include "dbus/bus-internal.h"

struct BusOperation {
        BusOperation *next;
        Bus *bus;
        sd_bus_message *call;
        Request *request;
        int (*set_error)(sd_bus_error *ret, int error, const char *detail);
};

static void operation_unlink(BusOperation *o) {
        BusOperation **at = &o->bus->operations;

        while (*at != o)
                at = &(*at)->next;
        *at = o->next;
        o->bus->n_operations--;
}

static BusOperation *operation_free(BusOperation *o) {
        sd_bus_message_unref(o->call);
        g_free(o);
        return NULL;
}

static void on_answer(int error, const char *detail, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        BusOperation *o = userdata;
        int r;

        operation_unlink(o);
        if (error < 0) {
                (void) o->set_error(&e, error, detail);
                r = sd_bus_reply_method_error(o->call, &e);
        } else
                r = sd_bus_reply_method_return(o->call, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot answer a call on D-Bus: %m");
        operation_free(o);
}

/* NULL: too many wait, and error says so. */
static BusOperation *operation_new(Bus *b, sd_bus_message *call, sd_bus_error *error) {
        BusOperation *o;

        if (b->n_operations >= BUS_OPERATIONS_MAX) {
                sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls wait for the event server.");
                return NULL;
        }
        o = g_new0(BusOperation, 1);
        o->bus = b;
        o->call = sd_bus_message_ref(call);
        return o;
}

/* r: what the gateway said to the request. */
static int operation_begin(BusOperation *o, int r, sd_bus_error *error) {
        Bus *b = o->bus;

        if (r < 0) {
                r = o->set_error(error, r, NULL);
                operation_free(o);
                return r;
        }
        o->next = b->operations;
        b->operations = o;
        b->n_operations++;
        return 1;
}

/* ---- enable ------------------------------------------------------------------------------------------ */

static int set_enable_error(sd_bus_error *ret, int error, const char *detail) {
        return bus_error_set(ret, error);
}

int bus_operation_enable(BusDevice *d, sd_bus_message *call, bool enable, sd_bus_error *error) {
        BusOperation *o = operation_new(d->bus, call, error);

        if (!o)
                return -sd_bus_error_get_errno(error);
        o->set_error = set_enable_error;
        return operation_begin(o, proxy_request_enable(d->proxy, enable, on_answer, o, &o->request), error);
}

/* ---- export ------------------------------------------------------------------------------------------ */

static int set_export_error(sd_bus_error *ret, int error, const char *detail) {
        switch (error) {
        case -ENOTCONN:
                return sd_bus_error_set(ret, BUS_ERROR_NOT_CONNECTED,
                                        "The gateway keeps no events itself: there is no embedded event server.");
        case -EINVAL:
                return sd_bus_error_set(ret, SD_BUS_ERROR_INVALID_ARGS,
                                        "The descriptor is not a regular file open for writing, without appending.");
        case -ETXTBSY:
                return sd_bus_error_set(ret, SD_BUS_ERROR_INVALID_ARGS,
                                        "The descriptor is the event database itself, or a file that belongs to it.");
        case -EBUSY:
                return sd_bus_error_set(ret, SD_BUS_ERROR_LIMITS_EXCEEDED, "An export is under way already.");
        case -ESHUTDOWN:
                return bus_error_set(ret, error);
        default:
                return sd_bus_error_setf(ret, SD_BUS_ERROR_FAILED, "The events cannot be exported: %s",
                                         detail ?: g_strerror(-error));
        }
}

int bus_operation_export(Bus *b, sd_bus_message *call, int fd, sd_bus_error *error) {
        BusOperation *o = operation_new(b, call, error);

        if (!o)
                return -sd_bus_error_get_errno(error);
        o->set_error = set_export_error;
        return operation_begin(o, gateway_request_export(b->gateway, fd, on_answer, o, &o->request), error);
}

void bus_operations_cancel(Bus *b) {
        while (b->operations) {
                BusOperation *o = b->operations;

                operation_unlink(o);
                o->request = request_cancel(o->request);
                operation_free(o);
        }
}
