/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmodbus' server on a serial line: the independent peer of a modbus_master with RTU framing. Usage:
 * modbus-rtu-device DEVICE UNIT (115200 bit/s, no parity). 2,000 coils, discrete inputs, holding and input registers;
 * each holding register begins with its address, each input register with 1,000 more, every third coil and input is on.
 * Prints one line when it is ready, and runs until it is killed or the line is gone.
 */

#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 2000 };

static void fill(modbus_mapping_t *m) {
        for (int i = 0; i < SIZE; i++) {
                m->tab_bits[i] = m->tab_input_bits[i] = i % 3 == 0;
                m->tab_registers[i] = (uint16_t) i;
                m->tab_input_registers[i] = (uint16_t) (i + 1000);
        }
}

/* Until the line fails; what is no request for us is passed over. */
static void serve(modbus_t *modbus, modbus_mapping_t *mapping) {
        uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];

        for (;;) {
                int n = modbus_receive(modbus, request);

                if (n > 0)
                        (void) modbus_reply(modbus, request, n, mapping);
                else if (n < 0 && errno != EMBBADCRC && errno != EMBBADDATA && errno != ETIMEDOUT)
                        return;
        }
}

int main(int argc, char *argv[]) {
        modbus_mapping_t *mapping;
        modbus_t *modbus;

        if (argc != 3) {
                fprintf(stderr, "usage: %s DEVICE UNIT\n", argv[0]);
                return 2;
        }

        mapping = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
        modbus = modbus_new_rtu(argv[1], 115200, 'N', 8, 1);
        if (!mapping || !modbus || modbus_set_slave(modbus, (int) strtol(argv[2], NULL, 10)) < 0 ||
            modbus_connect(modbus) < 0) {
                fprintf(stderr, "%s: %s\n", argv[0], modbus_strerror(errno));
                return 1;
        }
        fill(mapping);
        printf("ready\n");
        fflush(stdout);

        serve(modbus, mapping);
        modbus_close(modbus);
        modbus_free(modbus);
        modbus_mapping_free(mapping);
        return 0;
}
