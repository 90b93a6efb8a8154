/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the clocks. No state, any thread. */

#include "base/time.h"

usec_t now_usec(clockid_t clock) {
        struct timespec t = { 0 };

        (void) clock_gettime(clock, &t); /* fails only for a clock that does not exist */
        return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) (t.tv_nsec / NSEC_PER_USEC);
}
