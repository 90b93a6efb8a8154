/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the file, and what a made-up TCP connection has sent so far. */
#include "tools/pcap.h"

#include <errno.h>
#include <stdio.h>

#define MAGIC 0xa1b2c3d4U               /* times in microseconds, numbers in our byte order */
#define SNAP_MAX 65535U
#define LINKTYPE_RAW 101U               /* begins with an IP header */
#define LINKTYPE_UPPER_PDU 252U
#define IP_SIZE 20U
#define TCP_SIZE 20U
#define PROTOCOL_TCP 6U
#define TCP_PUSH_ACK 0x18U
#define GATEWAY 0xc0000201U             /* 192.0.2.1, for documentation: the true addresses are not known */
#define FAR_END 0xc0000202U
#define CLIENT_PORT 49152U              /* the first one; a connection's number is added */
#define CLIENT_PORTS 16384U
#define HEADER_MAX 64U

enum { /* of an exported PDU */
        TAG_END = 0,
        TAG_DISSECTOR = 12,
        TAG_PORT_TYPE = 24,
        TAG_SOURCE_PORT = 25,
        TAG_DESTINATION_PORT = 26,
        PORT_TYPE_TCP = 2,
};

struct Pcap {
        FILE *file;
        PcapKind kind;
        uint16_t port;
        char *dissector;
        GHashTable *connections; /* number → Connection, owned */
};

/* Next sequence numbers of both sides. */
typedef struct Connection {
        uint32_t client, server;
} Connection;

/* ---- bytes, big-endian ------------------------------------------------------------------------------- */

typedef struct Header {
        uint8_t data[HEADER_MAX];
        size_t size;
} Header;

static void put16(Header *h, unsigned value) {
        g_assert(h->size + 2 <= sizeof(h->data));
        h->data[h->size++] = (uint8_t) (value >> 8);
        h->data[h->size++] = (uint8_t) value;
}

static void put32(Header *h, uint32_t value) {
        put16(h, value >> 16);
        put16(h, value & 0xffff);
}

static uint32_t sum16(const uint8_t *data, size_t size) {
        uint32_t sum = 0;

        for (size_t i = 0; i < size; i++)
                sum += i % 2 == 0 ? (uint32_t) data[i] << 8 : data[i];
        return sum;
}

static uint16_t checksum(uint32_t sum) {
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t) ~sum;
}

/* ---- headers ----------------------------------------------------------------------------------------- */

static Connection *pcap_connection(Pcap *p, uint32_t number) {
        Connection *c = g_hash_table_lookup(p->connections, GUINT_TO_POINTER(number));

        if (!c) {
                c = g_new(Connection, 1);
                *c = (Connection) { .client = 1, .server = 1 };
                g_hash_table_insert(p->connections, GUINT_TO_POINTER(number), c);
        }
        return c;
}

static uint16_t client_port(uint32_t connection) {
        return (uint16_t) (CLIENT_PORT + connection % CLIENT_PORTS);
}

static void make_ip(const PcapPacket *k, Header *ret) {
        uint16_t sum;

        *ret = (Header) {};
        put16(ret, 0x4500); /* version 4, a header of 5 words */
        put16(ret, (unsigned) (IP_SIZE + TCP_SIZE + k->size));
        put32(ret, 0x4000); /* no fragments */
        put16(ret, 64 << 8 | PROTOCOL_TCP);
        put16(ret, 0);
        put32(ret, k->sent ? GATEWAY : FAR_END);
        put32(ret, k->sent ? FAR_END : GATEWAY);
        sum = checksum(sum16(ret->data, ret->size));
        ret->data[10] = (uint8_t) (sum >> 8);
        ret->data[11] = (uint8_t) sum;
}

static void add_tcp(Pcap *p, const PcapPacket *k, Header *h) {
        Connection *c = pcap_connection(p, k->connection);
        uint32_t *ours = k->request ? &c->client : &c->server;
        uint16_t client = client_port(k->connection), sum;

        put16(h, k->request ? client : p->port);
        put16(h, k->request ? p->port : client);
        put32(h, *ours);
        put32(h, k->request ? c->server : c->client);
        put16(h, (TCP_SIZE / 4) << 12 | TCP_PUSH_ACK);
        put16(h, UINT16_MAX); /* window */
        put32(h, 0);
        sum = checksum(sum16(h->data + IP_SIZE, TCP_SIZE) + sum16(k->data, k->size) + sum16(h->data + 12, 8) +
                       PROTOCOL_TCP + TCP_SIZE + (uint32_t) k->size);
        h->data[IP_SIZE + 16] = (uint8_t) (sum >> 8);
        h->data[IP_SIZE + 17] = (uint8_t) sum;
        *ours += (uint32_t) k->size;
}

