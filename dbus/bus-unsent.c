/* SPDX-License-Identifier: Apache-2.0 */
/* What the bus has not taken from us, and what is not made because of it. Who may look may ask as often as
 * it likes and need not read; an answer is as long as the configuration makes it. What is not read waits in
 * the bus, which at its own limit reads no more from us, for all. Loop thread. */
#include <errno.h>

#include <config.h>

#include "dbus/bus-internal.h"

uint64_t bus_unsent(const Bus *b) {
        uint64_t n = 0;

        (void) sd_bus_get_n_queued_write(b->bus, &n);
        return n;
}

/* ---- a bus that does not read us --------------------------------------------------------------------- */

static void bus_watch(Bus *b);

static int on_sign_of_life(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;

        b->asked = false;
        if (sd_bus_message_is_method_error(reply, NULL))
                bus_lose(b, -sd_bus_message_get_errno(reply));
        else
                bus_watch(b);
        return 0;
}

/* Asks the bus something simple behind what it has not taken. */
static int bus_ask(Bus *b) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(b->bus, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                           "org.freedesktop.DBus", "GetId");
        if (r < 0)
                return r;
        return sd_bus_call_async(b->bus, NULL, m, on_sign_of_life, b, BUS_STALL_USEC);
}

/* While there is something that it has not taken. */
static void bus_watch(Bus *b) {
        if (!b->asked && bus_unsent(b) > 0)
                b->asked = bus_ask(b) >= 0;
}

bool bus_can_send(Bus *b) {
        uint64_t bound = BUS_UNSENT_MAX + (uint64_t) BUS_UNSENT_PER_DEVICE * g_hash_table_size(b->devices);

        if (!b->owned)
                return false;
        if (bus_unsent(b) >= bound) {
                bus_lose(b, -ENOBUFS);
                return false;
        }
        bus_watch(b);
        return true;
}

/* ---- answers ----------------------------------------------------------------------------------------- */

/* What is unsent are the last messages of all, and Bus.sent counts no more than there were. */
static bool answers_are_sent(const Bus *b, const BusAnswers *a) {
        return b->sent - a->last >= bus_unsent(b);
}

/* Makes room if there can be. What is unsent are then Bus.older and Bus.recent at most. */
static bool bus_has_room(Bus *b) {
        if (b->recent.bytes < BUS_ANSWERS_MAX)
                return true;
        if (!answers_are_sent(b, &b->older))
                return false;
        b->older = b->recent;
        b->recent = (BusAnswers) {};
        return true;
}

int bus_answer_begin(Bus *b, sd_bus_error *error) {
        if (b->answering)
                return 0;
        if (!bus_has_room(b))
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                        "Too many answers wait to be read; try again later.");
        b->answering = true;
        b->answer = 0;
        if (sd_bus_message_get_expect_reply(sd_bus_get_current_message(b->bus)) > 0)
                b->sent++;
        b->recent.last = b->sent;
        return 0;
}

static int bus_answer_add(Bus *b, size_t bytes, sd_bus_error *error) {
        b->answer += bytes;
        b->recent.bytes += bytes;
        if (b->answer > BUS_ANSWER_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "The answer would be longer than %u MiB; ask for less at a time.",
                                         BUS_ANSWER_MAX >> 20);
        return 0;
}

int bus_answer_text(Bus *b, sd_bus_message *call, const char *text, sd_bus_error *error) {
        int r;

        r = bus_answer_add(b, strlen(text), error);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, "s", text);
}

int bus_answer_properties(Bus *b, sd_bus_message *reply, size_t n, const char *text, sd_bus_error *error) {
        uint8_t type;
        int r;

        r = sd_bus_message_get_type(reply, &type);
        if (r < 0 || type != SD_BUS_MESSAGE_METHOD_RETURN)
                return r;
        r = bus_answer_begin(b, error);
        if (r < 0)
                return r;
        return bus_answer_add(b, n * BUS_PROPERTY_BYTES + (text ? strlen(text) : 0), error);
}

static int bus_answer_introspect(Bus *b, sd_bus_error *error) {
        int r;

        r = bus_answer_begin(b, error);
        if (r < 0)
                return r;
        return bus_answer_add(b, BUS_INTERFACES_BYTES + g_hash_table_size(b->devices) * BUS_NODE_BYTES, error);
}

/* ---- what comes -------------------------------------------------------------------------------------- */

int bus_on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;

        if (sd_bus_message_is_method_call(m, NULL, NULL) <= 0)
                return 0;
        b->answering = false;
        if (!b->owned)
                return 0;
        if (!bus_can_send(b))
                return 1;
        if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Introspectable", "Introspect") > 0)
                return bus_answer_introspect(b, error);
        return 0;
}
