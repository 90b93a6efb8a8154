/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libmodbus client driven by lines: the independent peer of modbus_slave in tests. Usage: modbus-client ADDRESS PORT,
 * or modbus-client --rtu DEVICE (115200 bit/s, no parity). One connection; each line of the standard input is one request, each is answered by one line of the standard output:
 *
 *   UNIT read-bits|read-input-bits|read-registers|read-input-registers START COUNT
 *   UNIT write-bit|write-register START VALUE
 *   UNIT write-bits|write-registers START VALUE...
 *   UNIT mask-write START AND OR
 *
 * Answers: "ok VALUE..." or "error TEXT" (libmodbus' own text).
 */

#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 2000 };

typedef struct Request {
        char verb[32];
        int unit, start;
        size_t n;
        uint16_t values[VALUES_MAX];
} Request;

static int parse(char *line, Request *ret) {
        char *save = NULL, *word;

        *ret = (Request) {};
        word = strtok_r(line, " \n", &save);
        if (!word)
                return -EINVAL;
        ret->unit = (int) strtol(word, NULL, 0);

        word = strtok_r(NULL, " \n", &save);
        if (!word || strlen(word) >= sizeof(ret->verb))
                return -EINVAL;
        memcpy(ret->verb, word, strlen(word) + 1);

        word = strtok_r(NULL, " \n", &save);
        if (!word)
                return -EINVAL;
        ret->start = (int) strtol(word, NULL, 0);

        while (ret->n < VALUES_MAX && (word = strtok_r(NULL, " \n", &save)))
                ret->values[ret->n++] = (uint16_t) strtoul(word, NULL, 0);

        return ret->n > 0 ? 0 : -EINVAL;
}

static void print_result(int r, const uint16_t *registers, const uint8_t *bits) {
        if (r < 0)
                printf("error %s", modbus_strerror(errno));
        else {
                printf("ok");
                for (int i = 0; (registers || bits) && i < r; i++)
                        printf(" %d", registers ? registers[i] : bits[i]);
        }
        printf("\n");
        fflush(stdout);
}

static int read_values(modbus_t *m, const Request *q) {
        uint16_t registers[VALUES_MAX];
        uint8_t bits[VALUES_MAX];
        int count = q->values[0];

        if (count > VALUES_MAX)
                return -EINVAL;

        if (strcmp(q->verb, "read-bits") == 0)
                print_result(modbus_read_bits(m, q->start, count, bits), NULL, bits);
        else if (strcmp(q->verb, "read-input-bits") == 0)
                print_result(modbus_read_input_bits(m, q->start, count, bits), NULL, bits);
        else if (strcmp(q->verb, "read-registers") == 0)
                print_result(modbus_read_registers(m, q->start, count, registers), registers, NULL);
        else if (strcmp(q->verb, "read-input-registers") == 0)
                print_result(modbus_read_input_registers(m, q->start, count, registers), registers, NULL);
        else
                return -EINVAL;

        return 0;
}

static int write_values(modbus_t *m, const Request *q) {
        uint8_t bits[VALUES_MAX];

        for (size_t i = 0; i < q->n; i++)
                bits[i] = q->values[i] != 0;

        if (strcmp(q->verb, "write-bit") == 0)
                print_result(modbus_write_bit(m, q->start, q->values[0]), NULL, NULL);
        else if (strcmp(q->verb, "write-register") == 0)
                print_result(modbus_write_register(m, q->start, q->values[0]), NULL, NULL);
        else if (strcmp(q->verb, "write-bits") == 0)
                print_result(modbus_write_bits(m, q->start, (int) q->n, bits), NULL, NULL);
        else if (strcmp(q->verb, "write-registers") == 0)
                print_result(modbus_write_registers(m, q->start, (int) q->n, q->values), NULL, NULL);
        else if (strcmp(q->verb, "mask-write") == 0 && q->n == 2)
                print_result(modbus_mask_write_register(m, q->start, q->values[0], q->values[1]), NULL, NULL);
        else
                return -EINVAL;

        return 0;
}

int main(int argc, char *argv[]) {
        static char line[16384];
        modbus_t *modbus;

        if (argc != 3) {
                fprintf(stderr, "usage: %s ADDRESS PORT, or %s --rtu DEVICE\n", argv[0], argv[0]);
                return 2;
        }

        if (strcmp(argv[1], "--rtu") == 0)
                modbus = modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
        else
                modbus = modbus_new_tcp(argv[1], (int) strtol(argv[2], NULL, 10));
        if (!modbus || modbus_connect(modbus) < 0) {
                fprintf(stderr, "%s: cannot connect: %s\n", argv[0], modbus_strerror(errno));
                modbus_free(modbus);
                return 1;
        }
        modbus_set_response_timeout(modbus, 10, 0);

        while (fgets(line, sizeof(line), stdin)) {
                static Request request;

                if (parse(line, &request) < 0 || modbus_set_slave(modbus, request.unit) < 0 ||
                    (strncmp(request.verb, "read", 4) == 0 ? read_values(modbus, &request)
                                                           : write_values(modbus, &request)) < 0) {
                        printf("error wrong line\n");
                        fflush(stdout);
                }
        }

        modbus_close(modbus);
        modbus_free(modbus);
        return 0;
}
