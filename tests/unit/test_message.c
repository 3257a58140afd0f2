/* SPDX-License-Identifier: MIT */
/* Messages, the reader and the envelope: what a hostile peer can put into a socket. */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envelope.h"
#include "message.h"
#include "process.h"
#include "reader.h"
#include "util.h"

/* ---- text ---------------------------------------------------------------------------------------------- */

static int parse(const char *text, size_t length, const struct message_limits *limits)
{
    struct json_object *object = NULL;
    char *exact = malloc(length ?: 1);      /* so that a sanitizer sees a read beyond the end */
    int r;

    assert_non_null(exact);
    memcpy(exact, text, length);
    r = message_parse(exact, length, limits, &object);
    free(exact);
    if (r == 0)
        assert_true(json_object_is_type(object, json_type_object));
    else
        assert_null(object);
    json_object_put(object);
    return r;
}

static void test_text_refused_and_accepted(void **state)
{
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"{}", 0},
        {" {\"a\":1} ", 0},
        {"{\"a\":[1,2,{\"b\":null}],\"c\":\"\\\"{[,\"}", 0},
        {"{\"a\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7 \xed\x9f\xbf \xf4\x8f\xbf\xbf\"}", 0},
        /* not one object */
        {"", -EBADMSG},
        {" ", -EBADMSG},
        {"[]", -EBADMSG},
        {"null", -EBADMSG},
        {"\"a\"", -EBADMSG},
        {"1", -EBADMSG},
        {"{}{}", -EBADMSG},
        {"{} x", -EBADMSG},
        {"{}]", -EBADMSG},
        {"}", -EBADMSG},
        /* truncated */
        {"{", -EBADMSG},
        {"{\"", -EBADMSG},
        {"{\"a", -EBADMSG},
        {"{\"a\\", -EBADMSG},
        {"{\"a\":", -EBADMSG},
        {"{\"a\":1", -EBADMSG},
        {"{\"a\":[1,2", -EBADMSG},
        {"{\"a\":tru", -EBADMSG},
        /* not JSON */
        {"{'a':1}", -EBADMSG},
        {"{a:1}", -EBADMSG},
        {"{'\"':[[[[1]]]],'\"':1}", -EBADMSG},
        {"{\"a\":NaN}", -EBADMSG},
        {"{\"a\":-Infinity}", -EBADMSG},
        {"{\"a\":1,}", -EBADMSG},
        {"{\"a\":/**/1}", -EBADMSG},
        {"{\"a\":TRUE}", -EBADMSG},
        {"{\"a\":\"\\x41\"}", -EBADMSG},
        {"{\"a\":\"\x01\"}", -EBADMSG},
        {"{\"a\":\"b\nc\"}", -EBADMSG},
        /* a C string would end early */
        {"{\"a\":\"b\\u0000c\"}", -EBADMSG},
        {"{\"a\\u0000b\":1}", -EBADMSG},
        {"{\"a\":\"b\\\\u0000c\"}", 0},
        /* not UTF-8: stray, cut, overlong, surrogate, above U+10FFFF, in a name, outside of a string */
        {"{\"a\":\"\xff\"}", -EILSEQ},
        {"{\"a\":\"\x80\"}", -EILSEQ},
        {"{\"a\":\"\xc3\"}", -EILSEQ},
        {"{\"a\":\"\xe2\x82\"}", -EILSEQ},
        {"{\"a\":\"\xe2\x82", -EILSEQ},
        {"{\"a\":\"\xc0\x80\"}", -EILSEQ},
        {"{\"a\":\"\xc1\xbf\"}", -EILSEQ},
        {"{\"a\":\"\xe0\x9f\xbf\"}", -EILSEQ},
        {"{\"a\":\"\xf0\x8f\xbf\xbf\"}", -EILSEQ},
        {"{\"a\":\"\xed\xa0\x80\"}", -EILSEQ},
        {"{\"a\":\"\xf4\x90\x80\x80\"}", -EILSEQ},
        {"{\"a\":\"\xf5\x80\x80\x80\"}", -EILSEQ},
        {"{\"\xff\":1}", -EILSEQ},
        {"{\xff}", -EILSEQ},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const int r = parse(cases[i].text, strlen(cases[i].text), NULL);

        if (r != cases[i].r)
            fail_msg("case %zu, %s: got %d, not %d", i, cases[i].text, r, cases[i].r);
    }
    assert_int_equal(parse("{}\0{}", 5, NULL), -EBADMSG);
    assert_int_equal(parse("{\"a\":\"b\0c\"}", 11, NULL), -EBADMSG);
}

