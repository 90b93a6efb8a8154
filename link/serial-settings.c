/* SPDX-License-Identifier: Apache-2.0 */
/* The ioctls of a serial line. No state, any thread. */

#include <asm/termbits.h>
#include <errno.h>
#include <linux/serial.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include "link/holder.h"
#include "link/serial-settings.h"

#define TOLERANCE_PERCENT 3U
#define RS485_DELAY_MAX USEC_PER_SEC
/* What a driver that cannot do it silently leaves out. */
#define CHECKED_FLAGS ((tcflag_t) (CSIZE | CSTOPB | PARENB | PARODD | CMSPAR))

/* Speeds with a name of their own are given by it, because then every program can read them back. */
static tcflag_t speed_flag(uint32_t baudrate) {
        static const struct {
                uint32_t baudrate;
                tcflag_t flag;
        } names[] = {
                { 50, B50 },           { 75, B75 },           { 110, B110 },         { 134, B134 },
                { 150, B150 },         { 200, B200 },         { 300, B300 },         { 600, B600 },
                { 1200, B1200 },       { 1800, B1800 },       { 2400, B2400 },       { 4800, B4800 },
                { 9600, B9600 },       { 19200, B19200 },     { 38400, B38400 },     { 57600, B57600 },
                { 115200, B115200 },   { 230400, B230400 },   { 460800, B460800 },   { 500000, B500000 },
                { 576000, B576000 },   { 921600, B921600 },   { 1000000, B1000000 }, { 1152000, B1152000 },
                { 1500000, B1500000 }, { 2000000, B2000000 }, { 2500000, B2500000 }, { 3000000, B3000000 },
                { 3500000, B3500000 }, { 4000000, B4000000 },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (names[i].baudrate == baudrate)
                        return names[i].flag;
        return BOTHER;
}

static tcflag_t control_flags(const SerialOptions *o) {
        static const tcflag_t sizes[] = { CS5, CS6, CS7, CS8 };
        static const tcflag_t parities[] = {
                [SERIAL_PARITY_NONE] = 0,
                [SERIAL_PARITY_EVEN] = PARENB,
                [SERIAL_PARITY_ODD] = PARENB | PARODD,
                [SERIAL_PARITY_MARK] = PARENB | PARODD | CMSPAR,
                [SERIAL_PARITY_SPACE] = PARENB | CMSPAR,
        };

        return CREAD | CLOCAL | HUPCL | speed_flag(o->baudrate) | sizes[o->data_bits - 5] | parities[o->parity] |
               (o->stop_bits == 2 ? CSTOPB : 0) | (o->rtscts ? CRTSCTS : 0);
}

int serial_settings_check(const SerialOptions *o) {
        if (o->data_bits < 5 || o->data_bits > 8 || o->stop_bits < 1 || o->stop_bits > 2 ||
            (unsigned) o->parity > SERIAL_PARITY_SPACE)
                return -EINVAL;
        return o->baudrate == 0 || o->baudrate > SERIAL_BAUDRATE_MAX ? -EOPNOTSUPP : 0;
}

static bool speed_is_near(uint32_t got, uint32_t wanted) {
        uint32_t difference = got > wanted ? got - wanted : wanted - got;

        return (uint64_t) difference * 100 <= (uint64_t) wanted * TOLERANCE_PERCENT;
}

static int set_line(int fd, const SerialOptions *o, bool pseudo) {
        tcflag_t flags = control_flags(o);
        struct termios2 t;

        if (ioctl(fd, TCGETS2, &t) < 0)
                return -errno;

        t.c_iflag = IGNBRK | (o->parity != SERIAL_PARITY_NONE ? INPCK : 0) |
                    (o->xonxoff ? IXON | IXOFF | IXANY : 0);
        t.c_oflag = 0;
        t.c_lflag = 0;
        t.c_cflag = flags;
        t.c_ispeed = t.c_ospeed = o->baudrate;
        t.c_cc[VMIN] = 1; /* a read of nothing is then the end */
        t.c_cc[VTIME] = 0;
        if (ioctl(fd, TCSETS2, &t) < 0 || ioctl(fd, TCGETS2, &t) < 0)
                return errno == EINVAL ? -EOPNOTSUPP : -errno;

        if (!pseudo && ((t.c_cflag ^ flags) & CHECKED_FLAGS))
                return -EOPNOTSUPP;
        return speed_is_near(t.c_ospeed, o->baudrate) ? 0 : -EOPNOTSUPP;
}

static uint32_t milliseconds(usec_t t) {
        return (uint32_t) ((MIN(t, RS485_DELAY_MAX) + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

static int set_rs485(int fd, const SerialRs485 *o) {
        struct serial_rs485 r = {
                .flags = SER_RS485_ENABLED | (o->rts_on_send ? SER_RS485_RTS_ON_SEND : SER_RS485_RTS_AFTER_SEND),
                .delay_rts_before_send = milliseconds(o->delay_before),
                .delay_rts_after_send = milliseconds(o->delay_after),
        };

        return ioctl(fd, TIOCSRS485, &r) < 0 ? -EOPNOTSUPP : 0;
}

/* Lines without such outputs refuse, and need none. RTS belongs to the driver when it controls the flow or
 * the transmitter by it. */
static void set_outputs(int fd, const SerialOptions *o) {
        const int dtr = TIOCM_DTR, rts = TIOCM_RTS;

        (void) ioctl(fd, o->dsrdtr ? TIOCMBIC : TIOCMBIS, &dtr);
        if (!o->rtscts && !o->rs485.enabled)
                (void) ioctl(fd, TIOCMBIS, &rts);
}

int serial_settings_apply(int fd, const SerialOptions *o, bool pseudo) {
        int r;

        r = set_line(fd, o, pseudo);
        if (r >= 0 && o->rs485.enabled)
                r = set_rs485(fd, &o->rs485);
        if (r < 0)
                return r;

        set_outputs(fd, o);
        serial_settings_flush(fd, true, true);
        return 0;
}

size_t serial_settings_queued(int fd) {
        int n = 0;

        return ioctl(fd, TIOCOUTQ, &n) < 0 || n < 0 ? 0 : (size_t) n;
}

void serial_settings_flush(int fd, bool input, bool output) {
        (void) ioctl(fd, TCFLSH, input && output ? TCIOFLUSH : input ? TCIFLUSH : TCOFLUSH);
}

/* Root may open what another process has for itself: then the kernel only tells that somebody wanted it so,
 * and of a pseudo-terminal even when he is gone. */
int serial_settings_lock(int fd, const char *path) {
        int exclusive = 0;
        Holder holder;

        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (ioctl(fd, TIOCGEXCL, &exclusive) >= 0 && exclusive && holder_find(path, fd, &holder) >= 0)
                return -EBUSY;
        return ioctl(fd, TIOCEXCL) < 0 ? -errno : 0;
}

void serial_settings_unlock(int fd) {
        (void) ioctl(fd, TIOCNXCL);
}
