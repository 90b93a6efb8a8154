/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles of measured times. Pure functions. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Sorts the samples (ns) and prints `NAME50=… NAME99=… NAMEmax=… ` in microseconds, without a line end. n > 0. */
void samples_print(const char *name, uint64_t *samples, size_t n);
