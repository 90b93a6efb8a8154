/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare libmodbus client that benchmarks compare with: a blocking loop that reads 1,000 holding registers in 8
 * requests of 125 (over TCP), or so many in one (on a serial line, RTU), for so many seconds, and prints one line:
 * requests, seconds, requests/s, CPU seconds and CPU seconds per million requests. The library keeps no silence between
 * the frames of a serial line: the loop sleeps for the 3.5 characters (8N1) after each answer.
 */

#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum {
        REQUESTS_PER_CYCLE = 8,
        REGISTERS_PER_REQUEST = 125,
        SILENCE_BITS = 35,
};

#define NS_PER_SEC 1000000000L

static double now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

typedef struct Loop {
        modbus_t *modbus;
        int requests;           /* a cycle */
        int registers;          /* a request */
        long silence;           /* ns after each answer; 0: none */
        double seconds;
} Loop;

static void rest(long ns) {
        struct timespec t = { .tv_nsec = ns };

        if (ns > 0)
                (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* Reads until the time is over; returns the number of requests or -1. */
static long run(const Loop *l) {
        uint16_t registers[REGISTERS_PER_REQUEST];
        double end = now() + l->seconds;
        long requests = 0;

        while (now() < end)
                for (int i = 0; i < l->requests; i++) {
                        if (modbus_read_registers(l->modbus, i * l->registers, l->registers, registers) != l->registers)
                                return -1;
                        requests++;
                        rest(l->silence);
                }

        return requests;
}

static int parse(int argc, char *argv[], Loop *ret) {
        if (argc == 4)
                *ret = (Loop) {
                        .modbus = modbus_new_tcp(argv[1], (int) strtol(argv[2], NULL, 10)),
                        .requests = REQUESTS_PER_CYCLE,
                        .registers = REGISTERS_PER_REQUEST,
                        .seconds = strtod(argv[3], NULL),
                };
        else if (argc == 6 && strcmp(argv[1], "--rtu") == 0)
                *ret = (Loop) {
                        .modbus = modbus_new_rtu(argv[2], (int) strtol(argv[3], NULL, 10), 'N', 8, 1),
                        .requests = 1,
                        .silence = SILENCE_BITS * NS_PER_SEC / strtol(argv[3], NULL, 10),
                        .registers = (int) strtol(argv[4], NULL, 10),
                        .seconds = strtod(argv[5], NULL),
                };
        else
                return -EINVAL;
        return ret->silence >= 0 && ret->silence < NS_PER_SEC && ret->registers > 0 && ret->registers <= REGISTERS_PER_REQUEST ? 0 : -EINVAL;
}

int main(int argc, char *argv[]) {
        double begin, elapsed, cpu;
        modbus_t *modbus;
        long requests;
        Loop loop;

        if (parse(argc, argv, &loop) < 0) {
                fprintf(stderr, "usage: %s ADDRESS PORT SECONDS, or %s --rtu DEVICE BAUDRATE REGISTERS SECONDS\n", argv[0],
                        argv[0]);
                return 2;
        }

        modbus = loop.modbus;
        if (!modbus || modbus_set_slave(modbus, 1) < 0 || modbus_connect(modbus) < 0) {
                fprintf(stderr, "%s: cannot connect: %s\n", argv[0], modbus_strerror(errno));
                modbus_free(modbus);
                return 1;
        }
        (void) modbus_set_response_timeout(modbus, 5, 0);
        (void) prctl(PR_SET_TIMERSLACK, 1);

        begin = now();
        requests = run(&loop);
        elapsed = now() - begin;
        cpu = cpu_seconds();
        if (requests < 0)
                fprintf(stderr, "%s: cannot read: %s\n", argv[0], modbus_strerror(errno));
        else
                printf("requests=%ld seconds=%.3f rate=%.0f cpu=%.3f cpu_per_million=%.2f\n", requests, elapsed,
                       (double) requests / elapsed, cpu, cpu * 1e6 / (double) requests);

        modbus_close(modbus);
        modbus_free(modbus);
        return requests < 0;
}
