/* SPDX-License-Identifier: Apache-2.0 */
/* A capture file of the old format, with times in microseconds, for Wireshark and the like. What went over
 * TCP becomes IP packets of a made-up connection; what has no frame of its own (a serial line's) becomes
 * exported PDUs. No state but the file's. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

typedef struct Pcap Pcap;

/* How the bytes of a protocol stand in a capture. */
typedef enum PcapKind {
        PCAP_TCP,       /* in TCP segments */
        PCAP_PDU,       /* as they are, for a dissector of their own */
} PcapKind;

typedef struct PcapPacket {
        usec_t time;            /* CLOCK_REALTIME */
        uint32_t connection;
        bool request;           /* from the side that asks: the client of a connection */
        bool sent;              /* by the gateway: 192.0.2.1; the far end is 192.0.2.2 */
        const uint8_t *data;
        size_t size;
} PcapPacket;

/* path "-": standard output. port: of the server, by which a dissector is found; dissector: PCAP_PDU, its
 * name. -errno. */
int pcap_open(const char *path, PcapKind kind, uint16_t port, const char *dissector, Pcap **ret);
/* The packet is in the file when this returns. -errno. */
int pcap_write(Pcap *p, const PcapPacket *k);
/* NULL is fine. -errno: what was written may not be there. */
int pcap_close(Pcap *p);
