/* SPDX-License-Identifier: Apache-2.0 */
/* Chatter against chatter.json: frames, sizes, what a receiver does; supervision with a fake clock. */

#include <errno.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "tests/unit/vectors.h"

#define SECOND USEC_PER_SEC

static void assert_message(const ChatterMessage *m, JsonSpan expected) {
        g_autofree char *type = vector_text(vector_get(expected, "type"), NULL);

        g_assert_cmpint(m->id, ==, vector_integer(vector_get(expected, "id")));
        g_assert_cmpint(m->first, ==, vector_integer(vector_get(expected, "first")));
        g_assert_true(m->owner == vector_bool(vector_get(expected, "owner")));
        g_assert_true(m->token == vector_bool(vector_get(expected, "token")));
        g_assert_true(m->last == vector_bool(vector_get(expected, "last")));
        g_assert_true(chatter_message_is(m, type));
        if (vector_find(expected, "data_hex").text)
                assert_bytes(m->data, m->size, vector_get(expected, "data_hex"));
}

/* How the layer above sees a message: wire.md 2.3. */
static void assert_view(const ChatterMessage *m, JsonSpan view) {
        JsonSpan conversation = vector_get(view, "conversation");

        g_assert_true((m->owner && m->first == m->id) == vector_bool(vector_get(view, "first")));
        g_assert_true(m->last == vector_bool(vector_get(view, "last")));
        g_assert_true(m->token == vector_bool(vector_get(view, "token")));
        g_assert_true(!m->owner == vector_bool(vector_get(conversation, "owner")));
        g_assert_cmpint(m->first, ==, vector_integer(vector_get(conversation, "first")));
}

/* Sends what the vector describes. */
static void send_message(JsonSpan msg, const uint8_t *data, size_t size, Buffer *out) {
        int64_t id = vector_integer(vector_get(msg, "id")), first = vector_integer(vector_get(msg, "first"));
        g_autofree char *type = vector_text(vector_get(msg, "type"), NULL);
        bool owner = vector_bool(vector_get(msg, "owner")), last = vector_bool(vector_get(msg, "last"));
        ChatterMessage to = { .first = first, .owner = !owner };
        Chatter c;

        chatter_init(&c, 0);
        c.last_id = id - 1;
        if (owner && first == id)
                g_assert_cmpint(chatter_send(&c, last, type, data, size, out), ==, id);
        else
                g_assert_cmpint(chatter_reply(&c, &to, last, type, data, size, out), ==, id);
}

static void test_frames(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "chatter.json");
        FOREACH_ITEM(x, vector_get(v.root, "frames")) {
                g_autoptr(GByteArray) frame = vector_hex(vector_get(x, "frame_hex"));
                JsonSpan msg = vector_get(x, "msg");
                g_autoptr(GByteArray) data = vector_hex(vector_get(msg, "data_hex"));
                _cleanup_(buffer_done) Buffer out = { 0 }, replies = { 0 };
                ChatterMessage m;
                Chatter c;
                size_t used;
                int r;

                /* The vectors with a flag that no peer of ours sends can only be received. */
                if (vector_bool(vector_get(msg, "token"))) {
                        send_message(msg, data->data, data->len, &out);
                        g_assert_cmpmem(buffer_begin(&out), buffer_size(&out), frame->data, frame->len);
                }

                chatter_init(&c, 0);
                r = chatter_receive(&c, frame->data, frame->len, 1, &replies, &used, &m);
                g_assert_cmpint(r, >=, 0);
                g_assert_cmpuint(used, ==, frame->len);
                if (r == 1) {
                        assert_message(&m, msg);
                        assert_view(&m, vector_get(x, "receiver_view"));
                } else
                        g_assert_true(json_text_equal(vector_get(msg, "type"), "HatChatter.Ping") ||
                                      json_text_equal(vector_get(msg, "type"), "HatChatter.Pong"));

                for (guint i = 0; i < frame->len; i++) {
                        g_autofree uint8_t *part = g_memdup2(frame->data, MAX(i, 1));

                        g_assert_cmpint(chatter_receive(&c, part, i, 1, &replies, &used, &m), ==, 0);
                        g_assert_cmpuint(used, ==, 0);
                }
        }
}

