/* SPDX-License-Identifier: Apache-2.0 */
/* base/sd: descriptors passed as by the service manager. Each case is a child process, because they start
 * at 3. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <config.h>

#include "base/sd.h"

static int listening_socket(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX }; /* no name: the kernel chooses an abstract one */
        int fd;

        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sa, sizeof(sa_family_t)), ==, 0);
        g_assert_cmpint(listen(fd, 1), ==, 0);
        return fd;
}

/* Puts the descriptors at 3 and the following ones, as execve() would find them. */
static void pass(const int *fds, size_t n, const char *names) {
        char number[16];

        for (size_t i = 0; i < n; i++) /* out of the way first */
                g_assert_cmpint(dup2(fds[i], (int) (100 + i)), >=, 0);
        for (size_t i = 0; i < n; i++)
                g_assert_cmpint(dup2((int) (100 + i), (int) (3 + i)), >=, 0);
        (void) g_snprintf(number, sizeof(number), "%d", (int) getpid());
        (void) setenv("LISTEN_PID", number, 1);
        (void) g_snprintf(number, sizeof(number), "%zu", n);
        (void) setenv("LISTEN_FDS", number, 1);
        if (names)
                (void) setenv("LISTEN_FDNAMES", names, 1);
}

static void in_child(void (*func)(void)) {
        int status;
        pid_t pid;

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                func();
                _exit(0);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

static void child_adopt(void) {
        static const char *const used[] = { "modbus", "datagram", "other", NULL };
        _cleanup_(listen_fds_freep) ListenFds *l = NULL;
        int fds[5];

        fds[0] = listening_socket();
        fds[1] = socket(AF_UNIX, SOCK_DGRAM, 0);
        fds[2] = listening_socket();
        fds[3] = listening_socket();
        fds[4] = open("/dev/null", O_RDONLY);
        pass(fds, ELEMENTSOF(fds), "modbus:datagram:modbus:stale:");

        g_assert_cmpint(listen_fds_new(&l), ==, 0);
        g_assert_null(getenv("LISTEN_FDS"));
        g_assert_null(getenv("LISTEN_FDNAMES"));

        g_assert_cmpint(listen_fds_get(l, "modbus"), ==, 3);
        g_assert_cmpint(fcntl(3, F_GETFD) & FD_CLOEXEC, !=, 0);
        g_assert_cmpint(fcntl(3, F_GETFL) & O_NONBLOCK, !=, 0);
        g_assert_cmpint(listen_fds_get(l, "datagram"), ==, -ENOTSOCK);
        g_assert_cmpint(listen_fds_get(l, ""), ==, -ENOTSOCK);
        g_assert_cmpint(listen_fds_get(l, "other"), ==, -ENOENT);
        g_assert_false(is_open(5)); /* the second one of its name */
        g_assert_cmpint(listen_fds_get(l, "stale"), ==, 6);

        listen_fds_close_unknown(l, used);
        g_assert_true(is_open(3));
        g_assert_true(is_open(4));
        g_assert_false(is_open(6));
        g_assert_false(is_open(7));
        g_assert_cmpint(listen_fds_get(l, "stale"), ==, -ENOENT);
        g_assert_cmpint(listen_fds_get(l, "modbus"), ==, 3);

        l = listen_fds_free(l);
        g_assert_false(is_open(3));
        g_assert_false(is_open(4));
}

static void child_without_names(void) {
        _cleanup_(listen_fds_freep) ListenFds *l = NULL;
        int fd = listening_socket();

        pass(&fd, 1, NULL);
        g_assert_cmpint(listen_fds_new(&l), ==, 0);
        g_assert_cmpint(listen_fds_get(l, "unknown"), ==, 3); /* sd_listen_fds(3) */
}

static void child_malformed(void) {
        ListenFds *l = NULL;
        int fd = listening_socket();

        pass(&fd, 1, "a:b:c");
        g_assert_cmpint(listen_fds_new(&l), <, 0);
        g_assert_null(l);
}

static void child_none(void) {
        static const char *const used[] = { NULL };
        _cleanup_(listen_fds_freep) ListenFds *l = NULL;

        (void) unsetenv("LISTEN_PID");
        (void) unsetenv("LISTEN_FDS");
        g_assert_cmpint(listen_fds_new(&l), ==, 0);
        g_assert_cmpint(listen_fds_get(l, "a"), ==, -ENOENT);
        listen_fds_close_unknown(l, used);
        g_assert_null(listen_fds_free(NULL));
}

static void child_directories(void) {
        (void) unsetenv("STATE_DIRECTORY");
        (void) unsetenv("RUNTIME_DIRECTORY");
        g_assert_cmpstr(state_directory(), ==, STATE_DIRECTORY);
        g_assert_cmpstr(runtime_directory(), ==, RUNTIME_DIRECTORY);
        (void) setenv("STATE_DIRECTORY", "/a/state:/b", 1);
        (void) setenv("RUNTIME_DIRECTORY", "/a/run", 1);
        g_assert_cmpstr(state_directory(), ==, "/a/state");
        g_assert_cmpstr(runtime_directory(), ==, "/a/run");
        (void) setenv("STATE_DIRECTORY", "", 1);
        g_assert_cmpstr(state_directory(), ==, STATE_DIRECTORY);
}

static void test_child(gconstpointer func) {
        in_child((void (*)(void)) func);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_data_func("/sd/adopt", child_adopt, test_child);
        g_test_add_data_func("/sd/without-names", child_without_names, test_child);
        g_test_add_data_func("/sd/malformed", child_malformed, test_child);
        g_test_add_data_func("/sd/none", child_none, test_child);
        g_test_add_data_func("/sd/directories", child_directories, test_child);
        return g_test_run();
}
