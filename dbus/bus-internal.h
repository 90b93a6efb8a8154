/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. bus.c owns the connection, bus-objects.c the tree that is served,
 * bus-signals.c what is sent, bus-operation.c calls whose answer comes later. Loop thread. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/deadline.h"
#include "dbus/bus-property.h"
#include "dbus/bus.h"

#define BUS_DEVICE_ROOT BUS_ROOT_PATH "/device"

/* ---- bounds ---- */
#define BUS_PACE_USEC (100 * USEC_PER_MSEC)      /* between two PropertiesChanged or LinkChanged of one object */
#define BUS_OPERATIONS_MAX 64U                   /* calls that wait for the event server */
#define BUS_UNSENT_PAUSE 256U                    /* messages the bus has not taken: what can wait, waits … */
#define BUS_UNSENT_MAX 1024U                     /* … and beyond this, and … */
#define BUS_UNSENT_PER_DEVICE 8U                 /* … these for each device, the bus is given up */
#define BUS_STALL_USEC (10 * USEC_PER_SEC)       /* and a bus that has not taken something and says nothing for so long */
#define BUS_ANSWERS_MAX (4U << 20)               /* bytes of unsent answers from which on, at twice as many at the latest, none is begun */
#define BUS_ANSWER_MAX (16U << 20)               /* bytes of one answer: dbus-daemon cuts off who sends more than 32 MiB */
#define BUS_PROPERTY_BYTES 40U                   /* a property or a member of a part in an answer, without its text, … */
#define BUS_INTERFACES_BYTES (16U << 10)         /* … the interfaces of an object in that of Introspect, … */
#define BUS_NODE_BYTES 128U                      /* … and one of its nodes, all about */
#define BUS_RETRY_USEC (100 * USEC_PER_MSEC)     /* first try after a loss, then doubled … */
#define BUS_RETRY_MAX_USEC (5 * USEC_PER_SEC)    /* … up to this */
#define BUS_READY_USEC (10 * USEC_PER_SEC)       /* then a silent bus keeps us from being ready no longer */
#define BUS_LINGER_TRIES 6U                      /* how often our own last connection may still have the name */
#define BUS_DRAIN_USEC (500 * USEC_PER_MSEC)     /* at the end */

typedef struct BusDevice BusDevice;
typedef struct BusOperation BusOperation;

/* Changes of a device's properties; those of the manager are GatewayField. */
enum {
        CHANGE_STATE = 1 << 0,
        CHANGE_LINK = 1 << 1,
        CHANGE_ENABLED = 1 << 2,
        CHANGE_RETRY = 1 << 3,
};

/* One proxy as an object. */
struct BusDevice {
        Bus *bus;
        Proxy *proxy;
        char *path;
        unsigned changed;               /* CHANGE_…, for the next tick */
        bool announced;                 /* by InterfacesAdded, on this connection */
        bool listed;                    /* in Bus.dirty */
        DeviceLink link_sent;           /* `new` of the last LinkChanged */
        usec_t link_sent_at;            /* CLOCK_MONOTONIC; 0: never */
        bool link_pending;              /* an edge waits for its turn */
        uint64_t links_omitted;
};

/* A type interface: Device.ModbusMaster. */
typedef struct BusType {
        Bus *bus;
        const DeviceType *type;
        char *interface;
        sd_bus_vtable *vtable;
} BusType;

/* Answers that were sent one after the other. */
typedef struct BusAnswers {
        size_t bytes;
        uint64_t last;                  /* Bus.sent, with the last of them */
} BusAnswers;

struct Bus {
        sd_event *event;
        Gateway *gateway;               /* NULL: only the shape is served, for introspection */
        const BusHandler *handler;
        void *userdata;

        char *address;
        sd_bus *bus;
        bool owned;                     /* the name is ours, signals may be sent */
        bool lost;                      /* Bus.bus is of no use any more, taken away by the next try */
        bool complained;                /* the present trouble has been logged */
        bool ready;                     /* said so */
        usec_t retry;                   /* next delay */
        unsigned lingering;             /* tries left; set when we hung up, which a bus that hung notices late */
        Deadline *connect, *patience;

