/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP connection or a serial line, whichever it is. Loop thread. */

#include "devices/modbus/modbus-channel.h"

#include "devices/modbus/modbus-codec.h"

/* ---- the stream's side ------------------------------------------------------------------------------- */

static void stream_connected(Stream *s, void *userdata) {
        ModbusChannel *c = userdata;

        c->handler->connected(c->userdata);
}

static size_t stream_received(Stream *s, const uint8_t *data, size_t size, void *userdata) {
        ModbusChannel *c = userdata;

        return c->handler->received(data, size, c->userdata);
}

static void stream_drained(Stream *s, void *userdata) {
        ModbusChannel *c = userdata;

        c->handler->drained(c->userdata);
}

static void stream_closed(Stream *s, int error, void *userdata) {
        ModbusChannel *c = userdata;

        c->handler->closed(error, c->userdata);
}

static const StreamHandler stream_handler = {
        .connected = stream_connected,
        .received = stream_received,
        .drained = stream_drained,
        .closed = stream_closed,
};

int modbus_channel_connect(ModbusChannel *c, sd_event *event, Resolver *resolver, const Address *address,
                           const StreamOptions *options, const ModbusChannelHandler *handler, void *userdata) {
        *c = (ModbusChannel) { .handler = handler, .userdata = userdata };
        return stream_connect(event, resolver, address, options, "modbus-tcp", &stream_handler, c, &c->stream);
}

int modbus_channel_adopt(ModbusChannel *c, sd_event *event, int fd, const StreamOptions *options,
                         const ModbusChannelHandler *handler, void *userdata) {
        *c = (ModbusChannel) { .handler = handler, .userdata = userdata };
        return stream_adopt(event, fd, options, "modbus-connection", &stream_handler, c, &c->stream);
}

/* ---- the serial line's side -------------------------------------------------------------------------- */

static void serial_opened(Serial *s, void *userdata) {
        ModbusChannel *c = userdata;

        c->handler->connected(c->userdata);
}

static size_t serial_received(Serial *s, const uint8_t *data, size_t size, void *userdata) {
        ModbusChannel *c = userdata;

        return c->handler->received(data, size, c->userdata);
}

static void serial_drained(Serial *s, void *userdata) {
        ModbusChannel *c = userdata;

        c->handler->drained(c->userdata);
}

static void serial_closed(Serial *s, int error, void *userdata) {
        ModbusChannel *c = userdata;

        c->handler->closed(error, c->userdata);
}

static const SerialHandler serial_handler = {
        .opened = serial_opened,
        .received = serial_received,
        .drained = serial_drained,
        .closed = serial_closed,
};

int modbus_channel_open(ModbusChannel *c, sd_event *event, const char *path, const SerialOptions *options,
                        const ModbusChannelHandler *handler, void *userdata) {
        *c = (ModbusChannel) { .handler = handler, .userdata = userdata };
        return serial_open(event, path, options, "modbus-serial", &serial_handler, c, &c->serial);
}

/* ---- both -------------------------------------------------------------------------------------------- */

void modbus_channel_done(ModbusChannel *c) {
        c->stream = stream_free(c->stream);
        c->serial = serial_free(c->serial);
}

int modbus_channel_write(ModbusChannel *c, const void *data, size_t size, uint8_t function) {
        return c->serial ? serial_write_frame(c->serial, data, size, modbus_function_is_echoed(function))
                         : stream_write(c->stream, data, size);
}

bool modbus_channel_hears_itself(const ModbusChannel *c) {
        return c->serial && serial_hears_itself(c->serial);
}

size_t modbus_channel_unsent(const ModbusChannel *c) {
        return c->serial ? serial_unsent(c->serial) : stream_unsent(c->stream);
}

void modbus_channel_set_reading(ModbusChannel *c, bool on) {
        if (c->serial)
                serial_set_reading(c->serial, on);
        else
                stream_set_reading(c->stream, on);
}

void modbus_channel_process(ModbusChannel *c) {
        if (c->serial)
                serial_process(c->serial);
        else
                stream_process(c->stream);
}

void modbus_channel_discard_input(ModbusChannel *c) {
        if (c->serial)
                serial_discard_input(c->serial);
        else
                stream_discard_input(c->stream);
}

const uint8_t *modbus_channel_get_input(const ModbusChannel *c, size_t *ret_size) {
        return c->serial ? serial_get_input(c->serial, ret_size) : stream_get_input(c->stream, ret_size);
}

void modbus_channel_discard_output(ModbusChannel *c) {
        if (c->serial)
                serial_discard_output(c->serial);
}
