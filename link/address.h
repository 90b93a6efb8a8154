/* SPDX-License-Identifier: Apache-2.0 */
/* Where a stream goes or listens: tcp:HOST:PORT, tcp:[IPv6]:PORT, unix:PATH, or a host and a port. Plain
 * data, any thread. */
#pragma once

#include <sys/un.h>

#include "base/macros.h"

struct addrinfo;

typedef enum AddressKind { ADDRESS_TCP, ADDRESS_UNIX } AddressKind;

typedef struct Address {
        AddressKind kind;
        char *host;     /* TCP: name or numeric address */
        uint16_t port;
        char *path;     /* unix: absolute, or relative to what the caller joins it with */
} Address;

/* Port 0 is accepted (listening: the system chooses). -EINVAL: no such form, or an empty host or path. */
int address_parse(const char *text, Address *ret);
void address_set_tcp(Address *a, const char *host, uint16_t port);
void address_copy(Address *to, const Address *from);    /* `to` is overwritten, not freed */
void address_done(Address *a);
char *address_format(const Address *a);                 /* `unix:PATH`, `tcp:HOST:PORT`; caller frees */

/* The socket address of a numeric host, without asking anybody. passive: for listening. *ret:
 * freeaddrinfo(). -ENXIO: a name, which only a Resolver can answer. */
int address_numeric(const char *host, uint16_t port, bool passive, struct addrinfo **ret);
/* -ENAMETOOLONG: beyond what the kernel takes (107 bytes). */
int address_unix(const char *path, struct sockaddr_un *ret);

/* A name other than localhost may lead anywhere. */
bool host_is_loopback(const char *host);

/* Numeric host and port of a TCP socket's own (peer false) or other end. Caller frees. -EAFNOSUPPORT:
 * another kind of socket, -ENOTCONN … as getpeername(2). */
int socket_name(int fd, bool peer, char **ret_host, uint16_t *ret_port);
