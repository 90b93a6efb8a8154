/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of loopback.h. No state. */

#include "tests/bench/loopback.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include "base/macros.h"

static struct sockaddr_in loopback_address(uint16_t port) {
        return (struct sockaddr_in) {
                .sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

static void set_option(int fd, int level, int option) {
        (void) setsockopt(fd, level, option, &(int) { 1 }, sizeof(int));
}

int loopback_listen(uint16_t *port) {
        _cleanup_(safe_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = loopback_address(*port);
        socklen_t size = sizeof(address);

        if (fd < 0)
                return -errno;
        set_option(fd, SOL_SOCKET, SO_REUSEADDR);
        if (bind(fd, (struct sockaddr *) &address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
            getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return -errno;

        *port = ntohs(address.sin_port);
        return TAKE_FD(fd);
}

int loopback_connect(uint16_t port) {
        _cleanup_(safe_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = loopback_address(port);

        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
        return TAKE_FD(fd);
}

int loopback_accept(int listener) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                return -errno;
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
        return fd;
}

uint64_t monotonic_ns(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * UINT64_C(1000000000) + (uint64_t) t.tv_nsec;
}