static void add_tag(Header *h, unsigned tag, const void *data, size_t size) {
        size_t padded = (size + 3) & ~(size_t) 3;

        put16(h, tag);
        put16(h, (unsigned) padded);
        g_assert(h->size + padded <= sizeof(h->data));
        memcpy(h->data + h->size, data, size);
        h->size += padded; /* zeroes */
}

static void add_tag32(Header *h, unsigned tag, uint32_t value) {
        const uint8_t data[] = { (uint8_t) (value >> 24), (uint8_t) (value >> 16), (uint8_t) (value >> 8), (uint8_t) value };

        add_tag(h, tag, data, sizeof(data));
}

static void make_tags(const Pcap *p, const PcapPacket *k, Header *ret) {
        uint16_t client = client_port(k->connection);

        *ret = (Header) {};
        add_tag(ret, TAG_DISSECTOR, p->dissector, strlen(p->dissector));
        add_tag32(ret, TAG_PORT_TYPE, PORT_TYPE_TCP);
        add_tag32(ret, TAG_SOURCE_PORT, k->request ? client : p->port);
        add_tag32(ret, TAG_DESTINATION_PORT, k->request ? p->port : client);
        add_tag(ret, TAG_END, "", 0);
}

/* ---- file -------------------------------------------------------------------------------------------- */

static int pcap_put(Pcap *p, const void *data, size_t size) {
        return size == 0 || fwrite(data, size, 1, p->file) == 1 ? 0 : errno > 0 ? -errno : -EIO;
}

static int pcap_flush(Pcap *p) {
        return fflush(p->file) == 0 ? 0 : -errno;
}

int pcap_open(const char *path, PcapKind kind, uint16_t port, const char *dissector, Pcap **ret) {
        const struct {
                uint32_t magic;
                uint16_t major, minor;
                uint32_t zone, accuracy, snap, link;
        } header = { MAGIC, 2, 4, 0, 0, SNAP_MAX, kind == PCAP_TCP ? LINKTYPE_RAW : LINKTYPE_UPPER_PDU };
        FILE *file = streq(path, "-") ? stdout : fopen(path, "we");
        Pcap *p;
        int r;

        if (!file)
                return -errno;
        p = g_new(Pcap, 1);
        *p = (Pcap) {
                .file = file,
                .kind = kind,
                .port = port,
                .dissector = g_strdup(dissector),
                .connections = g_hash_table_new_full(NULL, NULL, NULL, g_free),
        };
        r = pcap_put(p, &header, sizeof(header));
        if (r >= 0)
                r = pcap_flush(p);
        if (r < 0) {
                (void) pcap_close(p);
                return r;
        }
        *ret = p;
        return 0;
}

int pcap_write(Pcap *p, const PcapPacket *k) {
        struct {
                uint32_t sec, usec, captured, original;
        } header;
        Header h;
        int r;

        if (p->kind == PCAP_TCP) {
                make_ip(k, &h);
                add_tcp(p, k, &h);
        } else
                make_tags(p, k, &h);

        header.sec = (uint32_t) (k->time / USEC_PER_SEC);
        header.usec = (uint32_t) (k->time % USEC_PER_SEC);
        header.captured = header.original = (uint32_t) (h.size + k->size);
        r = pcap_put(p, &header, sizeof(header));
        if (r >= 0)
                r = pcap_put(p, h.data, h.size);
        if (r >= 0)
                r = pcap_put(p, k->data, k->size);
        return r >= 0 ? pcap_flush(p) : r;
}

int pcap_close(Pcap *p) {
        int r = 0;

        if (!p)
                return 0;
        if (p->file != stdout && fclose(p->file) != 0)
                r = -errno;
        g_hash_table_unref(p->connections);
        g_free(p->dissector);
        g_free(p);
        return r;
}
