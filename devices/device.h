/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of a device type: what it is, and what the gateway offers it. A device knows its host and
 * nothing else of the gateway; it translates one protocol to events and back. Loop thread only; nothing
 * blocks. A new type is one folder below devices/ and a name in -Ddevices=. docs/design.md sections 3 and
 * 4. */
#pragma once

#include <systemd/sd-event.h>

#include "base/conf.h"
#include "base/json.h"
#include "base/log.h"
#include "event/event.h"
#include "link/resolver.h"
#include "link/tap.h"

typedef struct Device Device;
typedef struct DeviceHost DeviceHost; /* its proxy: outlives the run, the engine and a reload */
typedef struct DeviceType DeviceType;

/* Why a state or a link is as it is: one string table for D-Bus, JSON and the journal. */
typedef enum DeviceReason {
        DEVICE_REASON_NONE,
        DEVICE_REASON_CONFIG,           /* the configuration is wrong: no retry helps */
        DEVICE_REASON_NOT_FOUND,        /* no such host, file, line, passed socket */
        DEVICE_REASON_BUSY,             /* somebody else has it */
        DEVICE_REASON_REFUSED,
        DEVICE_REASON_TIMEOUT,
        DEVICE_REASON_LOST,             /* was there, went away */
        DEVICE_REASON_PROTOCOL,         /* the far end does not speak it */
        DEVICE_REASON_IO,
        DEVICE_REASON_INTERNAL,
        DEVICE_REASON_DISABLED,         /* these four: of a state only, and only the host sets them */
        DEVICE_REASON_NO_EVENT_SERVER,
        DEVICE_REASON_NOT_OPERATIONAL,
        DEVICE_REASON_NOT_BLESSED,
        _DEVICE_REASON_MAX,
        _DEVICE_REASON_INVALID = -EINVAL,
} DeviceReason;
DECLARE_STRING_TABLE(device_reason, DeviceReason);
/* Reason of a negative errno, as link/ reports them. */
DeviceReason device_reason_from_errno(int error);

typedef enum DeviceLink {
        DEVICE_LINK_NONE,       /* not running, or nothing to connect to */
        DEVICE_LINK_CONNECTING, /* before the first result of a run */
        DEVICE_LINK_UP,
        DEVICE_LINK_PARTIAL,    /* some units of it */
        DEVICE_LINK_DOWN,
        _DEVICE_LINK_MAX,
        _DEVICE_LINK_INVALID = -EINVAL,
} DeviceLink;
DECLARE_STRING_TABLE(device_link, DeviceLink);
static inline bool device_link_is_bad(DeviceLink link) {
        return link == DEVICE_LINK_DOWN || link == DEVICE_LINK_PARTIAL;
}

/* A status table gives the D-Bus type interface and Describe. Values lie at offset in the device's struct (or
 * in the part's base): uint64_t (counter, gauge, usec), bool, const char * (NULL reads as ""),
 * uint64_t[STATUS_CODES_MAX] (codes: a counter for each code; what is 0 is not shown). */
typedef enum StatusKind { STATUS_COUNTER, STATUS_GAUGE, STATUS_BOOL, STATUS_STRING, STATUS_USEC, STATUS_CODES } StatusKind;
#define STATUS_CODES_MAX 12U
typedef struct StatusField {
        const char *name;       /* D-Bus property, "Transport"; NULL ends the table */
        const char *unit, *help;
        StatusKind kind;
        size_t offset;
        char *(*constant)(const void *conf); /* given: a string of the configuration, the same with or without a run; caller
                                              * frees. offset is not used; EmitsChangedSignal const */
        uint64_t (*compute)(const void *at); /* given: makes the number of what lies at offset when somebody asks */
} StatusField;

/* What people read, write or enable by a name: `gatewayctl values`, `write` and `enable TYPE/NAME/PART`.
 * Subtypes are NULL-terminated, below <prefix>, and begin with "gateway" or "system". Describe hands the
 * list out; clients know no device type. */
