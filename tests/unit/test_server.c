/* SPDX-License-Identifier: MIT */
/* Calls to a server: interfaces, parameters, answers, order, streams, descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "interface.h"
#include "serving.h"
#include "util.h"

/* ---- calls --------------------------------------------------------------------------------------------- */

static void test_answers_and_errors(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});

    ask(fixture, ECHO("hello"), ECHOED("hello"));
    ask(fixture, "{\"method\":\"org.example.Test.Refuse\"}",
        "{\"error\":\"org.example.Test.No\",\"parameters\":{\"why\":\"because\"}}");
    ask(fixture, "{\"method\":\"org.example.Test.Echos\"}",
        "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"org.example.Test.Echos\"}}");
    ask(fixture, "{\"method\":\"org.example.Tes.Echo\"}",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.example.Tes\"}}");
    ask(fixture, "{\"method\":\"org.example.Test.Echo\"}", INVALID("text", "is missing"));
    ask(fixture, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":5}}",
        INVALID("text", "must be a string, not int"));
    ask(fixture, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"\",\"x\":1}}",
        INVALID("x", "is unknown"));
    ask(fixture, "{\"parameters\":{}}", INVALID("method", "is not a valid member of a call, or is missing"));
    ask(fixture, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":1,\"bytes\":1}}",
        "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
    assert_string_equal(fixture->log, "");
    end(fixture);
}

/* The allow-list of a listener comes before everything else. */
static void test_listener_serves_only_its_interfaces(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});

    ask(fixture, "{\"method\":\"org.example.Other.Nothing\"}",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.example.Other\"}}");
    ask(fixture, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.example.Other\"}}",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.example.Other\"}}");
    ask(fixture, "{\"method\":\"org.varlink.service.GetInfo\"}",
        "{\"parameters\":{\"vendor\":\"Vendor\",\"product\":\"Product\",\"version\":\"1\",\"url\":\"https://example.org\","
        "\"interfaces\":[\"org.example.Test\",\"org.varlink.service\"]}}");
    end(fixture);
}

static void test_description_is_the_text_and_parses(void **state)
{
    static const char *const names[] = {"org.example.Test", "org.varlink.service"};
    const char *const texts[] = {test_interface, interface_text_service};
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct interface *parsed;
        struct message message;
        struct json_object *answer, *parameters, *description;
        char call[200];

        snprintf(call, sizeof call,
                 "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"%s\"}}",
                 names[i]);
        say(peer, call);
        answer = hear_message(fixture, peer, &message);
        assert_true(json_object_object_get_ex(answer, "parameters", &parameters));
        assert_true(json_object_object_get_ex(parameters, "description", &description));
        assert_string_equal(json_object_get_string(description), texts[i]);
        assert_int_equal(interface_parse(json_object_get_string(description), &parsed, NULL), 0);
        assert_string_equal(parsed->name, names[i]);
        interface_free(parsed);
        message_done(&message);
    }
    stream_free(peer);
    end(fixture);
}

/* Every method of the real interfaces, over the wire: a parameter that is missing is named, an unknown one too. */
static void try_real_interface(const char *text)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct method_handler *table;
    struct interface *interface;
    struct stream *peer;
    size_t n = 0;

    assert_int_equal(interface_parse(text, &interface, NULL), 0);
    for (const struct interface_member *method = interface->methods; method; method = method->next)
        n++;
    table = calloc(n + 1, sizeof *table);
    n = 0;
    for (const struct interface_member *method = interface->methods; method; method = method->next)
        table[n++] = (struct method_handler){method->name, handle_forget, 0};
    assert_int_equal(server_add_interface(fixture->server, text, table, NULL), 0);
    unlink(fixture->path);
    assert_int_equal(server_listen(fixture->server, listening_socket(fixture->path),
                                   &(struct listener_options){.name = "real",
                                                              .interfaces = (const char *[]){interface->name, NULL}},
                                   &fixture->listener), 0);
    peer = connect_peer(fixture);
    for (const struct interface_member *method = interface->methods; method; method = method->next) {
        const struct interface_field *required = method->input->fields;
        char call[300], answer[300];

        while (required && required->type->kind == INTERFACE_OPTIONAL)
            required = required->next;
        snprintf(call, sizeof call, "{\"method\":\"%s.%s\",\"parameters\":{\"surplus\":true}}", interface->name,
                 method->name);
        snprintf(answer, sizeof answer, INVALID("%s", "is %s"), required ? required->name : "surplus",
                 required ? "missing" : "unknown");
        say(peer, call);
        hear(fixture, peer, answer);
    }
    stream_free(peer);
    end(fixture);
    interface_free(interface);
    free(table);
}

