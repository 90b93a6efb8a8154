/* SPDX-License-Identifier: Apache-2.0 */
/* Text of addresses and their socket form. No state, any thread. */

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "link/address.h"

#define HOST_MAX 1025 /* bytes with the terminator: NI_MAXHOST */

/* Decimal digits only, at most 65535. */
static int port_parse(const char *text, uint16_t *ret) {
        unsigned port = 0;

        if (!text[0])
                return -EINVAL;
        for (; *text; text++) {
                if (!g_ascii_isdigit(*text))
                        return -EINVAL;
                port = port * 10 + (unsigned) (*text - '0');
                if (port > UINT16_MAX)
                        return -EINVAL;
        }

        *ret = (uint16_t) port;
        return 0;
}

static int tcp_parse(const char *text, Address *ret) {
        const char *host = text, *end;
        uint16_t port;
        int r;

        if (text[0] == '[') {
                host++;
                end = strchr(host, ']');
                if (!end || end[1] != ':')
                        return -EINVAL;
                text = end + 2;
        } else {
                end = strchr(host, ':');
                if (!end)
                        return -EINVAL;
                text = end + 1; /* an IPv6 address without brackets fails at its second colon */
        }
        if (end == host || end - host >= HOST_MAX)
                return -EINVAL;

        r = port_parse(text, &port);
        if (r < 0)
                return r;

        *ret = (Address) {
                .kind = ADDRESS_TCP,
                .host = g_strndup(host, (size_t) (end - host)),
                .port = port,
        };
        return 0;
}

int address_parse(const char *text, Address *ret) {
        if (g_str_has_prefix(text, "tcp:"))
                return tcp_parse(text + strlen("tcp:"), ret);

        if (g_str_has_prefix(text, "unix:")) {
                const char *path = text + strlen("unix:");

                if (!path[0] || strlen(path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
                        return -EINVAL;
                *ret = (Address) { .kind = ADDRESS_UNIX, .path = g_strdup(path) };
                return 0;
        }

        return -EINVAL;
}

void address_set_tcp(Address *a, const char *host, uint16_t port) {
        *a = (Address) { .kind = ADDRESS_TCP, .host = g_strdup(host), .port = port };
}

void address_copy(Address *to, const Address *from) {
        *to = (Address) {
                .kind = from->kind,
                .host = g_strdup(from->host),
                .port = from->port,
                .path = g_strdup(from->path),
        };
}

void address_done(Address *a) {
        g_free(a->host);
        g_free(a->path);
        *a = (Address) { 0 };
}

char *address_format(const Address *a) {
        if (a->kind == ADDRESS_UNIX)
                return g_strdup_printf("unix:%s", a->path);
        if (strchr(a->host, ':'))
                return g_strdup_printf("tcp:[%s]:%u", a->host, a->port);
        return g_strdup_printf("tcp:%s:%u", a->host, a->port);
}

int address_numeric(const char *host, uint16_t port, bool passive, struct addrinfo **ret) {
        const struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
        };
        char service[6];

        (void) g_snprintf(service, sizeof(service), "%u", port);
        switch (getaddrinfo(host, service, &hints, ret)) {
        case 0:
                return 0;
        case EAI_MEMORY:
                return -ENOMEM;
        default:
                return -ENXIO;
        }
}

int address_unix(const char *path, struct sockaddr_un *ret) {
        size_t size = strlen(path);

        if (size >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;

        *ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
        memcpy(ret->sun_path, path, size);
        return 0;
}

bool host_is_loopback(const char *host) {
        struct in_addr v4;
        struct in6_addr v6;

        if (inet_pton(AF_INET, host, &v4) == 1)
                return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
        if (inet_pton(AF_INET6, host, &v6) == 1)
                return IN6_IS_ADDR_LOOPBACK(&v6);
        return g_ascii_strcasecmp(host, "localhost") == 0;
}

int socket_name(int fd, bool peer, char **ret_host, uint16_t *ret_port) {
        struct sockaddr_storage sa = { 0 };
        socklen_t size = sizeof(sa);
        char host[HOST_MAX], service[6];

        if ((peer ? getpeername(fd, (struct sockaddr *) &sa, &size) :
                    getsockname(fd, (struct sockaddr *) &sa, &size)) < 0)
                return -errno;
        if (sa.ss_family != AF_INET && sa.ss_family != AF_INET6)
                return -EAFNOSUPPORT;
        if (getnameinfo((struct sockaddr *) &sa, size, host, sizeof(host), service, sizeof(service),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return -EADDRNOTAVAIL;

        *ret_host = g_strdup(host);
        (void) port_parse(service, ret_port);
        return 0;
}
