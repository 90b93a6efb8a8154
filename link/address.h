/* SPDX-License-Identifier: Apache-2.0 */
/* Where a stream goes or listens: tcp:HOST:PORT, tcp:[IPv6]:PORT, unix:PATH, or a host and a port. Plain data. */
#pragma once

#include "base/macros.h"

typedef enum AddressKind { ADDRESS_TCP, ADDRESS_UNIX } AddressKind;

typedef struct Address {
        AddressKind kind;
        char *host;     /* TCP: name or numeric address */
        uint16_t port;
        char *path;     /* unix */
} Address;

int address_parse(const char *text, Address *ret);      /* -EINVAL */
void address_set_tcp(Address *a, const char *host, uint16_t port);
void address_copy(Address *to, const Address *from);
void address_done(Address *a);
bool address_equal(const Address *a, const Address *b);
char *address_format(const Address *a);                 /* `unix:PATH`, `tcp:HOST:PORT`; caller frees */

/* Numeric host and port of a socket's own (peer false) or other end. Caller frees. */
int socket_name(int fd, bool peer, char **ret_host, uint16_t *ret_port);
