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

static void on_answer(int error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        BusOperation *o = userdata;
        int r;

        operation_unlink(o);
        if (error < 0) {
                (void) bus_error_set(&e, error);
                r = sd_bus_reply_method_error(o->call, &e);
        } else
                r = sd_bus_reply_method_return(o->call, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot answer a call on D-Bus: %m");
        operation_free(o);
}

int bus_operation_enable(BusDevice *d, sd_bus_message *call, bool enable, sd_bus_error *error) {
        Bus *b = d->bus;
        BusOperation *o;
        int r;

        if (b->n_operations >= BUS_OPERATIONS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                        "Too many calls wait for the event server.");
        o = g_new0(BusOperation, 1);
        *o = (BusOperation) { .bus = b, .call = sd_bus_message_ref(call) };
        r = proxy_request_enable(d->proxy, enable, on_answer, o, &o->request);
        if (r < 0) {
                operation_free(o);
                return bus_error_set(error, r);
        }
        o->next = b->operations;
        b->operations = o;
        b->n_operations++;
        return 1;
}

void bus_operations_cancel(Bus *b) {
        while (b->operations) {
                BusOperation *o = b->operations;

                operation_unlink(o);
                o->request = request_cancel(o->request);
                operation_free(o);
        }
}