static void test_text_last_of_two_members_counts(void **state)
{
    const char text[] = "{\"a\":1,\"a\":2}";
    struct json_object *object;

    assert_int_equal(message_parse(text, strlen(text), NULL, &object), 0);
    assert_int_equal(json_object_object_length(object), 1);
    assert_int_equal(json_object_get_int(json_object_object_get(object, "a")), 2);
    json_object_put(object);
}

/* `depth` containers around a number: the outermost is the object. */
static int parse_nested(unsigned depth, char open, char close, const struct message_limits *limits)
{
    char text[4096] = "{\"a\":";
    size_t length = strlen(text);
    int r;

    assert_true(depth < 500);
    for (unsigned i = 1; i < depth; i++)
        length += (size_t)sprintf(text + length, open == '{' ? "{\"a\":" : "[");
    text[length++] = '1';
    for (unsigned i = 1; i < depth; i++)
        text[length++] = close;
    text[length++] = '}';
    r = parse(text, length, limits);
    return r;
}

static void test_text_depth_limit_is_exact(void **state)
{
    assert_int_equal(parse_nested(MESSAGE_DEPTH_DEFAULT, '[', ']', NULL), 0);
    assert_int_equal(parse_nested(MESSAGE_DEPTH_DEFAULT + 1, '[', ']', NULL), -ELOOP);
    assert_int_equal(parse_nested(MESSAGE_DEPTH_DEFAULT, '{', '}', NULL), 0);
    assert_int_equal(parse_nested(MESSAGE_DEPTH_DEFAULT + 1, '{', '}', NULL), -ELOOP);
    assert_int_equal(parse_nested(400, '[', ']', NULL), -ELOOP);
    assert_int_equal(parse_nested(3, '[', ']', &(struct message_limits){.depth = 3}), 0);
    assert_int_equal(parse_nested(4, '[', ']', &(struct message_limits){.depth = 3}), -ELOOP);
    assert_int_equal(parse("{\"a\":\"[[[[[[\"}", 14, &(struct message_limits){.depth = 1}), 0);
}

static void test_text_unclosed_depth_is_refused_before_parsing(void **state)
{
    const size_t length = 1 << 20;
    char *text = malloc(length);

    assert_non_null(text);
    memset(text, '[', length);
    assert_int_equal(parse(text, length, NULL), -ELOOP);
    free(text);
}

static void test_text_value_and_byte_limits(void **state)
{
    const struct message_limits limits = {.values = 4, .bytes = 20};

    assert_int_equal(parse("{\"a\":[1,2,3]}", 13, &limits), 0);         /* { [ , , */
    assert_int_equal(parse("{\"a\":[1,2,3,4]}", 15, &limits), -E2BIG);
    assert_int_equal(parse("{\"a\":\",,,,,,,\"}", 15, &limits), 0);
    assert_int_equal(parse("{\"a\":12345678901234}", 20, &limits), 0);
    assert_int_equal(parse("{\"a\":123456789012345}", 21, &limits), -EMSGSIZE);
}