static void test_sizes(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "chatter.json");
        FOREACH_ITEM(x, vector_get(v.root, "sizes")) {
                g_autoptr(GByteArray) fill_byte = vector_hex(vector_get(x, "fill_byte"));
                size_t n = (size_t) vector_integer(vector_get(x, "fill_count")), used;
                g_autofree uint8_t *fill = g_malloc(MAX(n, 1));
                g_autofree char *sum = NULL;
                _cleanup_(buffer_done) Buffer out = { 0 }, replies = { 0 };
                ChatterMessage m;
                Chatter c;

                memset(fill, fill_byte->data[0], n);
                send_message(vector_get(x, "msg"), fill, n, &out);
                sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, buffer_begin(&out), buffer_size(&out));
                g_assert_cmpint(buffer_size(&out), ==, vector_integer(vector_get(x, "frame_len")));
                g_assert_true(json_text_equal(vector_get(x, "sha256"), sum));

                chatter_init(&c, 0);
                g_assert_cmpint(chatter_receive(&c, buffer_begin(&out), buffer_size(&out), 0, &replies,
                                                &used, &m),
                                ==, 1);
                g_assert_cmpuint(used, ==, buffer_size(&out));
                assert_message(&m, vector_get(x, "msg"));
                g_assert_cmpmem(m.data, m.size, fill, n);
        }
}

/* Feeds the input in pieces of `chunk` bytes, as a stream would, and compares what comes out. */
static void run_receiver(JsonSpan x, size_t chunk) {
        g_autoptr(GByteArray) input = vector_hex(vector_get(x, "input_hex"));
        g_autoptr(GByteArray) replies = g_byte_array_new();
        JsonIterator delivered = json_iterate(vector_get(x, "delivered"));
        bool end_of_stream = vector_find(x, "end_of_stream").text != NULL, closed = false;
        _cleanup_(buffer_done) Buffer in = { 0 }, out = { 0 };
        JsonSpan key, item;
        Chatter c;

        chatter_init(&c, 0);
        for (size_t at = 0; at < input->len && !closed; at += chunk) {
                buffer_append(&in, input->data + at, MIN(chunk, input->len - at));
                for (;;) {
                        ChatterMessage m;
                        size_t used;
                        int r;

                        r = chatter_receive(&c, buffer_begin(&in), buffer_size(&in), 0, &out, &used, &m);
                        if (r < 0) {
                                closed = true;
                                break;
                        }
                        if (used == 0)
                                break;
                        if (r == 1) {
                                g_autofree char *type = NULL;

                                g_assert_true(json_next(&delivered, &key, &item));
                                type = vector_text(vector_get(item, "type"), NULL);
                                g_assert_true(chatter_message_is(&m, type));
                                assert_bytes(m.data, m.size, vector_get(item, "data_hex"));
                                assert_view(&m, item);
                        }
                        buffer_consume(&in, used);
                }
        }

        g_assert_false(json_next(&delivered, &key, &item));
        if (!end_of_stream)
                g_assert_true(closed == json_text_equal(vector_get(x, "connection"), "closed"));
        FOREACH_ITEM(reply, vector_get(x, "replies")) {
                g_autoptr(GByteArray) frame = vector_hex(vector_get(reply, "frame_hex"));

                g_byte_array_append(replies, frame->data, frame->len);
        }
        if (!end_of_stream)
                g_assert_cmpmem(buffer_begin(&out), buffer_size(&out), replies->data, replies->len);
}

static void test_receiver(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "chatter.json");
        FOREACH_ITEM(x, vector_get(v.root, "receiver_behaviour")) {
                run_receiver(x, SIZE_MAX / 2);
                run_receiver(x, 1);
                run_receiver(x, 7);
        }
}

static void test_limit(void) {
        /* 64 MiB is waited for, one byte more is refused as soon as it is known. */
        static const uint8_t most[] = { 4, 0x04, 0, 0, 0 }, over[] = { 4, 0x04, 0, 0, 1 },
                             beyond_32_bits[] = { 5, 0x04, 0, 0, 0, 1 }, huge[] = { 255, 0, 0, 1, 0, 0, 0, 0 };
        _cleanup_(buffer_done) Buffer out = { 0 };
        ChatterMessage m;
        size_t used;
        Chatter c;

        chatter_init(&c, 0);
        g_assert_cmpint(chatter_receive(&c, most, sizeof most, 0, &out, &used, &m), ==, 0);
        g_assert_cmpuint(used, ==, 0);
        g_assert_cmpint(chatter_receive(&c, over, sizeof over, 0, &out, &used, &m), ==, -EMSGSIZE);
        g_assert_cmpint(chatter_receive(&c, beyond_32_bits, sizeof beyond_32_bits, 0, &out, &used, &m), ==, -EMSGSIZE);
        g_assert_cmpint(chatter_receive(&c, huge, sizeof huge, 0, &out, &used, &m), ==, -EMSGSIZE);
}