typedef enum DevicePointKind {
        /* The last value is the member `value` of the last `in` event's payload, or, where the payload has
         * no such member, the payload. A write registers `out` with {"request_id", "value"} and is done when
         * `answer` came with the same request_id: its `result` is SUCCESS or says what is wrong. answer
         * NULL: `out` is {"value"} and nothing answers. */
        DEVICE_POINT_VALUE,
        /* A part (unit, line): `out` takes true and false. */
        DEVICE_POINT_ENABLE,
        _DEVICE_POINT_KIND_MAX,
        _DEVICE_POINT_KIND_INVALID = -EINVAL,
} DevicePointKind;
DECLARE_STRING_TABLE(device_point_kind, DevicePointKind);
typedef struct DevicePoint {
        DevicePointKind kind;
        const char *name;       /* unique in the device for its kind; levels joined by `/`: "1/temperature" */
        /* NULL: cannot be read, cannot be written, nothing answers. */
        const char *const *in, *const *out, *const *answer;
} DevicePoint;
typedef void (*DevicePointCallback)(const DevicePoint *point, void *userdata); /* borrowed for the call */

/* What a scan looks through. */
typedef struct DeviceScanOptions {
        unsigned from, to;      /* addresses on the link; to 0: all that are usual */
        usec_t timeout;         /* for one of them; 0: as the device waits */
} DeviceScanOptions;

struct DeviceType {
        const char *name;       /* "modbus_master": event subtype, D-Bus path, `type:` */
        const char *interface;  /* "ModbusMaster": suffix of the D-Bus type interface */
        const char *module;     /* hat-gateway's `module:`; NULL: native form only */
        const char *help;       /* one sentence */
        size_t device_size;     /* of a struct whose first member is Device; zeroed before start */
        size_t conf_size;
        const ConfField *conf;
        /* What one field cannot say; may be NULL. */
        void (*verify)(const void *conf, ConfErrors *e);
        /* Serial port, listening address, GPIO line; may be NULL. */
        void (*claims)(const void *conf, ConfClaims *c, ConfErrors *e);

        /* Later device_started() or device_ended(), never inside the call; may query and listen, never waits
         * for the far end. <0: nothing was begun and nothing follows, not even done(). */
        int (*start)(Device *d);
        /* In any state after start, idempotent; device_ended() follows within DEVICE_STOP_USEC, never inside
         * the call. Registers what its specification wants of an ending device before. */
        void (*stop)(Device *d);
        /* Frees the contents, after ended; no callback may follow. */
        void (*done)(Device *d);
        /* Between started and stop() or ended; e is borrowed, its type is below <prefix>/system. */
        void (*event)(Device *d, const Event *e);
        /* The event server's connection is congested, or free again; open at the start. May be NULL. */
        void (*flow)(Device *d, bool open);
        /* May be NULL. 0: links kept; -EOPNOTSUPP: restart me. */
        int (*reconfigure)(Device *d, const void *conf);

        /* Looks for what answers on the device's own link, while no run has it. Tells lines, and later
         * device_scan_ended(), never inside the call. <0: nothing was begun and nothing follows; -ERANGE:
         * not such options. */
        int (*scan_begin)(Device *d, const DeviceScanOptions *options); /* NULL: cannot */
        /* Frees the contents, ended or not; no callback may follow. */
        void (*scan_done)(Device *d);
        size_t scan_size;       /* of a struct whose first member is Device; zeroed before scan_begin */

        /* In the order of the configuration; may be NULL. */
        void (*points)(const void *conf, DevicePointCallback callback, void *userdata);
        /* What hardware of this kind the machine has and who holds it, as one JSON value for people who
         * write a configuration: looks, and changes nothing. runs: the devices of this type that have one.
         * May be NULL. */
        void (*hardware)(JsonWriter *w, const Device *const *runs, size_t n);
        const StatusField *status; /* NULL: none */
        /* Writes members of an object that the caller has opened: what a record of the tap with bytes of the
         * wire says. `Protocol` is a word that names how the bytes are to be read, `Request` whether they
         * come from the side that asks, `Decoded` (where they can be decoded) an object of strings, numbers
         * and arrays of numbers. Trusts no byte. NULL: nothing passes the tap. */
        void (*trace)(const void *conf, const TapRecord *record, JsonWriter *w);

