/* SPDX-License-Identifier: Apache-2.0 */
/* link/serial on pseudo-terminals. What these do not have (parity, outputs, RS-485, a wire that takes its time, an
 * adapter that hangs) is played by stand-ins for ioctl() and fstat(). */

#include "link/serial.h"

#include <linux/serial.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "link/holder.h"
#include "tests/unit/hang.h"
#include "tests/unit/loop.h"
#include "tests/unit/pty.h"

#define MS USEC_PER_MSEC

/* ---- a driver that can more than a pseudo-terminal ---------------------------------------------------- */

/* The kernel's struct termios2: it cannot be included beside the C library's. */
typedef struct Termios2 {
        unsigned iflag, oflag, cflag, lflag;
        unsigned char line, cc[19];
        unsigned ispeed, ospeed;
} Termios2;

#define TCSETS2_REQUEST _IOW('T', 0x2B, Termios2)
#define TCGETS2_REQUEST _IOR('T', 0x2A, Termios2)
#define BOTHER_FLAG 0010000U

static struct {
        bool real;              /* not a pseudo-terminal */
        Termios2 set;           /* what was set last */
        unsigned refused_flags; /* … and what the driver leaves out of it */
        unsigned speed;         /* … or makes of the speed; 0: what was wanted */
        unsigned n_set;
        int raised, lowered;
        bool rs485_works;
        unsigned n_rs485;
        struct serial_rs485 rs485;
        int queued;             /* > 0: TIOCOUTQ, counted down */
        unsigned n_queued;
        bool exclusive;         /* the flag of somebody who is gone */
} driver;

int ioctl(int fd, unsigned long request, ...) {
        va_list list;
        void *argument;
        int r;

        va_start(list, request);
        argument = va_arg(list, void *);
        va_end(list);

        hang_here(request);
        switch (request) {
        case TIOCMBIS:
                driver.raised |= *(const int *) argument;
                return 0;
        case TIOCMBIC:
                driver.lowered |= *(const int *) argument;
                return 0;
        case TIOCSRS485:
                driver.n_rs485++;
                driver.rs485 = *(const struct serial_rs485 *) argument;
                errno = ENOTTY;
                return driver.rs485_works ? 0 : -1;
        case TIOCOUTQ:
                driver.n_queued++;
                *(int *) argument = driver.queued > 0 ? driver.queued-- : 0;
                return 0;
        default:
                break;
        }

        if (request == TCSETS2_REQUEST) {
                driver.set = *(const Termios2 *) argument;
                driver.n_set++;
        }
        r = (int) syscall(SYS_ioctl, fd, request, argument);
        if (request == TCGETS2_REQUEST && driver.real && driver.set.cflag != 0) {
                Termios2 *t = argument;

                t->cflag = driver.set.cflag & ~driver.refused_flags;
                if (driver.speed > 0)
                        t->ospeed = driver.speed;
        }
        return r;
}

int fstat(int fd, struct stat *st) {
        int r = fstatat(fd, "", st, AT_EMPTY_PATH);

        if (r == 0 && driver.real && major(st->st_rdev) == 136)
                st->st_rdev = makedev(4, 64);
        return r;
}

/* ---- fixture ------------------------------------------------------------------------------------------ */

typedef enum When { NEVER, IN_OPENED, IN_RECEIVED, IN_DRAINED, IN_CLOSED } When;

typedef struct Fixture {
        sd_event *event;
        Pty *pty;
        Serial *serial;
        SerialOptions options;
        GByteArray *received; /* consumed */
        size_t leave;         /* bytes left unconsumed each time */
        size_t last_size;
        unsigned n_opened, n_received, n_drained, n_closed;
        int error;
        usec_t drained_at;
        bool discard_in_received, stop_in_received;
        const char *write_in_drained;
        When free_in;
} Fixture;

static void maybe_free(Fixture *f, When when) {
        if (f->free_in == when)
                f->serial = serial_free(f->serial);
}

static void on_opened(Serial *s, void *userdata) {
        Fixture *f = userdata;

        f->n_opened++;
        maybe_free(f, IN_OPENED);
}