static void test_limits_have_names(void **state)
{
    static const int errors[] = {-EMSGSIZE, -ELOOP, -E2BIG, -ETOOMANYREFS};
    const struct message_limits limits = {1, 2, 3, 4};
    static const char *const names[] = {"bytes", "depth", "values", "descriptors"};
    const char *name;
    size_t value;

    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        assert_true(message_limit_of(errors[i], &limits, &name, &value));
        assert_string_equal(name, names[i]);
        assert_int_equal(value, i + 1);
    }
    assert_false(message_limit_of(-EILSEQ, &limits, &name, &value));
    assert_false(message_limit_of(-EBADMSG, &limits, &name, &value));
}

/* ---- reader -------------------------------------------------------------------------------------------- */

static int reader_put(struct reader *reader, const void *bytes, size_t length, const int *descriptors, size_t n)
{
    void *room;
    const int r = reader_reserve(reader, length, &room);

    if (r < 0)
        return r;
    memcpy(room, bytes, length);
    return reader_commit(reader, length, descriptors, n, NULL);
}

/* Take the next message, whose member `n` has to be this number. */
static void expect_number(struct reader *reader, int number, struct message *ret)
{
    assert_int_equal(reader_next(reader, ret), 1);
    assert_int_equal(json_object_get_int(json_object_object_get(ret->object, "n")), number);
}

static void test_reader_splits_at_every_byte(void **state)
{
    static const char bytes[] = "{\"n\":0}\0{\"n\":1,\"text\":\"\xe2\x82\xac\"}\0{\"n\":2}";

    for (size_t first = 1; first < sizeof bytes; first++) {
        for (size_t second = first; second < sizeof bytes; second++) {
            const size_t ends[] = {first, second, sizeof bytes};
            struct reader *reader;
            struct message message;
            size_t at = 0;
            int seen = 0, r;

            assert_int_equal(reader_new(NULL, &reader), 0);
            for (size_t i = 0; i < ARRAY_LENGTH(ends); i++) {
                if (ends[i] > at)
                    assert_int_equal(reader_put(reader, bytes + at, ends[i] - at, NULL, 0), 0);
                at = ends[i];
                while ((r = reader_next(reader, &message)) == 1) {
                    assert_int_equal(json_object_get_int(json_object_object_get(message.object, "n")), seen++);
                    message_done(&message);
                }
                assert_int_equal(r, 0);
            }
            assert_int_equal(seen, 3);
            assert_int_equal(reader_unfinished(reader), 0);
            reader_free(reader);
        }
    }
}

static void test_reader_goes_on_after_a_bad_message(void **state)
{
    static const char bytes[] = "{\"n\":0}\0{bad}\0{\"n\":2}";
    struct reader *reader;
    struct message message;

    assert_int_equal(reader_new(NULL, &reader), 0);
    assert_int_equal(reader_put(reader, bytes, sizeof bytes, NULL, 0), 0);
    expect_number(reader, 0, &message);
    message_done(&message);
    assert_int_equal(reader_next(reader, &message), -EBADMSG);
    expect_number(reader, 2, &message);
    message_done(&message);
    assert_int_equal(reader_next(reader, &message), 0);
    reader_free(reader);
}

/* The limit holds for a message that never ends, and its memory is bounded by it. */
static void test_reader_refuses_an_endless_message(void **state)
{
    const struct message_limits limits = {.bytes = 1000};
    struct reader *reader;
    struct message message;
    size_t sent = 0;
    int r = 0;

    assert_int_equal(reader_new(&limits, &reader), 0);
    while (sent < 100000) {
        r = reader_put(reader, "          ", 10, NULL, 0);
        if (r == 0)
            r = reader_next(reader, &message);
        if (r < 0)
            break;
        sent += 10;
    }
    assert_int_equal(r, -EMSGSIZE);
    assert_int_equal(sent, 1010);       /* found before the next read */
    reader_free(reader);
}

