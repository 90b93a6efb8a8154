/* SPDX-License-Identifier: Apache-2.0 */
/* A chatter connection: the first byte is the size of the pieces (0: all at once), the rest is what the peer
 * sends. Cutting must change nothing: the same messages, the same pongs, the same end. */

#include <errno.h>
#include <stdlib.h>

#include "event/chatter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Outcome {
        unsigned n_messages;
        guint hash;
        int error;
        Buffer out;
} Outcome;

static void check(bool condition) {
        if (!condition)
                abort();
}

static void note(Outcome *o, const ChatterMessage *m, const uint8_t *begin, const uint8_t *end) {
        check((const uint8_t *) m->type >= begin && (const uint8_t *) m->type + m->type_size <= end);
        check(m->data >= begin && m->data + m->size <= end);
        o->n_messages++;
        o->hash = o->hash * 31 + (guint) m->id;
        o->hash = o->hash * 31 + (guint) m->first;
        o->hash = o->hash * 31 + (guint) (m->owner * 4 + m->token * 2 + m->last);
        for (size_t i = 0; i < m->type_size; i++)
                o->hash = o->hash * 31 + (guint) m->type[i];
        for (size_t i = 0; i < m->size; i++)
                o->hash = o->hash * 31 + m->data[i];
}

/* Data that has arrived lies in memory of exactly its size. */
static void run(const uint8_t *data, size_t size, size_t piece, Outcome *ret) {
        size_t begin = 0, arrived = 0;
        usec_t now = 0;
        Chatter c;

        chatter_init(&c, now);
        while (ret->error == 0 && arrived < size) {
                arrived += MIN(piece, size - arrived);
                for (;;) {
                        g_autofree uint8_t *exact = g_memdup2(arrived > begin ? data + begin
                                                                              : (const uint8_t *) "",
                                                              MAX(arrived - begin, 1));
                        ChatterMessage m;
                        size_t used = 0;
                        int r;

                        r = chatter_receive(&c, exact, arrived - begin, now, &ret->out, &used, &m);
                        if (r < 0) {
                                ret->error = r;
                                break;
                        }
                        check(used <= arrived - begin && (r == 0 || used > 0));
                        if (used == 0)
                                break;
                        if (r > 0)
                                note(ret, &m, exact, exact + used);
                        begin += used;
                }
        }
}

/* Time passes in steps given by the bytes: a ping and its end come when they must, never before. */
static void run_time(const uint8_t *data, size_t size) {
        _cleanup_(buffer_done) Buffer out = { 0 };
        usec_t now = 0;
        Chatter c;

        chatter_init(&c, now);
        for (size_t i = 0; i < size; i++) {
                usec_t deadline = chatter_deadline(&c);
                int r;

                now += data[i] * USEC_PER_SEC / 4;
                r = chatter_elapse(&c, now, &out);
                check(r == 0 || (r == -ETIMEDOUT && now >= deadline));
                if (r < 0)
                        break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Outcome whole = { 0 }, cut = { 0 };

        if (size == 0)
                return 0;
        run(data + 1, size - 1, SIZE_MAX / 2, &whole);
        run(data + 1, size - 1, data[0] == 0 ? SIZE_MAX / 2 : data[0], &cut);
        check(whole.n_messages == cut.n_messages && whole.hash == cut.hash && whole.error == cut.error);
        check(buffer_size(&whole.out) == buffer_size(&cut.out) &&
              (buffer_size(&cut.out) == 0 ||
               memcmp(buffer_begin(&whole.out), buffer_begin(&cut.out), buffer_size(&cut.out)) == 0));
        buffer_done(&whole.out);
        buffer_done(&cut.out);
        run_time(data, size);
        return 0;
}