static size_t on_received(Serial *s, const uint8_t *data, size_t size, void *userdata) {
        Fixture *f = userdata;
        size_t consumed = size - MIN(f->leave, size);

        g_assert_true(s == f->serial);
        g_assert_cmpuint(f->n_closed, ==, 0);
        f->n_received++;
        f->last_size = size;
        if (f->stop_in_received)
                serial_set_reading(s, false);
        if (f->discard_in_received)
                serial_discard_input(s);
        maybe_free(f, IN_RECEIVED);
        g_byte_array_append(f->received, data, (guint) consumed); /* still valid */
        return consumed;
}

static void on_drained(Serial *s, void *userdata) {
        Fixture *f = userdata;

        f->n_drained++;
        f->drained_at = now_usec(CLOCK_MONOTONIC);
        if (f->write_in_drained)
                (void) serial_write(s, f->write_in_drained, strlen(f->write_in_drained));
        f->write_in_drained = NULL;
        maybe_free(f, IN_DRAINED);
}

static void on_closed(Serial *s, int error, void *userdata) {
        Fixture *f = userdata;

        g_assert_cmpuint(f->n_closed++, ==, 0);
        f->error = error;
        maybe_free(f, IN_CLOSED);
}

static const SerialHandler handler = { on_opened, on_received, on_drained, on_closed };

static void set_up(Fixture *f, gconstpointer unused) {
        memset(&driver, 0, sizeof(driver));
        f->event = loop_new();
        f->pty = pty_new();
        f->received = g_byte_array_new();
        f->options = (SerialOptions) {
                .baudrate = 115200, .data_bits = 8, .stop_bits = 1, .receive_max = 4096
        };
}

/* This process has the line open, at whatever descriptors. */
static unsigned n_open(const Fixture *f) {
        g_autoptr(GDir) d = g_dir_open("/proc/self/fd", 0, NULL);
        const char *name;
        unsigned n = 0;

        while ((name = g_dir_read_name(d))) {
                g_autofree char *link = g_build_filename("/proc/self/fd", name, NULL),
                                *target = g_file_read_link(link, NULL);

                n += f->pty->device && target && streq(target, f->pty->device);
        }
        return n;
}