static void test_reader_gives_descriptors_to_their_message(void **state)
{
    const unsigned before = count_descriptors();
    const int files[] = {open_some_file(), open_some_file(), open_some_file()};
    const ino_t inodes[] = {inode_of(files[0]), inode_of(files[1]), inode_of(files[2])};
    struct reader *reader;
    struct message message;
    int taken;

    assert_int_equal(reader_new(NULL, &reader), 0);
    /* One read: the end of nothing, message 0 whole, and message 1 with its descriptor, begun. */
    assert_int_equal(reader_put(reader, "{\"n\":0}\0{\"n\"", 12, files, 1), 0);
    expect_number(reader, 0, &message);
    assert_int_equal(message.n_descriptors, 0);
    message_done(&message);
    assert_int_equal(reader_next(reader, &message), 0);
    /* The next: the rest of message 1, and message 2 with two, whole. */
    assert_int_equal(reader_put(reader, ":1}\0{\"n\":2}", 12, files + 1, 2), 0);
    expect_number(reader, 1, &message);
    assert_int_equal(message.n_descriptors, 1);
    taken = message_take_descriptor(&message, 0);
    assert_int_equal(inode_of(taken), inodes[0]);
    close(taken);
    assert_int_equal(message_take_descriptor(&message, 0), -EBADF);
    assert_int_equal(message_take_descriptor(&message, 1), -EBADF);
    message_done(&message);
    expect_number(reader, 2, &message);
    assert_int_equal(message.n_descriptors, 2);
    assert_int_equal(inode_of(message.descriptors[0]), inodes[1]);
    assert_int_equal(inode_of(message.descriptors[1]), inodes[2]);
    message_done(&message);
    reader_free(reader);
    assert_int_equal(count_descriptors(), before);
}

/* The narrowest case: the read ends behind the first byte of the message that the descriptor belongs to. */
static void test_reader_descriptor_with_one_byte_of_its_message(void **state)
{
    const unsigned before = count_descriptors();
    const int file = open_some_file();
    struct reader *reader;
    struct message message;

    assert_int_equal(reader_new(NULL, &reader), 0);
    assert_int_equal(reader_put(reader, "{\"n\":0}\0{", 9, &file, 1), 0);
    expect_number(reader, 0, &message);
    assert_int_equal(message.n_descriptors, 0);
    message_done(&message);
    assert_int_equal(reader_next(reader, &message), 0);
    assert_int_equal(reader_put(reader, "\"n\":1}", 7, NULL, 0), 0);
    expect_number(reader, 1, &message);
    assert_int_equal(message.n_descriptors, 1);
    message_done(&message);
    reader_free(reader);
    assert_int_equal(count_descriptors(), before);
}

static void test_reader_closes_what_nobody_takes(void **state)
{
    const struct message_limits limits = {.descriptors = 2};
    const unsigned before = count_descriptors();
    struct reader *reader;
    struct message message;
    int files[3];

    for (int i = 0; i < 2; i++)
        files[i] = open_some_file();
    assert_int_equal(reader_new(&limits, &reader), 0);
    assert_int_equal(reader_put(reader, "{bad", 4, files, 2), 0);
    for (int i = 0; i < 3; i++)
        files[i] = open_some_file();
    assert_int_equal(reader_put(reader, "}", 1, files, 3), -ETOOMANYREFS);
    reader_free(reader);
    assert_int_equal(count_descriptors(), before);

    files[0] = open_some_file();
    assert_int_equal(reader_new(&limits, &reader), 0);
    assert_int_equal(reader_put(reader, "{bad}", 6, files, 1), 0);
    assert_int_equal(reader_next(reader, &message), -EBADMSG);
    assert_int_equal(count_descriptors(), before);
    reader_free(reader);
}

/* ---- envelope ------------------------------------------------------------------------------------------ */

