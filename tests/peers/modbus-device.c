/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated Modbus TCP device on libmodbus' server side: the independent peer of modbus_master in tests and in the
 * demo. One thread, one poll() loop for the listener, the clients and the clock that moves the registers. It answers
 * every unit id.
 *
 * The register map, with --move (N milliseconds a step; without it everything but the noted constants is 0):
 *
 *   holding registers 0       counter, one more each step
 *                     1       temperature, tenths of a degree: a sine between 150 and 250
 *                     2, 3    32-bit counter, high word first
 *                     4       4660 (0x1234), constant
 *                     10..    free: what a client writes stays
 *   input registers   0..3    the same as the holding registers
 *                     4       22136 (0x5678), constant
 *   coils             0       blinks, other way round at each step
 *                     10..    free
 *   discrete inputs   0       the opposite of coil 0
 */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <modbus.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>

enum {
        CLIENTS_MAX = 512,
        TEMPERATURE_STEPS = 60,
};

typedef struct Device {
        modbus_t *modbus;
        modbus_mapping_t *map;
        int timer;
        bool verbose;
        uint32_t step;
        struct pollfd fds[CLIENTS_MAX + 2]; /* listener, timer, clients */
        size_t n_fds;
} Device;

typedef struct Arguments {
        const char *address;
        int port;
        int size;
        long move_msec;
        bool verbose;
} Arguments;

static void device_set_constants(Device *d) {
        d->map->tab_registers[4] = 0x1234;
        d->map->tab_input_registers[4] = 0x5678;
}

static void device_move(Device *d) {
        uint16_t *registers = d->map->tab_registers;

        d->step++;
        registers[0] = (uint16_t) d->step;
        registers[1] = (uint16_t) lround(200 + 50 * sin(2 * M_PI * d->step / TEMPERATURE_STEPS));
        registers[2] = (uint16_t) (d->step >> 16);
        registers[3] = (uint16_t) d->step;
        for (size_t i = 0; i < 4; i++)
                d->map->tab_input_registers[i] = registers[i];

        d->map->tab_bits[0] = d->step % 2;
        d->map->tab_input_bits[0] = 1 - d->step % 2;
}

static unsigned get16(const uint8_t *p) {
        return (unsigned) p[0] << 8 | p[1];
}

/* One line for each write inside the map: unit, function code, address, then values or masks. */
static void device_print_write(const Device *d, const uint8_t *request) {
        const uint8_t *pdu = request + modbus_get_header_length(d->modbus);
        unsigned unit = pdu[-1], function = pdu[0], address = get16(pdu + 1);
        bool many = function == MODBUS_FC_WRITE_MULTIPLE_COILS || function == MODBUS_FC_WRITE_MULTIPLE_REGISTERS;

        if (address + (many ? get16(pdu + 3) : 1) > (unsigned) d->map->nb_registers)
                return; /* was answered by an exception */

        switch (function) {
        case MODBUS_FC_WRITE_SINGLE_COIL:
                printf("write unit=%u fc=05 coil %u = %u\n", unit, address, get16(pdu + 3) == 0xFF00 ? 1U : 0U);
                break;
        case MODBUS_FC_WRITE_SINGLE_REGISTER:
                printf("write unit=%u fc=06 register %u = %04x\n", unit, address, get16(pdu + 3));
                break;
        case MODBUS_FC_WRITE_MULTIPLE_COILS:
                printf("write unit=%u fc=0f coils %u =", unit, address);
                for (unsigned i = 0; i < get16(pdu + 3); i++)
                        printf(" %u", d->map->tab_bits[address + i]);
                printf("\n");
                break;
        case MODBUS_FC_WRITE_MULTIPLE_REGISTERS:
                printf("write unit=%u fc=10 registers %u =", unit, address);
                for (unsigned i = 0; i < get16(pdu + 3); i++)
                        printf(" %04x", d->map->tab_registers[address + i]);
                printf("\n");
                break;
        case MODBUS_FC_MASK_WRITE_REGISTER:
                printf("write unit=%u fc=16 register %u and=%04x or=%04x\n", unit, address, get16(pdu + 3),
                       get16(pdu + 5));
                break;
        default:
                break;
        }
        fflush(stdout);
}