static void close_line(Fixture *f) {
        f->serial = serial_free(f->serial);
        LOOP_UNTIL(f->event, n_open(f) == 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        close_line(f);
        f->pty = pty_free(f->pty);
        g_byte_array_unref(f->received);
        f->event = sd_event_unref(f->event);
}

static void begin_open(Fixture *f) {
        f->n_opened = 0;
        g_assert_cmpint(serial_open(f->event, f->pty->path, &f->options, "test", &handler, f, &f->serial), ==, 0);
        g_assert_cmpuint(f->n_opened, ==, 0);
}

/* The end of one that was begun. */
static int open_result(Fixture *f) {
        LOOP_UNTIL(f->event, f->n_opened + f->n_closed > 0);
        if (f->n_closed == 0)
                return 0;
        g_assert_cmpuint(f->n_opened, ==, 0);
        f->n_closed = 0;
        return f->error;
}

static int try_path(Fixture *f, const char *path) {
        Serial *serial = NULL;
        int r;

        f->n_opened = 0;
        r = serial_open(f->event, path, &f->options, "test", &handler, f, &serial);
        if (r < 0)
                return r;
        r = open_result(f);
        (void) serial_free(serial);
        return r;
}

static int try_open(Fixture *f) {
        return try_path(f, f->pty->path);
}

static void open_line(Fixture *f) {
        begin_open(f);
        g_assert_cmpint(open_result(f), ==, 0);
}

static void far_write(Fixture *f, const char *text) {
        g_assert_cmpint(write(f->pty->fd, text, strlen(text)), ==, (ssize_t) strlen(text));
}

/* The far end gets exactly this. */
static void far_expect(Fixture *f, const char *text) {
        char buffer[256];
        size_t have = 0;

        while (have < strlen(text)) {
                ssize_t n = 0;

                LOOP_UNTIL(f->event, (n = read(f->pty->fd, buffer + have, strlen(text) - have)) > 0);
                have += (size_t) n;
        }
        g_assert_cmpmem(buffer, have, text, strlen(text));
}

static bool far_has_nothing(Fixture *f) {
        return poll(&(struct pollfd) { .fd = f->pty->fd, .events = POLLIN }, 1, 0) == 0;
}

static void expect_received(Fixture *f, const char *text) {
        LOOP_UNTIL(f->event, f->received->len >= strlen(text));
        g_assert_cmpmem(f->received->data, f->received->len, text, strlen(text));
        g_byte_array_set_size(f->received, 0);
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

static void test_both_ways(Fixture *f, gconstpointer unused) {
        open_line(f);
        g_assert_cmpint(serial_write(f->serial, "ping", 4), ==, 0);
        g_assert_cmpuint(serial_unsent(f->serial), ==, 4);
        g_assert_cmpuint(f->n_drained, ==, 0);
        far_expect(f, "ping");
        LOOP_UNTIL(f->event, f->n_drained == 1);
        g_assert_cmpuint(serial_unsent(f->serial), ==, 0);
        far_write(f, "po\r\n\003\021\023\377"); /* nothing of it means anything */
        expect_received(f, "po\r\n\003\021\023\377");
        loop_settle(f->event);
        g_assert_cmpuint(f->n_drained, ==, 1);
}

static void test_consumption(Fixture *f, gconstpointer unused) {
        open_line(f);
        f->leave = 2;
        far_write(f, "abc");
        expect_received(f, "a");
        far_write(f, "def");
        expect_received(f, "bcd");
        g_assert_cmpuint(f->last_size, ==, 5);

        loop_settle(f->event);
        f->leave = 0;
        serial_process(f->serial);
        expect_received(f, "ef");
        serial_process(f->serial); /* nothing is left */
        loop_settle(f->event);
        g_assert_cmpuint(f->n_received, ==, 3);
}

static void test_discard(Fixture *f, gconstpointer unused) {
        open_line(f);
        f->leave = 1;
        far_write(f, "ab");
        expect_received(f, "a");
        far_write(f, "cd");
        serial_discard_input(f->serial);
        loop_settle(f->event);
        f->leave = 0;
        far_write(f, "ef");
        expect_received(f, "ef");

        f->discard_in_received = true;
        f->leave = 9;
        far_write(f, "gh");
        LOOP_UNTIL(f->event, f->n_received == 3);
        f->discard_in_received = false;
        f->leave = 0;
        far_write(f, "ij");
        expect_received(f, "ij");
}

static void test_reading_off(Fixture *f, gconstpointer unused) {
        open_line(f);
        f->leave = 1;
        far_write(f, "a");
        LOOP_UNTIL(f->event, f->n_received == 1);
        f->leave = 0;
        serial_set_reading(f->serial, false);
        far_write(f, "b");
        loop_settle(f->event);
        g_assert_cmpuint(f->n_received, ==, 1);
        serial_set_reading(f->serial, true);
        expect_received(f, "ab");
}

static void test_too_much(Fixture *f, gconstpointer unused) {
        f->options.receive_max = 3;
        f->leave = 4;
        open_line(f);
        far_write(f, "abcd");
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -EMSGSIZE);
}

/* Who is not ready for more is not to blame for what came with the last. */
static void test_too_much_for_now(Fixture *f, gconstpointer unused) {
        f->options.receive_max = 3;
        f->stop_in_received = true;
        f->leave = 4;
        open_line(f);
        far_write(f, "abcde");
        expect_received(f, "a");
        loop_settle(f->event);
        g_assert_cmpuint(f->n_closed, ==, 0);
        f->stop_in_received = false;
        f->leave = 0;
        serial_set_reading(f->serial, true);
        expect_received(f, "bcde");
}

/* More than the kernel takes at once. */
static void test_bulk(Fixture *f, gconstpointer unused) {
        enum { SIZE = 200000 };
        g_autofree char *data = g_malloc(SIZE), *got = g_malloc(SIZE);
        size_t have = 0;

        for (size_t i = 0; i < SIZE; i++)
                data[i] = (char) (i * 7 + i / 251);
        open_line(f);
        g_assert_cmpint(serial_write(f->serial, data, SIZE), ==, 0);
        while (have < SIZE) {
                ssize_t n = 0;

                g_assert_cmpuint(f->n_drained, ==, 0);
                LOOP_UNTIL(f->event, (n = read(f->pty->fd, got + have, SIZE - have)) > 0);
                have += (size_t) n;
        }
        g_assert_cmpmem(got, SIZE, data, SIZE);
        LOOP_UNTIL(f->event, f->n_drained == 1);
}

/* ---- time --------------------------------------------------------------------------------------------- */

static void test_character_time(void) {
        SerialOptions o = { .baudrate = 9600, .data_bits = 8, .parity = SERIAL_PARITY_EVEN, .stop_bits = 1 };

        g_assert_cmpuint(serial_chars_usec(&o, 1), ==, 1146); /* 11 bits */
        g_assert_cmpuint(serial_chars_usec(&o, 256), ==, 293334);
        o.parity = SERIAL_PARITY_NONE;
        g_assert_cmpuint(serial_chars_usec(&o, 960), ==, USEC_PER_SEC);
        o.stop_bits = 2;
        g_assert_cmpuint(serial_chars_usec(&o, 960), ==, 1100 * MS);
        g_assert_cmpuint(serial_chars_usec(&o, 0), ==, 0);
}

/* Nothing has reached the far end, unless it was to be there after this time and we look late. */
static bool far_is_silent(Fixture *f, usec_t until) {
        return far_has_nothing(f) || now_usec(CLOCK_MONOTONIC) >= until;
}

/* No longer either: best of three, as the machine may be busy. */
static void test_silence_after_sent(Fixture *f, gconstpointer unused) {
        usec_t last, best = USEC_INFINITY;

        f->options.silence_after_sent = 50 * MS;
        open_line(f);
        g_assert_cmpint(serial_write(f->serial, "one", 3), ==, 0);
        LOOP_UNTIL(f->event, f->n_drained == 1);
        last = f->drained_at;
        far_expect(f, "one");
        for (unsigned i = 2; i <= 4; i++) {
                g_assert_cmpint(serial_write(f->serial, "two", 3), ==, 0);
                loop_settle(f->event);
                g_assert_true(far_is_silent(f, last + 50 * MS));
                far_expect(f, "two");
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - last, >=, 50 * MS);
                LOOP_UNTIL(f->event, f->n_drained == i);
                best = MIN(best, f->drained_at - last);
                last = f->drained_at;
        }
        g_assert_cmpuint(best, <, 500 * MS);
}