static void test_envelope_calls(void **state)
{
    static const struct {
        const char *text, *wrong;
    } cases[] = {
        {"{\"method\":\"a.B\"}", NULL},
        {"{\"method\":\"a.B\",\"parameters\":{},\"more\":true,\"oneway\":false}", NULL},
        {"{\"method\":\"a.B\",\"parameters\":null}", NULL},
        {"{}", "method"},
        {"{\"parameters\":{}}", "method"},
        {"{\"method\":null}", "method"},
        {"{\"method\":1}", "method"},
        {"{\"method\":\"B\"}", "method"},
        {"{\"method\":\"a.\"}", "method"},
        {"{\"method\":\".B\"}", "method"},
        {"{\"method\":\"\"}", "method"},
        {"{\"method\":\"a.B\",\"parameters\":[]}", "parameters"},
        {"{\"method\":\"a.B\",\"parameters\":\"x\"}", "parameters"},
        {"{\"method\":\"a.B\",\"more\":1}", "more"},
        {"{\"method\":\"a.B\",\"oneway\":\"true\"}", "oneway"},
        {"{\"method\":\"a.B\",\"more\":true,\"oneway\":true}", "more"},
        {"{\"method\":\"a.B\",\"upgrade\":true}", "upgrade"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct envelope_call call;
        struct json_object *object;
        const char *wrong = NULL;
        int r;

        assert_int_equal(message_parse(cases[i].text, strlen(cases[i].text), NULL, &object), 0);
        r = envelope_read_call(object, &call, &wrong);
        assert_int_equal(r, cases[i].wrong ? -EINVAL : 0);
        if (cases[i].wrong)
            assert_string_equal(wrong, cases[i].wrong);
        else
            assert_string_equal(call.method, "a.B");
        json_object_put(object);
    }
}

static void test_envelope_replies(void **state)
{
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"{}", 0},
        {"{\"parameters\":{},\"continues\":true}", 0},
        {"{\"error\":\"a.B\",\"new\":1}", 0},
        {"{\"error\":null}", -EBADMSG},
        {"{\"error\":\"B\"}", -EBADMSG},
        {"{\"parameters\":1}", -EBADMSG},
        {"{\"continues\":1}", -EBADMSG},
        {"{\"error\":\"a.B\",\"continues\":true}", -EBADMSG},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct envelope_reply reply;
        struct json_object *object;

        assert_int_equal(message_parse(cases[i].text, strlen(cases[i].text), NULL, &object), 0);
        assert_int_equal(envelope_read_reply(object, &reply), cases[i].r);
        json_object_put(object);
    }
}

static void test_envelope_round_trip(void **state)
{
    const struct envelope_call call = {.method = "a.B", .oneway = true};
    const struct envelope_reply reply = {.error = "a.C"};
    struct envelope_call call_read;
    struct envelope_reply reply_read;
    struct json_object *object;
    const char *wrong;

    assert_int_equal(envelope_make_call(&call, &object), 0);
    assert_int_equal(envelope_read_call(object, &call_read, &wrong), 0);
    assert_string_equal(call_read.method, "a.B");
    assert_true(call_read.oneway && !call_read.more);
    json_object_put(object);
    assert_int_equal(envelope_make_reply(&reply, &object), 0);
    assert_int_equal(envelope_read_reply(object, &reply_read), 0);
    assert_string_equal(reply_read.error, "a.C");
    assert_non_null(reply_read.parameters);
    json_object_put(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_refused_and_accepted),
        cmocka_unit_test(test_text_last_of_two_members_counts),
        cmocka_unit_test(test_text_depth_limit_is_exact),
        cmocka_unit_test(test_text_unclosed_depth_is_refused_before_parsing),
        cmocka_unit_test(test_text_value_and_byte_limits),
        cmocka_unit_test(test_limits_have_names),
        cmocka_unit_test(test_reader_splits_at_every_byte),
        cmocka_unit_test(test_reader_goes_on_after_a_bad_message),
        cmocka_unit_test(test_reader_refuses_an_endless_message),
        cmocka_unit_test(test_reader_gives_descriptors_to_their_message),
        cmocka_unit_test(test_reader_descriptor_with_one_byte_of_its_message),
        cmocka_unit_test(test_reader_closes_what_nobody_takes),
        cmocka_unit_test(test_envelope_calls),
        cmocka_unit_test(test_envelope_replies),
        cmocka_unit_test(test_envelope_round_trip),
    };

    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
