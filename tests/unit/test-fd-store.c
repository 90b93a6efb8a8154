/* SPDX-License-Identifier: Apache-2.0 */
/* base/fd-store with a service manager that the test plays: a notification socket, and descriptors passed at the start of a child
 * process. Main thread. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/bounds.h"
#include "base/fd-store.h"

/* ---- the service manager ----------------------------------------------------------------------------- */

static int manager = -EBADF;

static void manager_start(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(sa);
        g_autofree char *path = NULL;

        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(manager, >=, 0);
        g_assert_cmpint(bind(manager, (struct sockaddr *) &sa, sizeof(sa_family_t)), ==,
                        0); /* the kernel finds a name */
        g_assert_cmpint(getsockname(manager, (struct sockaddr *) &sa, &size), ==, 0);
        path = g_strdup_printf("@%.*s", (int) (size - sizeof(sa_family_t) - 1), sa.sun_path + 1);
        (void) setenv("NOTIFY_SOCKET", path, 1);
}

/* What it was told last, with the descriptor that came along; NULL: nothing. */
static char *manager_read(int *ret_fd) {
        char text[512], control[CMSG_SPACE(sizeof(int))];
        struct iovec iov = { text, sizeof(text) - 1 };
        struct msghdr m = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(manager, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        int fd = -EBADF;

        if (n < 0)
                return NULL;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (ret_fd)
                *ret_fd = fd;
        else if (fd >= 0)
                (void) safe_close(fd);
        return g_strndup(text, (size_t) n);
}

static void assert_told(const char *text) {
        g_autofree char *told = manager_read(NULL);

        g_assert_cmpstr(told, ==, text);
}

static ino_t file_of(int fd) {
        struct stat s;

        g_assert_cmpint(fstat(fd, &s), ==, 0);
        return s.st_ino;
}

static int memory(void) {
        FILE *f = tmpfile();
        int fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 3);

        fclose(f);
        return fd;
}

static FdStore *store_new(void) {
        _cleanup_(listen_fds_freep) ListenFds *passed = NULL;

        g_assert_cmpint(listen_fds_new(&passed), ==, 0);
        return fd_store_new(passed);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static bool is_b(const char *name, void *userdata) {
        return streq(name, "b");
}

static void test_store(void) {
        _cleanup_(fd_store_freep) FdStore *s = store_new();
        int a = memory(), b = memory(), copy;
        g_autofree char *told = NULL;

        manager_start();
        g_assert_cmpint(fd_store_get(s, "a"), ==, -ENOENT);
        g_assert_cmpint(fd_store_add(s, "a", a), ==, 0);
        told = manager_read(&copy);
        g_assert_cmpstr(told, ==, "FDSTORE=1\nFDNAME=store/a");
        g_assert_cmpuint(file_of(copy), ==, file_of(a));
        (void) safe_close(copy);
        g_assert_cmpint(fd_store_add(s, "b", b), ==, 0);
        assert_told("FDSTORE=1\nFDNAME=store/b");
        g_assert_cmpint(fd_store_get(s, "a"), ==, a);
        g_assert_cmpint(fd_store_get(s, "b"), ==, b);
        g_assert_cmpint(fd_store_add(s, "a", b), ==, -EEXIST);

        fd_store_filter(s, is_b, NULL);
        assert_told("FDSTOREREMOVE=1\nFDNAME=store/a");
        g_assert_cmpint(fd_store_get(s, "a"), ==, -ENOENT);
        g_assert_cmpint(fcntl(a, F_GETFD), <, 0);
        s = fd_store_free(s);
        g_assert_cmpint(fcntl(b, F_GETFD), <, 0);
        assert_told(NULL); /* the next start gets it */
        (void) safe_close(manager);
        (void) unsetenv("NOTIFY_SOCKET");
}

static void test_bounds(void) {
        _cleanup_(fd_store_freep) FdStore *s = store_new();
        g_autofree char *longest = g_strnfill(255 - strlen("store/"), 'n'),
                        *longer = g_strconcat(longest, "n", NULL);
        int fd = memory();

        g_assert_cmpint(fd_store_add(s, "a:b", fd), ==, -EINVAL);
        g_assert_cmpint(fd_store_add(s, "a b", fd), ==, -EINVAL);
        g_assert_cmpint(fd_store_add(s, "\xc3\xa9", fd), ==, -EINVAL);
        g_assert_cmpint(fd_store_add(s, longer, fd), ==, -ENAMETOOLONG);
        g_assert_cmpint(fd_store_add(s, longest, fd), ==, 0); /* also without a service manager */
        for (unsigned i = 1; i < FD_STORE_MAX; i++) {
                g_autofree char *name = g_strdup_printf("%u", i);

                g_assert_cmpint(fd_store_add(s, name, memory()), ==, 0);
        }
        fd = memory();
        g_assert_cmpint(fd_store_add(s, "more", fd), ==, -ENOSPC);
        g_assert_cmpint(fcntl(fd, F_GETFD), >=, 0); /* it stays the caller's */
        (void) safe_close(fd);
}

/* The unit's bound is ours. */
static void test_unit(void) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "units",
                                                      "gatewayd.service.in", NULL);
        g_autofree char *text = NULL, *line = g_strdup_printf("\nFileDescriptorStoreMax=%u\n", FD_STORE_MAX);

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_nonnull(strstr(text, line));
}