/* What is written during a transmission is the next one. */
static void test_silence_between(Fixture *f, gconstpointer unused) {
        usec_t first;

        f->options.silence_after_sent = 30 * MS;
        f->write_in_drained = "three";
        open_line(f);
        g_assert_cmpint(serial_write(f->serial, "one", 3), ==, 0);
        g_assert_cmpint(serial_write(f->serial, "two", 3), ==, 0);
        LOOP_UNTIL(f->event, f->n_drained == 1);
        first = f->drained_at;
        far_expect(f, "one");
        g_assert_true(far_is_silent(f, first + 30 * MS));
        far_expect(f, "twothree");
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - first, >=, 30 * MS);
}

/* However late the timers are, none is shorter. The process may be put off between the end of a transmission and our
 * look at the clock, but not each time. */
static void test_silence_many(Fixture *f, gconstpointer unused) {
        enum { ROUNDS = 400 };
        unsigned n_short = 0;
        usec_t last = 0;

        f->options.silence_after_sent = MS;
        open_line(f);
        for (unsigned i = 0; i < ROUNDS; i++) {
                g_assert_cmpint(serial_write(f->serial, "x", 1), ==, 0);
                LOOP_UNTIL(f->event, f->n_drained == i + 1);
                n_short += f->drained_at < last + MS;
                last = f->drained_at;
        }
        g_assert_cmpuint(n_short, <=, 3);
}

static void test_silence_after_received(Fixture *f, gconstpointer unused) {
        usec_t heard;

        f->options.silence_after_received = 40 * MS;
        open_line(f);
        far_write(f, "noise");
        expect_received(f, "noise");
        heard = now_usec(CLOCK_MONOTONIC);
        g_assert_cmpint(serial_write(f->serial, "x", 1), ==, 0);
        loop_settle(f->event);
        g_assert_true(far_is_silent(f, heard + 39 * MS));
        far_expect(f, "x");
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - heard, >=, 39 * MS);
}

/* A wire that takes its time: 48 characters of 10 bits at 9600 bit/s are 50 ms, and then the driver still has
 * some. Best of three, as the machine may be busy. */
static void test_wire(Fixture *f, gconstpointer unused) {
        usec_t best = USEC_INFINITY;
        char data[48] = {};

        driver.real = true;
        f->options.baudrate = 9600;
        open_line(f);
        for (unsigned i = 1; i <= 3; i++) {
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                driver.queued = 3;
                g_assert_cmpint(serial_write(f->serial, data, sizeof(data)), ==, 0);
                LOOP_UNTIL(f->event, f->n_drained == i);
                g_assert_cmpuint(f->drained_at - begin, >=, 50 * MS + 3 * MS);
                g_assert_cmpuint(driver.n_queued, ==, 4 * i); /* not one look more */
                best = MIN(best, f->drained_at - begin);
        }
        g_assert_cmpuint(best, <, 500 * MS);
}

