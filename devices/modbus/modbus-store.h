/* SPDX-License-Identifier: Apache-2.0 */
/* What a slave offers (spec modbus.md 2.5, 6.2, 6.7 to 6.9): which registers exist, their bits, and which
 * data items a write touches. Writes never change what is stored; only data events do. Pure: no events, no
 * clock, no allocation after modbus_store_new(). Any one thread. */
#pragma once

#include "devices/modbus/modbus-conf.h"
#include "event/event.h"

typedef struct ModbusStore ModbusStore;
typedef struct ModbusStoreItem ModbusStoreItem;

/* Every register of the data exists, all bits are 0. data: verified, outlives the store; its order is the
 * order of items in writes. */
ModbusStore *modbus_store_new(const ModbusSlaveData *data, size_t n);
ModbusStore *modbus_store_free(ModbusStore *s);
DEFINE_CLEANUP(ModbusStore, modbus_store_free);

/* Unit ids that are served: those of the data, 1 to 255. */
const ModbusUnits *modbus_store_units(const ModbusStore *s);

/* Stores a data item's value. -ENOENT: no such name, -EBADMSG: not of its type (without one: not an integer
 * token), -ERANGE: does not fit (without a type: not within 0 … 2^bit_count - 1), or lies outside min and
 * max. */
int modbus_store_set(ModbusStore *s, Subtype name, JsonSpan value);

/* A read that modbus_request_parse() accepted. MODBUS_SUCCESS: ret_data (at most 250 bytes) is what the
 * response carries; MODBUS_INVALID_DATA_ADDRESS: some addressed register does not exist, or a FIFO. */
ModbusResult modbus_store_read(const ModbusStore *s, uint8_t unit, const ModbusPdu *request,
                               uint8_t *ret_data, uint8_t *ret_size);

/* A write laid over the stored bits, and the data items it touches, one after another. */
typedef struct ModbusStoreWrite {
        const ModbusStoreItem *item;    /* the next one */
        const void *area;
        size_t offset, n_bits;          /* what is written, in bits of the area */
        bool masked;                    /* only bits that are set in `affected` count as written */
        uint8_t affected[2];
        uint8_t bits[2 * MODBUS_WRITE_REGISTERS_MAX]; /* new ones, as a bit string */
} ModbusStoreWrite;

/* 05, 06, 0f, 10 or 16, accepted by modbus_request_parse(). MODBUS_INVALID_DATA_ADDRESS as above;
 * MODBUS_INVALID_DATA_VALUE: it would make a value that modbus_store_set() refuses. Valid until data are set. */
ModbusResult modbus_store_write(const ModbusStore *s, uint8_t unit, const ModbusPdu *request,
                                ModbusStoreWrite *ret);
/* The next data item that shares a bit with what is written (6.8; mask write 6.9), in configuration order;
 * NULL: no more. */
const ModbusStoreItem *modbus_store_write_next(ModbusStoreWrite *w);
const char *modbus_store_item_name(const ModbusStoreItem *item);
/* The item's value as the write would make it, of its type; without one a JSON integer. */
void modbus_store_item_write_json(const ModbusStoreItem *item, const ModbusStoreWrite *w, JsonWriter *json);
