/* SPDX-License-Identifier: Apache-2.0 */
/* The event store against its naive model: the bytes choose what is written, committed, undone, trimmed and asked
 * for, and how many rows a step of a query may look at. In memory: a run costs one small database. */
#include "tests/unit/store-model.h"

#define INPUT_MAX 4096U
#define STEPS_MAX 400U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Choices c = { .at = data, .end = data + size };

        if (size > 0 && size <= INPUT_MAX)
                store_script(&c, ":memory:", STEPS_MAX);
        return 0;
}
