/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles of samples.h. No state. */

#include "tests/bench/samples.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static double usec(uint64_t ns) {
        return (double) ns / 1e3;
}

void samples_print(const char *name, uint64_t *samples, size_t n) {
        size_t middle = n / 2, late = n - 1 - n / 100;

        qsort(samples, n, sizeof(*samples), compare);
        printf("%s50=%.1f %s99=%.1f %smax=%.1f ", name, usec(samples[middle]), name, usec(samples[late]),
               name, usec(samples[n - 1]));
}