/* As after a restart: what was stored is passed beside a socket, which stays where it was. */
static void child_passed(void) {
        _cleanup_(listen_fds_freep) ListenFds *passed = NULL;
        _cleanup_(fd_store_freep) FdStore *s = NULL;
        g_autofree char *pid = g_strdup_printf("%d", (int) getpid());
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int listening = socket(AF_UNIX, SOCK_STREAM, 0);
        ino_t first;

        g_assert_cmpint(bind(listening, (struct sockaddr *) &sa, sizeof(sa_family_t)), ==, 0);
        g_assert_cmpint(listen(listening, 1), ==, 0);
        listening = dup2(listening, 100);
        g_assert_cmpint(dup2(memory(), 101), ==, 101);
        g_assert_cmpint(dup2(memory(), 102), ==, 102);
        first = file_of(101);
        g_assert_cmpint(dup2(101, 3), ==, 3);
        g_assert_cmpint(dup2(listening, 4), ==, 4);
        g_assert_cmpint(dup2(102, 5), ==, 5);
        (void) setenv("LISTEN_PID", pid, 1);
        (void) setenv("LISTEN_FDS", "3", 1);
        (void) setenv("LISTEN_FDNAMES", "store/gpio/panel/gpiochip0/5:modbus:store/gone", 1);

        manager_start();
        g_assert_cmpint(listen_fds_new(&passed), ==, 0);
        s = fd_store_new(passed);
        g_assert_cmpint(fd_store_get(s, "gpio/panel/gpiochip0/5"), ==, 3);
        g_assert_cmpuint(file_of(3), ==, first);
        g_assert_cmpint(fd_store_get(s, "gone"), ==, 5);
        g_assert_cmpint(listen_fds_get(passed, "modbus"), ==, 4);
        listen_fds_close_unknown(passed, (const char *const[]){ "modbus", NULL });
        g_assert_cmpint(fcntl(3, F_GETFD), >=, 0);
        assert_told(NULL); /* the service manager has them already */
        g_assert_cmpint(fd_store_add(s, "gone", 6), ==, -EEXIST);
        s = fd_store_free(s);
        g_assert_cmpint(fcntl(3, F_GETFD), <, 0);
        g_assert_cmpint(fcntl(4, F_GETFD), >=, 0);
}

static void test_passed(void) {
        int status;
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                child_passed();
                _exit(0);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/fd-store/store", test_store);
        g_test_add_func("/fd-store/bounds", test_bounds);
        g_test_add_func("/fd-store/unit", test_unit);
        g_test_add_func("/fd-store/passed", test_passed);
        return g_test_run();
}