static void test_real_interfaces_name_bad_parameters(void **state)
{
    try_real_interface(interface_text_control);
    try_real_interface(interface_text_worker);
}

static void test_interfaces_and_handlers_must_match(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    const char *text = "interface a.b\nmethod A() -> ()\nmethod B() -> ()\n";
    const struct method_handler missing[] = {{"A", handle_forget, 0}, {0}};
    const struct method_handler surplus[] = {{"A", handle_forget, 0}, {"B", handle_forget, 0}, {"C", handle_forget, 0},
                                             {0}};
    const struct method_handler twice[] = {{"A", handle_forget, 0}, {"B", handle_forget, 0}, {"A", handle_forget, 0},
                                           {0}};
    const struct method_handler both[] = {{"A", handle_forget, 0}, {"B", handle_forget, 0}, {0}};
    struct listener_options options = {.name = "x", .interfaces = (const char *[]){"c.d", NULL}};
    struct listener *listener = NULL;
    int idle;

    assert_int_equal(server_add_interface(fixture->server, text, missing, NULL), -ENOSYS);
    assert_int_equal(server_add_interface(fixture->server, text, surplus, NULL), -ENOENT);
    assert_int_equal(server_add_interface(fixture->server, text, twice, NULL), -EEXIST);
    assert_int_equal(server_add_interface(fixture->server, "interface", both, NULL), -EBADMSG);
    assert_int_equal(server_add_interface(fixture->server, text, both, NULL), 0);
    assert_int_equal(server_add_interface(fixture->server, text, both, NULL), -EEXIST);
    assert_int_equal(server_listen(fixture->server, 0, &options, &listener), -ENOENT);
    options.interfaces = test_interfaces;
    assert_int_equal(server_listen(fixture->server, fixture->file, &options, &listener), -ENOTSOCK);
    idle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(server_listen(fixture->server, idle, &options, &listener), -EINVAL);
    close(idle);
    assert_null(listener);
    end(fixture);
}

static void test_a_message_in_single_bytes(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    const char *call = ECHO("\xe2\x82\xac");

    for (size_t i = 0; i <= strlen(call); i++) {
        assert_true(is_silent(fixture, peer));
        assert_int_equal(send(stream_descriptor(peer), call + i, 1, 0), 1);
    }
    hear(fixture, peer, ECHOED("\xe2\x82\xac"));
    stream_free(peer);
    end(fixture);
}

static void test_pipelined_calls_are_answered_in_order(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, ECHO("1"));
    say(peer, LATER(2));
    say(peer, ECHO("3"));
    say(peer, LATER(4));
    say(peer, ECHO("5"));
    hear(fixture, peer, ECHOED("1"));
    assert_true(is_silent(fixture, peer));
    answer_later(fixture);
    hear(fixture, peer, "{\"parameters\":{\"id\":2}}");
    hear(fixture, peer, ECHOED("3"));
    assert_true(is_silent(fixture, peer));
    answer_later(fixture);
    hear(fixture, peer, "{\"parameters\":{\"id\":4}}");
    hear(fixture, peer, ECHOED("5"));
    stream_free(peer);
    end(fixture);
}

static void test_many_pipelined_calls(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    char call[200], answer[100];
    int said = 0;

    for (int heard = 0; heard < 2000; heard++) {
        for (; said < 2000 && said < heard + 100; said++) {
            snprintf(call, sizeof call, ECHO("%d"), said);
            say(peer, call);
        }
        snprintf(answer, sizeof answer, ECHOED("%d"), heard);
        hear(fixture, peer, answer);
    }
    stream_free(peer);
    end(fixture);
}

static void test_oneway_has_no_answer(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, NOTIFY("a"));
    say(peer, NOTIFY("b"));
    say(peer, "{\"method\":\"org.example.Test.Forget\",\"oneway\":true}");
    say(peer, "{\"method\":\"org.example.Test.Refuse\",\"oneway\":true}");
    say(peer, ECHO("c"));
    hear(fixture, peer, ECHOED("c"));
    assert_string_equal(fixture->notes, "a:0 b:0 ");
    assert_string_equal(fixture->log, "");
    say(peer, "{\"method\":\"org.example.Test.Not\\nify\",\"oneway\":true}");
    say(peer, "{\"method\":\"org.example.Test.Notify\",\"parameters\":{\"text\":3},\"oneway\":true}");
    say(peer, ECHO("d"));
    hear(fixture, peer, ECHOED("d"));
    assert_int_equal(fixture->logged, 2);
    assert_non_null(strstr(fixture->log, "Not?ify ignored: org.varlink.service.MethodNotFound"));
    assert_non_null(strstr(fixture->log, "org.example.Test.Notify ignored: text must be a string, not int"));
    stream_free(peer);
    end(fixture);
}

