/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare libmodbus client that benchmarks compare with: a blocking loop that reads 1,000 holding registers in 8
 * requests of 125, for so many seconds, and prints one line: requests, seconds, requests/s, CPU seconds and CPU seconds
 * per million requests.
 */

#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum {
        REQUESTS_PER_CYCLE = 8,
        REGISTERS_PER_REQUEST = 125,
};

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

/* Reads until the time is over; returns the number of requests or -1. */
static long run(modbus_t *modbus, double seconds) {
        uint16_t registers[REGISTERS_PER_REQUEST];
        double end = now() + seconds;
        long requests = 0;

        while (now() < end)
                for (int i = 0; i < REQUESTS_PER_CYCLE; i++) {
                        if (modbus_read_registers(modbus, i * REGISTERS_PER_REQUEST, REGISTERS_PER_REQUEST,
                                                  registers) != REGISTERS_PER_REQUEST)
                                return -1;
                        requests++;
                }

        return requests;
}

int main(int argc, char *argv[]) {
        double begin, elapsed, cpu;
        modbus_t *modbus;
        long requests;

        if (argc != 4) {
                fprintf(stderr, "usage: %s ADDRESS PORT SECONDS\n", argv[0]);
                return 2;
        }

        modbus = modbus_new_tcp(argv[1], (int) strtol(argv[2], NULL, 10));
        if (!modbus || modbus_set_slave(modbus, 1) < 0 || modbus_connect(modbus) < 0) {
                fprintf(stderr, "%s: cannot connect: %s\n", argv[0], modbus_strerror(errno));
                modbus_free(modbus);
                return 1;
        }

        begin = now();
        requests = run(modbus, strtod(argv[3], NULL));
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
