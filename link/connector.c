/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a connection attempt needs and a connection does not: the name query, the list of addresses,
 * the descriptor of the address that is being tried, and the deadline. Loop thread. */

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/deadline.h"
#include "link/connector.h"

struct Connector {
        sd_event *event;
        sd_event_source *source; /* of the descriptor; or deferred, to say the error in a later turn */
        Deadline *deadline;      /* of the lookup or of the present address; NULL: none */
        ResolverQuery *query;
        struct addrinfo *list;
        const struct addrinfo *next; /* not yet tried */
        struct sockaddr_un unix_address;
        struct addrinfo unix_info;
        int fd;
        int error;  /* of the first address that failed */
        usec_t end; /* of all together */
        const char *description;
        ConnectorCallback callback;
        void *userdata;
};

/* A loopback port that nobody listens on can be the very one that the kernel picks for our end: TCP then
 * connects the socket to itself, and who tries for ever gets there. */
static bool socket_is_own_peer(int fd) {
        struct sockaddr_storage own = { 0 }, peer = { 0 };
        socklen_t own_size = sizeof(own), peer_size = sizeof(peer);

        if (getsockname(fd, (struct sockaddr *) &own, &own_size) < 0 ||
            getpeername(fd, (struct sockaddr *) &peer, &peer_size) < 0)
                return false;
        return own.ss_family != AF_UNIX && own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

static int socket_connect_result(int fd) {
        int error = 0;
        socklen_t size = sizeof(error);

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                return -errno;
        if (error != 0)
                return -error;
        return socket_is_own_peer(fd) ? -ECONNREFUSED : 0;
}

/* The callback may free c: always the last thing a caller does. */
static void connector_report(Connector *c, int error) {
        c->source = sd_event_source_disable_unref(c->source);
        c->deadline = deadline_free(c->deadline);
        if (error < 0)
                c->fd = safe_close(c->fd);
        c->callback(error, TAKE_FD(c->fd), c->userdata);
}

static int connector_on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int connector_try(Connector *c, const struct addrinfo *info) {
        int r;

        c->fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return -errno;

        /* Also a connection that is there at once shows by becoming writable. */
        if (connect(c->fd, info->ai_addr, info->ai_addrlen) < 0 && errno != EINPROGRESS)
                return -errno;

        r = sd_event_add_io(c->event, &c->source, c->fd, EPOLLOUT, connector_on_writable, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(c->source, c->description);
        return 0;
}

static void connector_give_up_address(Connector *c, int error) {
        c->source = sd_event_source_disable_unref(c->source);
        c->fd = safe_close(c->fd);
        if (c->error == 0)
                c->error = error;
}

/* What is left of the time is shared out evenly, so that one dead address does not hide the next. */
static void connector_share_time(Connector *c) {
        usec_t now = now_usec(CLOCK_MONOTONIC);
        unsigned n = 1;

        if (!c->deadline)
                return;
        for (const struct addrinfo *i = c->next; i; i = i->ai_next)
                n++;
        deadline_set(c->deadline, usec_add(now, usec_sub(c->end, now) / n));
}

/* 0: an attempt is under way. <0: there is no address left; the first one's error. */
static int connector_try_next(Connector *c) {
        while (c->next) {
                const struct addrinfo *info = c->next;
                int r;

                c->next = info->ai_next;
                r = connector_try(c, info);
                if (r >= 0) {
                        connector_share_time(c);
                        return 0;
                }
                connector_give_up_address(c, r);
        }
        return c->error < 0 ? c->error : -ENXIO;
}

static void connector_address_failed(Connector *c, int error) {
        int r;

        connector_give_up_address(c, error);
        r = connector_try_next(c);
        if (r < 0)
                connector_report(c, r);
}

static int connector_on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connector *c = userdata;
        int r;

        r = socket_connect_result(fd);
        if (r < 0)
                connector_address_failed(c, r);
        else
                connector_report(c, 0);
        return 0;
}

static void connector_on_resolved(int error, struct addrinfo *list, void *userdata) {
        Connector *c = userdata;
        int r = error;

        c->query = NULL;
        if (r >= 0) {
                c->list = list;
                c->next = list;
                r = connector_try_next(c);
        }
        if (r < 0)
                connector_report(c, r);
}

static void connector_on_deadline(void *userdata) {
        Connector *c = userdata;

        c->query = resolver_query_cancel(c->query);
        connector_address_failed(c, -ETIMEDOUT);
}

static int connector_on_failed(sd_event_source *source, void *userdata) {
        Connector *c = userdata;

        connector_report(c, c->error);
        return 0;
}

/* Every address failed inside connector_new(), which must not call back. */
static int connector_report_later(Connector *c, int error) {
        c->error = error;
        return sd_event_add_defer(c->event, &c->source, connector_on_failed, c);
}

static int connector_begin(Connector *c, Resolver *resolver, const Address *address) {
        int r;

        if (address->kind == ADDRESS_UNIX) {
                r = address_unix(address->path, &c->unix_address);
                if (r < 0)
                        return r;
                c->unix_info = (struct addrinfo) {
                        .ai_family = AF_UNIX,
                        .ai_addr = (struct sockaddr *) &c->unix_address,
                        .ai_addrlen = sizeof(c->unix_address),
                };
                c->next = &c->unix_info;
        } else {
                r = address_numeric(address->host, address->port, /* passive= */ false, &c->list);
                if (r == -ENXIO && resolver) {
                        if (c->deadline)
                                deadline_set(c->deadline, c->end);
                        return resolver_query(resolver, address->host, address->port, connector_on_resolved,
                                              c, &c->query);
                }
                if (r < 0)
                        return r;
                c->next = c->list;
        }

        r = connector_try_next(c);
        return r < 0 ? connector_report_later(c, r) : 0;
}

int connector_new(sd_event *event, Resolver *resolver, const Address *address, usec_t timeout,
                  const char *description, ConnectorCallback callback, void *userdata, Connector **ret) {
        _cleanup_(connector_freep) Connector *c = NULL;
        int r;

        c = g_new(Connector, 1);
        *c = (Connector) {
                .event = sd_event_ref(event),
                .fd = -EBADF,
                .end = usec_add(now_usec(CLOCK_MONOTONIC), timeout),
                .description = description,
                .callback = callback,
                .userdata = userdata,
        };

        if (c->end != USEC_INFINITY) {
                r = deadline_new(event, description, connector_on_deadline, c, &c->deadline);
                if (r < 0)
                        return r;
        }

        r = connector_begin(c, resolver, address);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

Connector *connector_free(Connector *c) {
        if (!c)
                return NULL;

        c->query = resolver_query_cancel(c->query);
        c->source = sd_event_source_disable_unref(c->source);
        c->deadline = deadline_free(c->deadline);
        c->fd = safe_close(c->fd);
        if (c->list)
                freeaddrinfo(c->list);
        sd_event_unref(c->event);
        g_free(c);
        return NULL;
}