/* The next call need not wait for it, and what it is answered then goes nowhere. */
static void test_oneway_that_is_done_later(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Later\",\"parameters\":{\"id\":1},\"oneway\":true}");
    say(peer, ECHO("2"));
    hear(fixture, peer, ECHOED("2"));
    answer_later(fixture);
    say(peer, ECHO("3"));
    hear(fixture, peer, ECHOED("3"));
    stream_free(peer);
    end(fixture);
}

static void test_more_streams(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":3,\"bytes\":1},\"more\":true}");
    hear(fixture, peer, "{\"parameters\":{\"n\":1,\"text\":\"x\"},\"continues\":true}");
    hear(fixture, peer, "{\"parameters\":{\"n\":2,\"text\":\"x\"},\"continues\":true}");
    hear(fixture, peer, "{\"parameters\":{\"n\":3,\"text\":\"x\"}}");
    stream_free(peer);
    end(fixture);
}

/* Who answers more than once learns how much is not taken yet, and when nobody listens any more. */
static void test_a_stream_knows_its_listener(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Later\",\"parameters\":{\"id\":1},\"more\":true}");
    turn(fixture);
    assert_non_null(fixture->later);
    assert_int_equal(call_queued(fixture->later), 0);
    for (int n = 0; n < 1000000 && call_queued(fixture->later) == 0; n++)
        call_reply_continues(fixture->later, one("id", json_object_new_int(n)));
    assert_true(call_queued(fixture->later) > 0);
    shutdown(stream_descriptor(peer), SHUT_WR);         /* it says nothing more, and listens */
    assert_false(call_is_deserted(fixture->later));
    stream_free(peer);
    assert_true(call_is_deserted(fixture->later));
    call_close(fixture->later);
    call_close(fixture->later);
    assert_true(call_is_deserted(fixture->later));
    assert_int_equal(call_queued(fixture->later), 0);
    fixture->later = call_put(fixture->later);
    assert_string_equal(fixture->log, "");
    end(fixture);
}

static void test_descriptors_both_ways(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    struct json_object *call = one("method", json_object_new_string("org.example.Test.Take"));
    struct message message;
    struct stat status;
    int ends[2], given;
    char answer[100];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fstat(ends[0], &status), 0);
    assert_int_equal(stream_queue(peer, call, (int[]){ends[1], ends[0]}, 2), 0);
    assert_int_equal(stream_send(peer), 0);
    snprintf(answer, sizeof answer, "{\"parameters\":{\"inodes\":[%lu]}}", (unsigned long)status.st_ino);
    hear(fixture, peer, answer);
    close(ends[1]);
    assert_int_equal(read(ends[0], answer, 1), 0);      /* end of file: the server closed the one it did not take */
    close(ends[0]);

    say(peer, "{\"method\":\"org.example.Test.Give\"}");
    assert_non_null(hear_message(fixture, peer, &message));
    assert_int_equal(message.n_descriptors, 1);
    given = message_take_descriptor(&message, 0);
    assert_int_equal(fstat(given, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    close(given);
    message_done(&message);
    json_object_put(call);
    stream_free(peer);
    end(fixture);
}

static void test_a_call_left_without_answer_closes(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Forget\"}");
    hear_end(fixture, peer);
    assert_non_null(strstr(fixture->log, "call of org.example.Test.Forget was left without an answer"));
    stream_free(peer);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_and_errors),
        cmocka_unit_test(test_listener_serves_only_its_interfaces),
        cmocka_unit_test(test_description_is_the_text_and_parses),
        cmocka_unit_test(test_real_interfaces_name_bad_parameters),
        cmocka_unit_test(test_interfaces_and_handlers_must_match),
        cmocka_unit_test(test_a_message_in_single_bytes),
        cmocka_unit_test(test_pipelined_calls_are_answered_in_order),
        cmocka_unit_test(test_many_pipelined_calls),
        cmocka_unit_test(test_oneway_has_no_answer),
        cmocka_unit_test(test_oneway_that_is_done_later),
        cmocka_unit_test(test_more_streams),
        cmocka_unit_test(test_a_stream_knows_its_listener),
        cmocka_unit_test(test_descriptors_both_ways),
        cmocka_unit_test(test_a_call_left_without_answer_closes),
    };

    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
