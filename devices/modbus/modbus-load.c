/* SPDX-License-Identifier: Apache-2.0 */
/* The load of a serial line. No state. */

#include "devices/modbus/modbus-load.h"

#include "devices/modbus/modbus-poll.h"

#define READ_ANSWER_HEAD 2U     /* function and byte count */
#define FIFO_ANSWER_HEAD 5U     /* … with two lengths, and an empty queue */

static size_t answer_pdu_size(const ModbusGroup *g) {
        if (g->type == MODBUS_QUEUE)
                return FIFO_ANSWER_HEAD;
        return READ_ANSWER_HEAD + (modbus_data_type_is_bit(g->type) ? (g->quantity + 7) / 8 : 2 * (size_t) g->quantity);
}

static size_t frame_size(const ModbusFraming *framing, size_t pdu_size) {
        uint8_t frame[MODBUS_FRAME_MAX] = {};

        return framing->wrap(frame, 0, 0, MIN(pdu_size, (size_t) MODBUS_PDU_MAX));
}

/* Seconds for one read, up to where the next one may begin: with the silence that the far end keeps before
 * it answers, and those that are configured. */
static double group_time(const ModbusGroup *g, const ModbusFraming *framing, const SerialOptions *line, usec_t delay) {
        usec_t request = serial_chars_usec(line, g->frame_size);
        usec_t answer = serial_chars_usec(line, frame_size(framing, answer_pdu_size(g)));
        usec_t answered = usec_add(modbus_serial_silence(line, framing->kind), answer);
        usec_t ready = usec_add(answered, MAX(line->silence_after_received, delay));

        return (double) usec_add(request, MAX(ready, line->silence_after_sent)) / (double) USEC_PER_SEC;
}

double modbus_master_load(const ModbusMasterConf *conf) {
        const ModbusConnectionConf *c = &conf->connection;
        const ModbusFraming *framing = modbus_framing_get((ModbusFramingKind) c->framing);
        const ModbusRemoteConf *remotes = conf->remote_devices.items;
        SerialOptions line = modbus_serial_options(&c->transport.serial, framing->kind);
        double load = 0;

        if (c->transport.kind != MODBUS_TRANSPORT_SERIAL || line.baudrate == 0)
                return 0;

        for (size_t i = 0; i < conf->remote_devices.n; i++) {
                ModbusPoll poll;

                modbus_poll_init(&poll, &remotes[i], framing);
                for (size_t j = 0; j < poll.n_groups; j++)
                        if (poll.groups[j].interval > 0)
                                load += group_time(&poll.groups[j], framing, &line, c->request_delay) *
                                        (double) USEC_PER_SEC / (double) poll.groups[j].interval;
                modbus_poll_done(&poll);
        }
        return load;
}

void modbus_master_verify(const void *conf, ConfErrors *e) {
        const ModbusMasterConf *c = conf;
        double load;

        modbus_master_conf_verify(conf, e);
        if (conf_errors_count(e, CONF_RANGE) + conf_errors_count(e, CONF_ERROR) > 0)
                return; /* what is wrong comes first */

        load = modbus_master_load(c);
        if (load > 1)
                conf_error_at(e, CONF_WARNING, &c->connection.transport.serial.baudrate,
                              "reading all data takes %.0f %% of the line's time: %.2f s on the wire for what is due every "
                              "second",
                              load * 100, load);
}