        /* What it is made of: units, lines, connections. part() returns one, borrowed, and the offsets of
         * part_fields are inside that. */
        const char *parts_name; /* D-Bus property, "RemoteDevices"; NULL: none */
        const StatusField *part_fields;
        size_t (*n_parts)(const Device *d);
        const void *(*part)(const Device *d, size_t i);
};

struct Device {
        const DeviceType *type;
        DeviceHost *host;
        const void *conf;       /* conf_size, immutable */
};

extern const DeviceType *const device_types[]; /* NULL-terminated; the build writes it from -Ddevices= */
const DeviceType *device_type_find(const char *name);
const DeviceType *device_type_find_module(const char *module);

/* ---- the host's side: daemon/proxy-host.c, proxy-scan.c; in unit tests tests/unit/fake-host.c -------- */

sd_event *device_get_event(Device *d);
Resolver *device_get_resolver(Device *d);
const LogContext *device_log(const Device *d);  /* for log_context(level, device_log(d), "…") */
LinkTap *device_tap(Device *d);                 /* every frame in and out passes here; outlives the run */
/* The tap keeps so many bytes of what passes; 0: as many as all devices can have. */
void device_set_recorder(Device *d, size_t size);

/* The run has begun: the host registers running true, then delivers the events that waited, inside this
 * call: the last thing a caller does. */
void device_started(Device *d);
/* The run is over, after stop() or by itself; the host calls done() in a later turn. detail (copied, may be
 * NULL): one sentence for people, no secrets. */
void device_ended(Device *d, DeviceReason reason, const char *detail);
/* Edges are logged and shown by the host; unchanged calls cost nothing. */
void device_set_link(Device *d, DeviceLink link, DeviceReason reason, const char *detail);

/* Registers <prefix>/gateway/<subtypes…>; dropped while there is no event server (a device that stops
 * because it went). Copied, ordered; one message a loop turn. subtypes is NULL-terminated. source may be
 * NULL (none). */
void device_register(Device *d, const char *const *subtypes, const Timestamp *source, JsonSpan payload);

/* Last events of <prefix>/system/<subtypes…>, `?` and `*` allowed; n query types. Called back in a later
 * turn, with types below <prefix>/system; error <0: no answer. Dropped by device_ended(). <0: nothing was
 * asked. Events notified after the query was sent are kept by the host and delivered after device_started(),
 * so they win. */
typedef void (*DeviceQueryCallback)(Device *d, int error, const Event *events, size_t n, void *userdata);
int device_query_latest(Device *d, const char *const *const *subtypes, size_t n, DeviceQueryCallback callback, void *userdata);

/* Descriptors that outlive the run: the next one goes on with them, also after a restart of the process
 * where the service manager stores them, until the device is disabled or no longer configured. name: of this
 * device's own. */
/* Takes fd, on success. -EEXIST, -ENOSPC, and -EINVAL, -ENAMETOOLONG: of the name (printable ASCII, no colon). */
int device_store_fd(Device *d, const char *name, int fd);
/* Borrowed, until it is dropped. -ENOENT. */
int device_stored_fd(Device *d, const char *name);
/* Closes all of this device but these; NULL-terminated. */
void device_drop_stored(Device *d, const char *const *but);

/* Inherited listening socket (`listen: fd:NAME`): borrowed, the next run gets it again. -ENOENT: not passed. */
int device_borrow_fd(Device *d, const char *name);

/* One thing that a scan found or does now: a JSON object for whoever asked, of less than 4096 bytes; dropped
 * when nobody reads. */
void device_scan_tell(Device *d, JsonSpan line);
/* As device_ended(); NONE: everything was looked through. The host calls scan_done() in a later turn. */
void device_scan_ended(Device *d, DeviceReason reason, const char *detail);