/* The far end holds us up: what waits can be given up. */
static void test_discard_output(Fixture *f, gconstpointer unused) {
        driver.real = true;
        driver.queued = INT_MAX;
        open_line(f);
        g_assert_cmpint(serial_write(f->serial, "one", 3), ==, 0);
        g_assert_cmpint(serial_write(f->serial, "two", 3), ==, 0);
        LOOP_UNTIL(f->event, driver.n_queued > 3);
        g_assert_cmpuint(serial_unsent(f->serial), ==, 6);
        serial_discard_output(f->serial);
        g_assert_cmpuint(serial_unsent(f->serial), ==, 0);
        driver.queued = 0;
        g_assert_cmpint(serial_write(f->serial, "three", 5), ==, 0);
        LOOP_UNTIL(f->event, f->n_drained == 1);
}

/* ---- settings ----------------------------------------------------------------------------------------- */

static void test_settings(Fixture *f, gconstpointer unused) {
        static const struct {
                SerialOptions o;
                unsigned cflag, iflag;
        } rows[] = {
                { { .baudrate = 9600, .data_bits = 8, .stop_bits = 1 }, B9600 | CS8, 0 },
                { { .baudrate = 19200, .data_bits = 8, .parity = SERIAL_PARITY_EVEN, .stop_bits = 1 },
                  B19200 | CS8 | PARENB, INPCK },
                { { .baudrate = 300, .data_bits = 7, .parity = SERIAL_PARITY_ODD, .stop_bits = 2 },
                  B300 | CS7 | PARENB | PARODD | CSTOPB, INPCK },
                { { .baudrate = 1200, .data_bits = 6, .parity = SERIAL_PARITY_MARK, .stop_bits = 1 },
                  B1200 | CS6 | PARENB | PARODD | CMSPAR, INPCK },
                { { .baudrate = 4000000, .data_bits = 5, .parity = SERIAL_PARITY_SPACE, .stop_bits = 2 },
                  B4000000 | CS5 | PARENB | CMSPAR | CSTOPB, INPCK },
                { { .baudrate = 12345, .data_bits = 8, .stop_bits = 1, .xonxoff = true }, BOTHER_FLAG | CS8,
                  IXON | IXOFF | IXANY },
                { { .baudrate = 187500, .data_bits = 8, .stop_bits = 1, .rtscts = true },
                  BOTHER_FLAG | CS8 | CRTSCTS, 0 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                struct termios t;
                int fd;

                f->options = rows[i].o;
                f->options.receive_max = 4096;
                open_line(f);
                g_assert_cmphex(driver.set.cflag, ==, rows[i].cflag | CREAD | CLOCAL | HUPCL);
                g_assert_cmphex(driver.set.iflag, ==, rows[i].iflag | IGNBRK);
                g_assert_cmpuint(driver.set.ospeed, ==, rows[i].o.baudrate);
                g_assert_cmphex(driver.set.lflag, ==, 0);
                g_assert_cmphex(driver.set.oflag, ==, 0);

                fd = open(f->pty->device, O_RDWR | O_NOCTTY | O_CLOEXEC); /* root may */
                if (fd >= 0) {
                        g_assert_cmpint(tcgetattr(fd, &t), ==, 0);
                        g_assert_cmphex(t.c_iflag, ==, rows[i].iflag | IGNBRK);
                        g_assert_cmphex(t.c_cflag & (CSTOPB | PARODD | CMSPAR | CRTSCTS), ==,
                                        rows[i].cflag & (CSTOPB | PARODD | CMSPAR | CRTSCTS));
                        g_assert_cmpint(t.c_cc[VMIN], ==, 1);
                        (void) close(fd);
                }
                f->serial = serial_free(f->serial);
        }
}

static void test_bad_settings(Fixture *f, gconstpointer unused) {
        static const SerialOptions rows[] = {
                { .baudrate = 9600, .data_bits = 4, .stop_bits = 1 },
                { .baudrate = 9600, .data_bits = 9, .stop_bits = 1 },
                { .baudrate = 9600, .data_bits = 8, .stop_bits = 0 },
                { .baudrate = 9600, .data_bits = 8, .stop_bits = 3 },
                { .baudrate = 9600, .data_bits = 8, .stop_bits = 1, .parity = 5 },
        };
        static const uint32_t speeds[] = { 0, SERIAL_BAUDRATE_MAX + 1, UINT32_MAX };

        for (size_t i = 0; i < G_N_ELEMENTS(speeds); i++) {
                f->options.baudrate = speeds[i];
                g_assert_cmpint(try_open(f), ==, -EOPNOTSUPP);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                f->options = rows[i];
                g_assert_cmpint(try_open(f), ==, -EINVAL);
        }
}

/* A driver that silently leaves something out, or makes another speed, would talk nonsense. */
static void test_refused_settings(Fixture *f, gconstpointer unused) {
        driver.real = true;
        f->options.parity = SERIAL_PARITY_MARK;
        driver.refused_flags = CMSPAR;
        g_assert_cmpint(try_open(f), ==, -EOPNOTSUPP);
        driver.refused_flags = 0;
        driver.speed = 110000;
        g_assert_cmpint(try_open(f), ==, -EOPNOTSUPP);
        driver.speed = 115000; /* near enough */
        open_line(f);
}

static void test_outputs(Fixture *f, gconstpointer unused) {
        static const struct {
                bool dsrdtr, rtscts;
                int raised, lowered;
        } rows[] = {
                { false, false, TIOCM_DTR | TIOCM_RTS, 0 },
                { true, false, TIOCM_RTS, TIOCM_DTR },
                { false, true, TIOCM_DTR, 0 },
                { true, true, 0, TIOCM_DTR },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                driver.raised = driver.lowered = 0;
                f->options.dsrdtr = rows[i].dsrdtr;
                f->options.rtscts = rows[i].rtscts;
                open_line(f);
                g_assert_cmphex(driver.raised, ==, rows[i].raised);
                g_assert_cmphex(driver.lowered, ==, rows[i].lowered);
                f->serial = serial_free(f->serial);
        }
}

static void test_rs485(Fixture *f, gconstpointer unused) {
        open_line(f);
        g_assert_cmpuint(driver.n_rs485, ==, 0);
        f->serial = serial_free(f->serial);

        f->options.rs485 = (SerialRs485) { true, true, 1500, 0 };
        g_assert_cmpint(try_open(f), ==, -EOPNOTSUPP);
        driver.rs485_works = true;
        driver.raised = 0;
        open_line(f);
        g_assert_cmphex(driver.rs485.flags, ==, SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND);
        g_assert_cmpuint(driver.rs485.delay_rts_before_send, ==, 2);
        g_assert_cmpuint(driver.rs485.delay_rts_after_send, ==, 0);
        g_assert_cmphex(driver.raised & TIOCM_RTS, ==, 0);
        f->serial = serial_free(f->serial);

        f->options.rs485 = (SerialRs485) { true, false, 0, 5000 * MS };
        open_line(f);
        g_assert_cmphex(driver.rs485.flags, ==, SER_RS485_ENABLED | SER_RS485_RTS_AFTER_SEND);
        g_assert_cmpuint(driver.rs485.delay_rts_after_send, ==, 1000);
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static void expect_error_text(Fixture *f, int error, const char *text) {
        g_autofree char *got = serial_open_error(f->pty->path, error);

        g_assert_cmpstr(got, ==, text);
}

static void test_no_such_line(Fixture *f, gconstpointer unused) {
        g_autofree char *path = g_build_filename(f->pty->directory, "file", NULL);

        pty_pull(f->pty);
        g_assert_cmpint(try_open(f), ==, -ENOENT);
        expect_error_text(f, -ENOENT, "there is no such device");
        g_assert_cmpint(try_path(f, "/dev/null"), ==, -ENOTTY);
        expect_error_text(f, -ENOTTY, "it is not a serial line");
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
        g_assert_cmpint(try_path(f, path), ==, -ENOTTY);
        (void) unlink(path);
        expect_error_text(f, -EACCES, "Permission denied");
}

static void test_lock(Fixture *f, gconstpointer unused) {
        int fd;

        open_line(f);
        g_assert_cmpint(try_open(f), ==, -EBUSY);
        f->serial = serial_free(f->serial);

        open_line(f); /* nothing of it stays */
        close_line(f);

        /* Somebody who knows only one of the two locks: this flag outlives him on a pseudo-terminal. */
        fd = open(f->pty->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint((int) syscall(SYS_ioctl, fd, TIOCEXCL), ==, 0);
        g_assert_cmpint(try_open(f), ==, -EBUSY);
        g_assert_cmpint((int) syscall(SYS_ioctl, fd, TIOCNXCL), ==, 0);
        g_assert_cmpint(flock(fd, LOCK_EX | LOCK_NB), ==, 0);
        g_assert_cmpint(try_open(f), ==, -EBUSY);
        (void) close(fd);
        open_line(f);
}

/* Another process has it: it is named. */
static void test_holder(Fixture *f, gconstpointer unused) {
        g_autofree char *text = NULL, *expected = NULL;
        Holder holder;
        pid_t pid;
        char c;
        int pipe_fds[2];

        g_assert_cmpint(holder_find(f->pty->path, -1, &holder), ==, -ENOENT);
        g_assert_cmpint(pipe(pipe_fds), ==, 0);
        pid = fork();
        if (pid == 0) {
                int fd = open(f->pty->path, O_RDWR | O_NOCTTY);

                (void) flock(fd, LOCK_EX);
                (void) !write(pipe_fds[1], "", 1);
                for (;;)
                        (void) pause();
        }
        g_assert_cmpint(read(pipe_fds[0], &c, 1), ==, 1);
        g_assert_cmpint(try_open(f), ==, -EBUSY);
        text = serial_open_error(f->pty->path, -EBUSY);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        expected = g_strdup_printf("test-serial (process %d) has it", (int) pid);
        g_assert_cmpstr(text, ==, expected);
        (void) close(pipe_fds[0]);
        (void) close(pipe_fds[1]);

        open_line(f);
        close_line(f);
        expect_error_text(f, -EBUSY, "another process has it");
}

/* ---- an adapter that hangs ---------------------------------------------------------------------------- */

static void expect_echo(Fixture *f) {
        g_assert_cmpint(serial_write(f->serial, "ping", 4), ==, 0);
        far_expect(f, "ping");
        far_write(f, "pong");
        expect_received(f, "pong");
}

/* Whoever else is on the loop works meanwhile: here another line. */
static void test_hanging_open(Fixture *f, gconstpointer unused) {
        Fixture other;

        hang_at(TCSETS2_REQUEST);
        begin_open(f);
        hang_wait(f->event);

        other = (Fixture) { .event = sd_event_ref(f->event), .pty = pty_new(), .options = f->options };
        other.received = g_byte_array_new();
        open_line(&other);
        expect_echo(&other);
        tear_down(&other, NULL);

        g_assert_cmpuint(f->n_opened, ==, 0);
        g_assert_cmpint(serial_write(f->serial, "x", 1), ==, -ENODEV);
        serial_set_reading(f->serial, false);
        hang_let_go();
        g_assert_cmpint(open_result(f), ==, 0);
        far_write(f, "a");
        loop_settle(f->event);
        g_assert_cmpuint(f->n_received, ==, 0);
        serial_set_reading(f->serial, true);
        expect_received(f, "a");
        expect_echo(f);
}

/* Who stops does not wait, and who is started again comes behind; what was given up before it began is not done. */
static void test_free_while_opening(Fixture *f, gconstpointer unused) {
        hang_at(TCSETS2_REQUEST);
        begin_open(f);
        hang_wait(f->event);
        f->serial = serial_free(f->serial);
        begin_open(f);
        f->serial = serial_free(f->serial);
        begin_open(f);
        loop_settle(f->event);
        g_assert_cmpuint(n_open(f), ==, 1);

        hang_let_go();
        g_assert_cmpint(open_result(f), ==, 0);
        g_assert_cmpuint(f->n_opened, ==, 1);
        g_assert_cmpuint(n_open(f), ==, 1);
        g_assert_cmpuint(driver.n_set, ==, 2);
        expect_echo(f);

        hang_at(TCSETS2_REQUEST);
        close_line(f);
        begin_open(f);
        hang_wait(f->event);
        f->serial = serial_free(f->serial);
        hang_let_go();
        LOOP_UNTIL(f->event, n_open(f) == 0);
        g_assert_cmpuint(f->n_opened + f->n_closed, ==, 0);
        open_line(f);
        expect_echo(f);
}

static void test_hanging_close(Fixture *f, gconstpointer unused) {
        open_line(f);
        hang_at(TCFLSH);
        f->serial = serial_free(f->serial);
        hang_wait(f->event);
        begin_open(f);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_opened + f->n_closed, ==, 0);
        hang_let_go();
        g_assert_cmpint(open_result(f), ==, 0);
        expect_echo(f);
}

/* Who is started again and again does not fill the memory. */
static void test_hanging_often(Fixture *f, gconstpointer unused) {
        unsigned n = 0;
        int r;

        hang_at(TCSETS2_REQUEST);
        begin_open(f);
        hang_wait(f->event);
        do {
                f->serial = serial_free(f->serial);
                g_assert_cmpuint(n++, <, 100);
                r = serial_open(f->event, f->pty->path, &f->options, "test", &handler, f, &f->serial);
        } while (r == 0);
        g_assert_cmpuint(n, >, 2);
        g_assert_cmpint(r, ==, -EALREADY);
        expect_error_text(f, r, "an earlier attempt to open it has not come back");
        hang_let_go();
        LOOP_UNTIL(f->event, n_open(f) == 0);
        loop_settle(f->event);
        open_line(f);
        g_assert_cmpuint(driver.n_set, ==, 2);
}

/* ---- end ---------------------------------------------------------------------------------------------- */

static void test_pulled(Fixture *f, gconstpointer unused) {
        for (unsigned reading = 0; reading < 2; reading++) {
                f->n_closed = 0;
                open_line(f);
                serial_set_reading(f->serial, reading);
                pty_pull(f->pty);
                LOOP_UNTIL(f->event, f->n_closed == 1);
                g_assert_cmpint(f->error, ==, -ENODEV);
                g_assert_cmpint(serial_write(f->serial, "x", 1), ==, -ENODEV);
                g_assert_cmpuint(loop_settle(f->event), ==, 0);
                f->serial = serial_free(f->serial);
                pty_plug(f->pty);
        }
}

static void test_pulled_while_writing(Fixture *f, gconstpointer unused) {
        open_line(f);
        pty_pull(f->pty);
        g_assert_cmpint(serial_write(f->serial, "x", 1), ==, 0);
        g_assert_cmpuint(f->n_closed, ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ENODEV);
}

static void test_free_in_callbacks(Fixture *f, gconstpointer unused) {
        for (When when = IN_OPENED; when <= IN_CLOSED; when++) {
                f->n_closed = 0;
                f->free_in = when;
                open_line(f);
                if (when == IN_RECEIVED)
                        far_write(f, "x");
                else if (when == IN_DRAINED)
                        g_assert_cmpint(serial_write(f->serial, "x", 1), ==, 0);
                else if (when == IN_CLOSED)
                        pty_pull(f->pty);
                LOOP_UNTIL(f->event, !f->serial);
                loop_settle(f->event);
        }
        pty_plug(f->pty);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                void (*run)(Fixture *f, gconstpointer unused);
        } tests[] = {
                { "both-ways", test_both_ways },
                { "consumption", test_consumption },
                { "discard", test_discard },
                { "reading-off", test_reading_off },
                { "too-much", test_too_much },
                { "too-much-for-now", test_too_much_for_now },
                { "bulk", test_bulk },
                { "silence-after-sent", test_silence_after_sent },
                { "silence-between", test_silence_between },
                { "silence-many", test_silence_many },
                { "silence-after-received", test_silence_after_received },
                { "wire", test_wire },
                { "discard-output", test_discard_output },
                { "settings", test_settings },
                { "bad-settings", test_bad_settings },
                { "refused-settings", test_refused_settings },
                { "outputs", test_outputs },
                { "rs485", test_rs485 },
                { "no-such-line", test_no_such_line },
                { "lock", test_lock },
                { "holder", test_holder },
                { "hanging-open", test_hanging_open },
                { "free-while-opening", test_free_while_opening },
                { "hanging-close", test_hanging_close },
                { "hanging-often", test_hanging_often },
                { "pulled", test_pulled },
                { "pulled-while-writing", test_pulled_while_writing },
                { "free-in-callbacks", test_free_in_callbacks },
        };

        hang_init();
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/serial/character-time", test_character_time);
        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
                g_autofree char *path = g_strconcat("/serial/", tests[i].name, NULL);

                g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
        }
        return g_test_run();
}
