/* SPDX-License-Identifier: Apache-2.0 */
/* SBS readers and the decoder of Event on arbitrary bytes. The first byte says how many readers are called,
 * one byte each; the rest is what they read. What was read is written again and must read the same. */

#include <stdlib.h>

#include "event/eventer-codec.h"
#include "event/sbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
        if (!condition)
                abort();
}

static SbsReader reader_of(const Buffer *b) {
        return (SbsReader) { .at = buffer_begin(b), .end = buffer_begin(b) + buffer_size(b) };
}

static bool read_integer(SbsReader *r) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        int64_t v, again;
        SbsReader back;

        if (sbs_read_integer(r, &v) < 0)
                return false;
        sbs_write_integer(&b, v);
        back = reader_of(&b);
        check(buffer_size(&b) <= SBS_INTEGER_MAX && sbs_read_integer(&back, &again) >= 0 && again == v &&
              sbs_left(&back) == 0);
        return true;
}

static bool read_float(SbsReader *r) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        double v, again;
        SbsReader back;

        if (sbs_read_float(r, &v) < 0)
                return false;
        sbs_write_float(&b, v);
        back = reader_of(&b);
        check(sbs_read_float(&back, &again) >= 0 && memcmp(&again, &v, sizeof v) == 0 &&
              sbs_left(&back) == 0);
        return true;
}

static bool read_string(SbsReader *r) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        const char *text, *again;
        size_t size, again_size;
        SbsReader back;

        if (sbs_read_string(r, &text, &size) < 0)
                return false;
        sbs_write_string(&b, text, size);
        back = reader_of(&b);
        check(sbs_read_string(&back, &again, &again_size) >= 0 && again_size == size &&
              memcmp(again, text, size) == 0);
        return true;
}

static bool read_events(SbsReader *r) {
        EventList list;
        size_t n = 0;
        bool good;

        event_list_init(&list);
        good = event_list_decode(&list, r) >= 0;
        for (guint i = 0; good && i < list.events->len; i++) {
                EventType type = g_array_index(list.events, Event, i).type;
                g_autofree char *text = event_type_format(type);

                check(strlen(text) + 1 >= type.n);
                check(type.n == 0 || type.subtypes == &g_array_index(list.subtypes, Subtype, n));
                n += type.n;
        }
        check(!good || n == list.subtypes->len);
        event_list_done(&list);
        return good;
}

static bool read_one(uint8_t what, SbsReader *r) {
        const uint8_t *bytes;
        unsigned choice;
        size_t size;
        bool b;

        switch (what % 8) {
        case 0:
                return read_integer(r);
        case 1:
                return sbs_read_boolean(r, &b) >= 0;
        case 2:
                return read_float(r);
        case 3:
                return read_string(r);
        case 4:
                return sbs_read_bytes(r, &bytes, &size) >= 0;
        case 5:
                return sbs_read_count(r, &size) >= 0;
        case 6:
                return sbs_read_choice(r, what / 8 + 1U, &choice) >= 0;
        default:
                return read_events(r);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *end = data + size;
        SbsReader r;
        size_t n;

        if (size == 0)
                return 0;
        n = MIN(*data, size - 1);
        r = (SbsReader) { .at = data + 1 + n, .end = end };
        for (size_t i = 0; i < n; i++) {
                if (!read_one(data[1 + i], &r))
                        break;
                check(r.at <= end);
        }
        return 0;
}
