/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a listening descriptor (for an inherited socket a duplicate), its event source, and the file of a
 * unix socket that it made. Loop thread. */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/deadline.h"
#include "base/log.h"
#include "link/listener.h"

#define ACCEPTS_PER_TURN 16
#define REST_USEC (100 * USEC_PER_MSEC)
#define UNIX_MODE 0660

struct Listener {
        Listener *next; /* of the process */
        int fd;
        sd_event_source *source;
        Deadline *rest; /* set while accepting rests */
        bool complained; /* since everybody who waited was accepted */
        const char *description;
        ListenerAccept accept;
        void *userdata;
        bool *freed; /* set while accept() runs */
        char *path;  /* the file to remove, with what it was when we made it */
        dev_t device;
        ino_t inode;
};

/* All of the process. */
static Listener *listeners;

/* The connection failed before it was accepted (accept(2)); the listening socket is well. */
static bool error_is_of_connection(int error) {
        switch (error) {
        case ECONNABORTED:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case EINTR:
        case ENETDOWN:
        case ENETUNREACH:
        case ENONET:
        case ENOPROTOOPT:
        case EOPNOTSUPP:
        case EPERM:
        case EPROTO:
        case ETIMEDOUT:
                return true;
        default:
                return false;
        }
}

/* Out of descriptors or memory, or the socket was spoiled by somebody else: the kernel would wake us
 * without end. */
static void listener_rest(Listener *l, int error) {
        if (!l->complained)
                (void) log_warning_errno(-error, "%s: cannot accept connections, will try again: %m",
                                         l->description);
        l->complained = true;
        (void) sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
        deadline_set_relative(l->rest, REST_USEC);
}

static void listener_on_rested(void *userdata) {
        Listener *l = userdata;

        (void) sd_event_source_set_enabled(l->source, SD_EVENT_ON);
}

static int listener_on_connection(sd_event_source *source, int listening_fd, uint32_t revents,
                                  void *userdata) {
        Listener *l = userdata;
        bool freed = false;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                int fd;

                fd = accept4(listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) {
                        if (error_is_of_connection(errno))
                                continue;
                        if (errno == EAGAIN)
                                l->complained = false;
                        else
                                listener_rest(l, errno);
                        return 0;
                }

                l->freed = &freed;
                l->accept(l, fd, l->userdata);
                if (freed)
                        return 0;
                l->freed = NULL;
        }
        return 0;
}

/* Takes fd over in any case. */
static int listener_new(sd_event *event, int fd, const char *description, ListenerAccept accept,
                        void *userdata, Listener **ret) {
        _cleanup_(listener_freep) Listener *l = NULL;
        int r;

        l = g_new(Listener, 1);
        *l = (Listener) { .fd = fd, .description = description, .accept = accept, .userdata = userdata };

        r = sd_event_add_io(event, &l->source, fd, EPOLLIN, listener_on_connection, l);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(l->source, description);

        /* Made now: without descriptors it could not be. */
        r = deadline_new(event, description, listener_on_rested, l, &l->rest);
        if (r < 0)
                return r;

        l->next = listeners;
        listeners = l;
        *ret = TAKE_PTR(l);
        return 0;
}

/* -EADDRINUSE: somebody listens, or it is no socket. */
static int unix_remove_stale(const struct sockaddr_un *sa, socklen_t size) {
        _cleanup_(safe_closep) int fd = -EBADF;
        struct stat st;

        if (lstat(sa->sun_path, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EADDRINUSE;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) sa, size) >= 0 || errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(sa->sun_path) < 0 ? -errno : 0;
}

static int unix_bind(int fd, const struct sockaddr_un *sa, socklen_t size) {
        int r;

        if (bind(fd, (const struct sockaddr *) sa, size) < 0) {
                if (errno != EADDRINUSE)
                        return -errno;
                r = unix_remove_stale(sa, size);
                if (r < 0)
                        return r;
                if (bind(fd, (const struct sockaddr *) sa, size) < 0)
                        return -errno;
        }

        /* Nobody can connect before listen(). */
        return chmod(sa->sun_path, UNIX_MODE) < 0 ? -errno : 0;
}