        sd_bus_vtable *manager_vtable, *device_vtable;
        GPtrArray *types;               /* BusType, owned */
        GHashTable *devices;            /* Proxy → BusDevice, owned */
        GPtrArray *dirty;               /* BusDevice, borrowed */
        unsigned changed;               /* GatewayField, of the manager, for the next tick */
        usec_t ticked;                  /* CLOCK_MONOTONIC */
        Deadline *tick;
        BusOperation *operations;
        unsigned n_operations;

        uint64_t sent;                  /* messages on this connection, those that we know of */
        BusAnswers older, recent;
        bool answering;                 /* the present call: its answer has begun … */
        size_t answer;                  /* … and has so many bytes */
        bool asked;                     /* the bus, for a sign of life */
        char *hardware;                 /* last answer of ListHardware, for all who ask at the same time */
        const DeviceType *hardware_type;
        usec_t hardware_at;             /* CLOCK_MONOTONIC */
};

/* ---- bus.c ---- */
/* The connection is of no use: closes it in a later turn and tries again. error: 0 or negative, for the
 * log. */
void bus_lose(Bus *b, int error);
/* Signals may be sent from now on: everything is announced. */
void bus_begin(Bus *b);

/* ---- bus-objects.c ---- */
void bus_objects_init(Bus *b);
void bus_objects_done(Bus *b);
/* Serves the tree on a connection, until that is freed. */
int bus_objects_serve(Bus *b, sd_bus *bus);
BusDevice *bus_device_get(const Bus *b, const Proxy *p);
/* Finder: the BusDevice of a device path, of one type (NULL: of any). 1 found, 0 not, <0 error. */
int bus_device_find(Bus *b, const DeviceType *type, const char *path, void **ret);

/* ---- bus-manager.c, bus-device.c, bus-type.c ---- */
extern const BusProperty manager_properties[];  /* of a Gateway */
extern const BusProperty device_properties[];   /* of a BusDevice */
sd_bus_vtable *manager_vtable_new(void);
sd_bus_vtable *device_vtable_new(void);
/* NULL: the type has nothing to show. */
BusType *bus_type_new(Bus *b, const DeviceType *type);
BusType *bus_type_free(BusType *t);
/* The members of its interface, in an object that the caller has opened. */
void bus_type_write(JsonWriter *w, const DeviceType *type, const ProxyView *view, const Device *device);
bool bus_type_shows(const DeviceType *type);

/* ---- bus-describe.c: JSON text, caller frees ---- */
char *bus_describe_device(const BusDevice *d);
char *bus_describe_manager(const Bus *b);
char *bus_describe_hardware(const Bus *b, const DeviceType *type); /* one that has the hook */

/* ---- bus-unsent.c ---- */
uint64_t bus_unsent(const Bus *b);      /* messages */
/* Whether what cannot wait may be sent. Gives up a bus that takes nothing. */
bool bus_can_send(Bus *b);
/* Filter of what comes. */
int bus_on_message(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* Before an answer is made whose length the configuration or the machine decides. Fails with LimitsExceeded
 * while too much is unsent. */
int bus_answer_begin(Bus *b, sd_bus_error *error);
/* Sends it. Fails with LimitsExceeded when it is too long. */
int bus_answer_text(Bus *b, sd_bus_message *call, const char *text, sd_bus_error *error);
/* The same two failures, before n properties or members of parts, one of them with text (may be NULL), are
 * added to a message. A signal has none of it. */
int bus_answer_properties(Bus *b, sd_bus_message *reply, size_t n, const char *text, sd_bus_error *error);

/* ---- bus-signals.c ---- */
int bus_signals_init(Bus *b);
void bus_signals_done(Bus *b);
/* What waits for a tick is sent now. */
void bus_signals_flush(Bus *b);
/* Nothing that was sent counts any more. */
void bus_signals_reset(Bus *b);

/* ---- bus-operation.c ---- */
/* Asks the event server and answers the call later. Returns what a method handler returns. */
int bus_operation_enable(BusDevice *d, sd_bus_message *call, bool enable, sd_bus_error *error);
/* Asks for a copy of all events; fd: the caller's. */
int bus_operation_export(Bus *b, sd_bus_message *call, int fd, sd_bus_error *error);
void bus_operations_cancel(Bus *b);