static void device_accept(Device *d) {
        struct pollfd *client = d->fds + d->n_fds;
        int fd;

        fd = accept4(d->fds[0].fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
                return;

        if (d->n_fds == CLIENTS_MAX + 2) {
                close(fd);
                return;
        }

        *client = (struct pollfd) { .fd = fd, .events = POLLIN };
        d->n_fds++;
}

/* Answers one request. False: the client is gone or sent half a frame. */
static bool device_serve(Device *d, int fd) {
        uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
        int n;

        modbus_set_socket(d->modbus, fd);
        do
                n = modbus_receive(d->modbus, request);
        while (n == 0);
        if (n < 0)
                return false;

        if (modbus_reply(d->modbus, request, n, d->map) < 0)
                return errno > MODBUS_ENOBASE; /* an exception answer is an answer */

        if (d->verbose)
                device_print_write(d, request);

        return true;
}

static int device_run(Device *d) {
        for (;;) {
                if (poll(d->fds, d->n_fds, -1) < 0)
                        return -errno;

                if (d->fds[1].revents) {
                        uint64_t expired;

                        if (read(d->timer, &expired, sizeof(expired)) == sizeof(expired))
                                device_move(d);
                }

                for (size_t i = d->n_fds - 1; i >= 2; i--)
                        if (d->fds[i].revents && !device_serve(d, d->fds[i].fd)) {
                                close(d->fds[i].fd);
                                d->fds[i] = d->fds[--d->n_fds];
                        }

                if (d->fds[0].revents)
                        device_accept(d);
        }
}

static int device_listen(Device *d, const Arguments *arguments) {
        struct sockaddr_in address = {};
        socklen_t length = sizeof(address);
        int fd;

        d->modbus = modbus_new_tcp(arguments->address, arguments->port);
        if (!d->modbus)
                return -errno;

        /* libmodbus sleeps for the response timeout before it answers an illegal request, and waits for ever for the
         * rest of half a frame: both would stop the other clients. */
        modbus_set_response_timeout(d->modbus, 0, 1);
        modbus_set_indication_timeout(d->modbus, 0, 500000);

        fd = modbus_tcp_listen(d->modbus, 128);
        if (fd < 0 || getsockname(fd, (struct sockaddr *) &address, &length) < 0)
                return -errno;

        d->fds[d->n_fds++] = (struct pollfd) { .fd = fd, .events = POLLIN };
        printf("listening on %s:%u\n", arguments->address, ntohs(address.sin_port));
        fflush(stdout);
        return 0;
}

static int device_start_timer(Device *d, long move_msec) {
        struct itimerspec when = {
                .it_value = { .tv_sec = move_msec / 1000, .tv_nsec = move_msec % 1000 * 1000000 },
        };

        when.it_interval = when.it_value;
        d->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (d->timer < 0 || timerfd_settime(d->timer, 0, &when, NULL) < 0)
                return -errno;

        d->fds[d->n_fds++] = (struct pollfd) { .fd = d->timer, .events = POLLIN };
        return 0;
}

static int help(const char *name) {
        printf("%s [OPTION...]\n\n"
               "A simulated Modbus TCP device.\n\n"
               "  --address=ADDRESS  listen there (127.0.0.1)\n"
               "  --port=PORT        listen there; 0, the default, chooses one; the first line printed names it\n"
               "  --size=N           coils, inputs and registers of each kind (1000)\n"
               "  --move=MSEC        move the registers so often\n"
               "  --verbose          print each write\n",
               name);
        return 0;
}

static int parse_arguments(int argc, char *argv[], Arguments *ret) {
        static const struct option options[] = {
                { "address", required_argument, NULL, 'a' },
                { "port",    required_argument, NULL, 'p' },
                { "size",    required_argument, NULL, 's' },
                { "move",    required_argument, NULL, 'm' },
                { "verbose", no_argument,       NULL, 'v' },
                { "help",    no_argument,       NULL, 'h' },
                {}
        };
        Arguments a = { .address = "127.0.0.1", .size = 1000 };

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'a':
                        a.address = optarg;
                        break;
                case 'p':
                        a.port = (int) strtol(optarg, NULL, 10);
                        break;
                case 's':
                        a.size = (int) strtol(optarg, NULL, 10);
                        break;
                case 'm':
                        a.move_msec = strtol(optarg, NULL, 10);
                        break;
                case 'v':
                        a.verbose = true;
                        break;
                case 'h':
                        return help(argv[0]);
                default:
                        return -EINVAL;
                }

        if (optind < argc || a.port < 0 || a.port > 65535 || a.size < 10 || a.size > 65536 || a.move_msec < 0) {
                fprintf(stderr, "%s: wrong usage, see --help\n", argv[0]);
                return -EINVAL;
        }

        *ret = a;
        return 1;
}

int main(int argc, char *argv[]) {
        static Device d;
        Arguments arguments;
        int r;

        r = parse_arguments(argc, argv, &arguments);
        if (r <= 0)
                return r < 0 ? 2 : 0;

        d.verbose = arguments.verbose;
        d.map = modbus_mapping_new(arguments.size, arguments.size, arguments.size, arguments.size);
        if (!d.map)
                return 1;

        device_set_constants(&d);
        if (arguments.move_msec > 0)
                device_move(&d);
        r = device_listen(&d, &arguments);
        if (r >= 0)
                r = device_start_timer(&d, arguments.move_msec);
        if (r >= 0)
                r = device_run(&d);

        fprintf(stderr, "%s: %s\n", argv[0], modbus_strerror(-r));
        return 1;
}