static int tcp_bind(int fd, const struct sockaddr *sa, socklen_t size) {
        const int on = 1;

        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return -errno;
        if (sa->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                return -errno;
        return bind(fd, sa, size) < 0 ? -errno : 0;
}

static void listener_remember_file(Listener *l, const char *path) {
        struct stat st;

        if (lstat(path, &st) < 0)
                return;
        l->path = g_strdup(path);
        l->device = st.st_dev;
        l->inode = st.st_ino;
}

static void listener_remove_file(Listener *l) {
        struct stat st;

        if (l->path && lstat(l->path, &st) >= 0 && st.st_dev == l->device && st.st_ino == l->inode)
                (void) unlink(l->path);
        g_free(l->path);
}

int listener_open_sockaddr(sd_event *event, const struct sockaddr *sa, socklen_t size,
                           const char *description, ListenerAccept accept, void *userdata, Listener **ret) {
        _cleanup_(safe_closep) int fd = -EBADF;
        Listener *l;
        int r;

        fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;

        if (sa->sa_family == AF_UNIX)
                r = unix_bind(fd, (const struct sockaddr_un *) sa, size);
        else
                r = tcp_bind(fd, sa, size);
        if (r < 0)
                return r;
        if (listen(fd, SOMAXCONN) < 0)
                return -errno;

        r = listener_new(event, TAKE_FD(fd), description, accept, userdata, &l);
        if (r < 0)
                return r;
        if (sa->sa_family == AF_UNIX)
                listener_remember_file(l, ((const struct sockaddr_un *) sa)->sun_path);

        *ret = l;
        return 0;
}

int listener_open(sd_event *event, const Address *address, const char *description, ListenerAccept accept,
                  void *userdata, Listener **ret) {
        struct sockaddr_un sun;
        struct addrinfo *list;
        int r;

        if (address->kind == ADDRESS_UNIX) {
                r = address_unix(address->path, &sun);
                if (r < 0)
                        return r;
                return listener_open_sockaddr(event, (struct sockaddr *) &sun, sizeof(sun), description,
                                              accept, userdata, ret);
        }

        r = address_numeric(address->host, address->port, /* passive= */ true, &list);
        if (r < 0)
                return r;
        r = listener_open_sockaddr(event, list->ai_addr, list->ai_addrlen, description, accept, userdata,
                                   ret);
        freeaddrinfo(list);
        return r;
}

int listener_borrow(sd_event *event, int fd, const char *description, ListenerAccept accept, void *userdata,
                    Listener **ret) {
        _cleanup_(safe_closep) int duplicate = -EBADF;
        int r;

        duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (duplicate < 0)
                return -errno;
        r = fd_set_nonblocking(duplicate);
        if (r < 0)
                return r;
        return listener_new(event, TAKE_FD(duplicate), description, accept, userdata, ret);
}

static void listener_unlink(const Listener *l) {
        for (Listener **at = &listeners; *at; at = &(*at)->next)
                if (*at == l) {
                        *at = l->next;
                        return;
                }
}

Listener *listener_free(Listener *l) {
        if (!l)
                return NULL;

        listener_unlink(l);
        if (l->freed)
                *l->freed = true;
        l->rest = deadline_free(l->rest);
        l->source = sd_event_source_disable_unref(l->source);
        listener_remove_file(l);
        l->fd = safe_close(l->fd);
        g_free(l);
        return NULL;
}

int listener_get_fd(const Listener *l) {
        return l->fd;
}

/* ---- whether it is us -------------------------------------------------------------------------------- */

/* IPv4 in IPv6. */
typedef struct Endpoint {
        struct in6_addr host;
        in_port_t port;
} Endpoint;

static bool endpoint_of(const struct sockaddr *sa, Endpoint *ret) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) (const void *) sa;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) (const void *) sa;

        switch (sa->sa_family) {
        case AF_INET:
                *ret = (Endpoint) { .port = in->sin_port };
                ret->host.s6_addr[10] = ret->host.s6_addr[11] = 0xff;
                memcpy(&ret->host.s6_addr[12], &in->sin_addr, sizeof(in->sin_addr));
                return true;
        case AF_INET6:
                *ret = (Endpoint) { in6->sin6_addr, in6->sin6_port };
                return true;
        default:
                return false;
        }
}

static bool listener_covers(const Listener *l, const Endpoint *e) {
        static const struct in6_addr any4 = { .s6_addr = { [10] = 0xff, 0xff } };
        struct sockaddr_storage own = {};
        socklen_t size = sizeof(own), int_size = sizeof(int);
        bool v4 = IN6_IS_ADDR_V4MAPPED(&e->host);
        Endpoint listening;
        int v6_only = 0;

        if (getsockname(l->fd, (struct sockaddr *) &own, &size) < 0 ||
            !endpoint_of((const struct sockaddr *) &own, &listening) || listening.port != e->port)
                return false;
        if (memcmp(&listening.host, &e->host, sizeof(e->host)) == 0)
                return true;
        if (v4 && memcmp(&listening.host, &any4, sizeof(any4)) == 0)
                return true;
        if (memcmp(&listening.host, &in6addr_any, sizeof(in6addr_any)) != 0)
                return false;
        return !v4 || (getsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &int_size) >= 0 && !v6_only);
}

/* Only what is this machine's can be bound. */
static bool sockaddr_is_local(const struct sockaddr *sa) {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } any_port = {};
        bool v4 = sa->sa_family == AF_INET;
        socklen_t size = v4 ? sizeof(any_port.in) : sizeof(any_port.in6);
        _cleanup_(safe_closep) int fd = -EBADF;

        memcpy(&any_port, sa, size);
        if (v4)
                any_port.in.sin_port = 0;
        else
                any_port.in6.sin6_port = 0;
        fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && bind(fd, &any_port.sa, size) >= 0;
}

bool listener_is_at(const struct sockaddr *sa) {
        Endpoint e;

        if (!endpoint_of(sa, &e))
                return false;
        for (const Listener *l = listeners; l; l = l->next)
                if (listener_covers(l, &e))
                        return sockaddr_is_local(sa);
        return false;
}
