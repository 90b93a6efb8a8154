/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a serial line's time the poll plan of a master takes on the wire alone. Pure functions; loop
 * thread, at start. */
#pragma once

#include "devices/modbus/modbus-conf.h"

/* Seconds on the wire for what is due in one second: requests, good answers, the silences and the delay
 * between them. What is polled as fast as it goes (interval 0) counts nothing. 0: not a serial line. The
 * configuration is good. */
double modbus_master_load(const ModbusMasterConf *conf);

/* modbus_master_conf_verify(), and a warning when a line cannot do what is asked of it. */
void modbus_master_verify(const void *conf, ConfErrors *e);