/* A reply keeps `first`, whatever the peer chose. */
static void test_ping_of_conversation_zero(void) {
        static const uint8_t ping[] = "\x01\x16\x81\x80\x01\x01\x00\x8fHatChatter.Ping\x80";
        static const uint8_t pong[] = "\x01\x16\x81\x80\x00\x01\x01\x8fHatChatter.Pong\x80";
        _cleanup_(buffer_done) Buffer out = { 0 };
        ChatterMessage m;
        size_t used;
        Chatter c;

        chatter_init(&c, 0);
        g_assert_cmpint(chatter_receive(&c, ping, sizeof ping - 1, 0, &out, &used, &m), ==, 0);
        g_assert_cmpmem(buffer_begin(&out), buffer_size(&out), pong, sizeof pong - 1);
}

/* ---- supervision: wire.md 2.4 ------------------------------------------------------------------------ */

static const uint8_t pong[] = "\x01\x16\x81\x81\x00\x01\x01\x8fHatChatter.Pong\x80";
static const uint8_t other[] = "\x01\x08\x81\x81\x01\x01\x01\x81"
                               "a\x80";

static void receive(Chatter *c, const uint8_t *data, size_t size, usec_t now, Buffer *out) {
        ChatterMessage m;
        size_t used;

        g_assert_cmpint(chatter_receive(c, data, size, now, out, &used, &m), >=, 0);
        g_assert_cmpuint(used, ==, size);
}

static void test_supervision(void) {
        static const uint8_t ping[] = "\x01\x16\x81\x81\x01\x01\x00\x8fHatChatter.Ping\x80";
        _cleanup_(buffer_done) Buffer out = { 0 };
        Chatter c;

        chatter_init(&c, 100 * SECOND);
        g_assert_cmpuint(chatter_deadline(&c), ==, 120 * SECOND);
        g_assert_cmpint(chatter_elapse(&c, 120 * SECOND - 1, &out), ==, 0);
        g_assert_cmpuint(buffer_size(&out), ==, 0);

        /* 20 s of silence: a ping; 20 s more: gone. */
        g_assert_cmpint(chatter_elapse(&c, 120 * SECOND, &out), ==, 0);
        g_assert_cmpmem(buffer_begin(&out), buffer_size(&out), ping, sizeof ping - 1);
        g_assert_cmpuint(chatter_deadline(&c), ==, 140 * SECOND);
        g_assert_cmpint(chatter_elapse(&c, 140 * SECOND - 1, &out), ==, 0);
        g_assert_cmpuint(buffer_size(&out), ==, sizeof ping - 1);
        g_assert_cmpint(chatter_elapse(&c, 140 * SECOND, &out), ==, -ETIMEDOUT);
}

static void test_supervision_received(void) {
        static const struct {
                const uint8_t *data;
                size_t size;
        } any[] = { { pong, sizeof pong - 1 }, { other, sizeof other - 1 } };

        for (size_t i = 0; i < ELEMENTSOF(any); i++) {
                _cleanup_(buffer_done) Buffer out = { 0 };
                Chatter c;

                chatter_init(&c, 0);
                receive(&c, any[i].data, any[i].size, 15 * SECOND, &out); /* restarts the delay */
                g_assert_cmpuint(chatter_deadline(&c), ==, 35 * SECOND);
                g_assert_cmpint(chatter_elapse(&c, 35 * SECOND, &out), ==, 0);
                receive(&c, any[i].data, any[i].size, 54 * SECOND,
                        &out); /* ends the timeout, not only a pong does */
                g_assert_cmpuint(chatter_deadline(&c), ==, 74 * SECOND);

                /* Half a frame is no message. */
                receive(&c, any[i].data, 0, 73 * SECOND, &out);
                g_assert_cmpuint(chatter_deadline(&c), ==, 74 * SECOND);
        }
}

static void test_supervision_sent(void) {
        _cleanup_(buffer_done) Buffer out = { 0 };
        Chatter c;

        chatter_init(&c, 0);
        (void) chatter_send(&c, true, "a", NULL, 0, &out);
        g_assert_cmpuint(chatter_deadline(&c), ==, 20 * SECOND);

        c.ping_delay = 0;
        g_assert_cmpuint(chatter_deadline(&c), ==, USEC_INFINITY);
        buffer_clear(&out);
        g_assert_cmpint(chatter_elapse(&c, 1000 * SECOND, &out), ==, 0);
        g_assert_cmpuint(buffer_size(&out), ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/chatter/frames", test_frames);
        g_test_add_func("/chatter/sizes", test_sizes);
        g_test_add_func("/chatter/receiver", test_receiver);
        g_test_add_func("/chatter/limit", test_limit);
        g_test_add_func("/chatter/ping-of-conversation-zero", test_ping_of_conversation_zero);
        g_test_add_func("/chatter/supervision", test_supervision);
        g_test_add_func("/chatter/supervision-received", test_supervision_received);
        g_test_add_func("/chatter/supervision-sent", test_supervision_sent);
        return g_test_run();
}
