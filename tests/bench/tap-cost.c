/* SPDX-License-Identifier: Apache-2.0 */
/* What the tap of a device costs: both frames of a poll of 125 registers, counted only, kept in the recorder, and told to somebody who
 * looks. The three take turns; a sample is a thousand polls, so that its microseconds are the nanoseconds of a poll. One thread. */

#include <stdio.h>

#include "base/bounds.h"
#include "link/tap.h"
#include "tests/bench/loopback.h"
#include "tests/bench/samples.h"

enum {
        REQUEST = 12,
        ANSWER = 259,
        POLLS = 1000,           /* of a sample */
        PERIOD = 20,            /* usec between two polls */
        ROUNDS = 2001,
};

static uint64_t n_told;

static void tell(const TapRecord *record, void *userdata) {
        n_told++;
}

static uint64_t sample(LinkTap *tap, usec_t *now) {
        static const uint8_t request[REQUEST], answer[ANSWER];
        uint64_t begin = monotonic_ns();

        for (unsigned i = 0; i < POLLS; i++, *now += PERIOD) {
                tap_sent(tap, *now, 0, request, sizeof(request));
                tap_received(tap, *now + PERIOD / 2, 0, answer, sizeof(answer));
        }
        return monotonic_ns() - begin;
}

int main(void) {
        static const char *const names[] = { "counted", "kept", "told" };
        static uint64_t samples[ELEMENTSOF(names)][ROUNDS];
        LinkTap taps[ELEMENTSOF(names)] = { {}, {}, { .listener = tell } };
        usec_t now = now_usec(CLOCK_MONOTONIC);

        for (size_t i = 1; i < ELEMENTSOF(taps); i++)
                tap_set_recorder(&taps[i], TAP_RECORDER_USUAL);
        for (size_t round = 0; round < ROUNDS; round++)
                for (size_t i = 0; i < ELEMENTSOF(taps); i++)
                        samples[i][round] = sample(&taps[i], &now);
        if (n_told != 2ULL * ROUNDS * POLLS)
                return 1;
        for (size_t i = 0; i < ELEMENTSOF(taps); i++) {
                samples_print(names[i], samples[i], ROUNDS);
                tap_done(&taps[i]);
        }
        putchar('\n');
        return 0;
}
