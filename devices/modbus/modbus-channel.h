/* SPDX-License-Identifier: Apache-2.0 */
/* What carries frames: a TCP connection or a serial line, whichever it is. Both sides of Modbus use it alike;
 * what stream.h and serial.h say of a function holds for it here. Plain data, embedded in its owner. Loop
 * thread. */
#pragma once

#include "link/serial.h"
#include "link/stream.h"

typedef struct ModbusChannel ModbusChannel;

typedef struct ModbusChannelHandler {
        void (*connected)(void *userdata); /* … or open; not modbus_channel_adopt() */
        size_t (*received)(const uint8_t *data, size_t size, void *userdata);
        /* Nothing is unsent any more: handed to the kernel after it once had not (stream), or left for the
         * wire (serial). */
        void (*drained)(void *userdata);
        void (*closed)(int error, void *userdata);
} ModbusChannelHandler;

/* Zeroed: closed. */
struct ModbusChannel {
        Stream *stream;
        Serial *serial;
        const ModbusChannelHandler *handler;
        void *userdata;
};

int modbus_channel_connect(ModbusChannel *c, sd_event *event, Resolver *resolver, const Address *address,
                           const StreamOptions *options, const ModbusChannelHandler *handler, void *userdata);
int modbus_channel_adopt(ModbusChannel *c, sd_event *event, int fd, const StreamOptions *options,
                         const ModbusChannelHandler *handler, void *userdata);
int modbus_channel_open(ModbusChannel *c, sd_event *event, const char *path, const SerialOptions *options,
                        const ModbusChannelHandler *handler, void *userdata);
/* Closes; the owner may be freed inside any callback after this. */
void modbus_channel_done(ModbusChannel *c);

/* Frames; on a line one, whose function says whether serial_hears_itself() can follow from it. */
int modbus_channel_write(ModbusChannel *c, const void *data, size_t size, uint8_t function);
/* serial_hears_itself() */
bool modbus_channel_hears_itself(const ModbusChannel *c);
size_t modbus_channel_unsent(const ModbusChannel *c);
void modbus_channel_set_reading(ModbusChannel *c, bool on);
void modbus_channel_process(ModbusChannel *c);
void modbus_channel_discard_input(ModbusChannel *c);
const uint8_t *modbus_channel_get_input(const ModbusChannel *c, size_t *ret_size);
/* Gives up what a serial line has not sent; a stream keeps it. */
void modbus_channel_discard_output(ModbusChannel *c);
