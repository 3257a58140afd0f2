/* SPDX-License-Identifier: MIT */
/* The server in this process, and peers of every kind on the other ends of its sockets. */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "interface.h"
#include "server.h"
#include "stream.h"
#include "util.h"

static const char test_interface[] = "interface org.example.Test\n"
                                     "method Echo(text: string) -> (text: string)\n"
                                     "method Later(id: int) -> (id: int)\n"
                                     "method Notify(text: string) -> ()\n"
                                     "method Stream(count: int, bytes: int) -> (n: int, text: string)\n"
                                     "method Take() -> (inodes: []int)\n"
                                     "method Give() -> ()\n"
                                     "method Forget() -> ()\n"
                                     "method Refuse() -> ()\n"
                                     "error No (why: string)\n"
                                     "error LimitExceeded (limit: string, maximum: int)\n";
static const char other_interface[] = "interface org.example.Other\nmethod Nothing() -> ()\n";

/* ---- the server ---------------------------------------------------------------------------------------- */

struct fixture {
    char directory[64], path[128];
    struct event_base *base;
    struct server *server;
    struct listener *listener;
    struct call *later;             /* the call of Later that is not answered yet */
    char log[2048], notes[1024];    /* log lines; texts of Notify, and who sent them */
    unsigned logged, opened, closed;
    int refuse;                     /* what `opened` answers */
    int again;                      /* where Notify sends another one; 0: nowhere */
    int drained;                    /* what draining gave inside Notify; 1: not tried */
    struct connection *connection;  /* the last one opened */
    unsigned descriptors;           /* open at the beginning */
    int file;
};

static unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

static void on_log(void *userdata, int priority, const char *text)
{
    struct fixture *fixture = userdata;
    const size_t length = strlen(fixture->log);

    assert_null(strchr(text, '\n'));
    snprintf(fixture->log + length, sizeof fixture->log - length, "%s\n", text);
    fixture->logged++;
}

static int on_opened(struct connection *connection, void *userdata)
{
    struct fixture *fixture = userdata;

    if (fixture->refuse < 0)
        return fixture->refuse;
    fixture->opened++;
    fixture->connection = connection;
    return 0;
}

static void on_closed(struct connection *connection, void *userdata)
{
    struct fixture *fixture = userdata;

    fixture->closed++;
    if (fixture->connection == connection)
        fixture->connection = NULL;
}

static struct json_object *one(const char *name, struct json_object *value)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, name, value);
    return object;
}

static void handle_echo(struct call *call, void *userdata)
{
    call_reply(call, json_object_get(call_parameters(call)));
}

static void handle_later(struct call *call, void *userdata)
{
    struct fixture *fixture = userdata;

    assert_null(fixture->later);
    fixture->later = call_get(call);
}

#define AGAIN "{\"method\":\"org.example.Test.Notify\",\"parameters\":{\"text\":\"again\"},\"oneway\":true}"

static void handle_notify(struct call *call, void *userdata)
{
    struct fixture *fixture = userdata;
    const char *text = json_object_get_string(json_object_object_get(call_parameters(call), "text"));
    const size_t length = strlen(fixture->notes);

    snprintf(fixture->notes + length, sizeof fixture->notes - length, "%s:%d ", text,
             call_sender(call) ? (int)call_sender(call)->pid : 0);
    if (fixture->again)
        assert_true(send(fixture->again, AGAIN, sizeof AGAIN, 0) > 0);
    if (fixture->drained == 1)
        fixture->drained = connection_drain(call_connection(call));
    if (!call_is_oneway(call))
        call_reply(call, NULL);
}

static void handle_stream(struct call *call, void *userdata)
{
    const int count = json_object_get_int(json_object_object_get(call_parameters(call), "count"));
    const int bytes = json_object_get_int(json_object_object_get(call_parameters(call), "bytes"));
    char *text = calloc(1, (size_t)bytes + 1);

    memset(text, 'x', (size_t)bytes);
    for (int i = 1; i <= count; i++) {
        struct json_object *answer = one("n", json_object_new_int(i));

        json_object_object_add(answer, "text", json_object_new_string(text));
        if (i < count)
            call_reply_continues(call, answer);
        else
            call_reply(call, answer);
    }
    free(text);
}

static void handle_take(struct call *call, void *userdata)
{
    struct json_object *inodes = json_object_new_array();

    /* All but the first, which stays the call's and is closed with it. */
    for (size_t i = 1; i < call_descriptors(call); i++) {
        _cleanup_close_ int descriptor = call_take_descriptor(call, i);
        struct stat status;

        assert_int_equal(fstat(descriptor, &status), 0);
        json_object_array_add(inodes, json_object_new_int64((int64_t)status.st_ino));
        assert_int_equal(call_take_descriptor(call, i), -EBADF);
    }
    assert_int_equal(call_take_descriptor(call, call_descriptors(call)), -EBADF);
    call_reply(call, one("inodes", inodes));
}

static void handle_give(struct call *call, void *userdata)
{
    struct fixture *fixture = userdata;

    call_reply_descriptors(call, NULL, &fixture->file, 1);
}

static void handle_forget(struct call *call, void *userdata)
{
}

static void handle_refuse(struct call *call, void *userdata)
{
    call_error(call, "org.example.Test.No", one("why", json_object_new_string("because")));
}

static const struct method_handler handlers[] = {
    {"Echo", handle_echo, 0},     {"Later", handle_later, 0}, {"Notify", handle_notify, 0},
    {"Stream", handle_stream, METHOD_REQUIRES_MORE},          {"Take", handle_take, 0},
    {"Give", handle_give, 0},     {"Forget", handle_forget, 0}, {"Refuse", handle_refuse, 0},
    {0},
};
static const struct method_handler other_handlers[] = {{"Nothing", handle_forget, 0}, {0}};
static const char *const test_interfaces[] = {"org.example.Test", NULL};

static int listening_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_true(descriptor >= 0);
    assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(descriptor, 64), 0);
    return descriptor;
}

static const struct server_options server_options = {
    .vendor = "Vendor", .product = "Product", .version = "1", .url = "https://example.org", .log = on_log};

static void listen_with(struct fixture *fixture, struct listener_options options)
{
    options.name = "test";
    options.interfaces = test_interfaces;
    options.opened = on_opened;
    options.closed = on_closed;
    options.userdata = fixture;
    assert_int_equal(server_listen(fixture->server, listening_socket(fixture->path), &options, &fixture->listener), 0);
}

static struct fixture *begin(struct listener_options options)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct server_options with_log = server_options;

    assert_non_null(fixture);
    fixture->descriptors = count_descriptors();
    fixture->file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    strcpy(fixture->directory, "/tmp/test_server.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/socket", fixture->directory);
    fixture->base = event_base_new();
    with_log.userdata = fixture;
    assert_int_equal(server_new(fixture->base, &with_log, &fixture->server), 0);
    assert_int_equal(server_add_interface(fixture->server, test_interface, handlers, fixture), 0);
    assert_int_equal(server_add_interface(fixture->server, other_interface, other_handlers, fixture), 0);
    listen_with(fixture, options);
    return fixture;
}

/* Everything that was opened is closed again. */
static void end(struct fixture *fixture)
{
    fixture->server = server_free(fixture->server);
    assert_int_equal(fixture->opened, fixture->closed);
    event_base_free(fixture->base);
    unlink(fixture->path);
    rmdir(fixture->directory);
    close(fixture->file);
    assert_int_equal(count_descriptors(), fixture->descriptors);
    free(fixture);
}

static void turn(struct fixture *fixture)
{
    for (int i = 0; i < 20; i++)
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
}

/* ---- peers --------------------------------------------------------------------------------------------- */

static int connect_raw(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, fixture->path);
    assert_int_equal(connect(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    return descriptor;
}

static struct stream *connect_peer(struct fixture *fixture)
{
    struct stream *peer;

    assert_int_equal(stream_new(connect_raw(fixture), NULL, 0, &peer), 0);
    turn(fixture);
    return peer;
}

/* Put bytes into the socket, NUL included. */
static void say(struct stream *peer, const char *text)
{
    const ssize_t length = (ssize_t)strlen(text) + 1;

    assert_int_equal(send(stream_descriptor(peer), text, (size_t)length, MSG_NOSIGNAL), length);
}

/* The next answer; NULL if the conversation is over. */
static struct json_object *hear_message(struct fixture *fixture, struct stream *peer, struct message *ret)
{
    for (int i = 0; i < 20000 && !stream_ready(peer); i++) {
        ssize_t n;

        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        n = stream_receive(peer, 0);
        if (n == 0 || n == -ECONNRESET)
            return NULL;
        assert_true(n > 0 || n == -EAGAIN);
    }
    if (!stream_ready(peer))
        fail_msg("no answer");
    assert_int_equal(stream_next(peer, ret), 1);
    return ret->object;
}

/* The next answer as text, compared. */
static void hear(struct fixture *fixture, struct stream *peer, const char *expected)
{
    struct message message;
    struct json_object *answer = hear_message(fixture, peer, &message);

    if (!answer)
        fail_msg("the connection was closed; log: %s", fixture->log);
    assert_string_equal(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                        expected);
    message_done(&message);
}

static void hear_end(struct fixture *fixture, struct stream *peer)
{
    struct message message;

    assert_null(hear_message(fixture, peer, &message));
}

static bool is_silent(struct fixture *fixture, struct stream *peer)
{
    turn(fixture);
    return !stream_ready(peer) && stream_receive(peer, 0) == -EAGAIN;
}

/* One call on a new connection: the answer is this. */
static void ask(struct fixture *fixture, const char *call, const char *answer)
{
    struct stream *peer = connect_peer(fixture);

    say(peer, call);
    hear(fixture, peer, answer);
    stream_free(peer);
    turn(fixture);
}

static void answer_later(struct fixture *fixture)
{
    const int id = json_object_get_int(json_object_object_get(call_parameters(fixture->later), "id"));

    call_reply(fixture->later, one("id", json_object_new_int(id)));
    fixture->later = call_put(fixture->later);
}

#define ECHO(text) "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"" text "\"}}"
#define ECHOED(text) "{\"parameters\":{\"text\":\"" text "\"}}"
#define LATER(id) "{\"method\":\"org.example.Test.Later\",\"parameters\":{\"id\":" #id "}}"
#define NOTIFY(text) "{\"method\":\"org.example.Test.Notify\",\"parameters\":{\"text\":\"" text "\"},\"oneway\":true}"
#define INVALID(parameter, reason) \
    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"" parameter "\",\"reason\":\"" reason "\"}}"

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
    ask(fixture, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":5}}", INVALID("text", "must be a string, not int"));
    ask(fixture, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"\",\"x\":1}}", INVALID("x", "is unknown"));
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
                 "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"%s\"}}", names[i]);
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
                                   &(struct listener_options){.name = "real", .interfaces = (const char *[]){interface->name, NULL}},
                                   &fixture->listener), 0);
    peer = connect_peer(fixture);
    for (const struct interface_member *method = interface->methods; method; method = method->next) {
        const struct interface_field *required = method->input->fields;
        char call[300], answer[300];

        while (required && required->type->kind == INTERFACE_OPTIONAL)
            required = required->next;
        snprintf(call, sizeof call, "{\"method\":\"%s.%s\",\"parameters\":{\"surplus\":true}}", interface->name, method->name);
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
    const struct method_handler surplus[] = {{"A", handle_forget, 0}, {"B", handle_forget, 0}, {"C", handle_forget, 0}, {0}};
    const struct method_handler twice[] = {{"A", handle_forget, 0}, {"B", handle_forget, 0}, {"A", handle_forget, 0}, {0}};
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

/* ---- peers that go away -------------------------------------------------------------------------------- */

static void test_peer_vanishes_during_a_call(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, LATER(1));
    turn(fixture);
    stream_free(peer);
    turn(fixture);
    assert_non_null(fixture->later);
    assert_string_equal(call_method(fixture->later), "org.example.Test.Later");
    assert_int_equal(call_peer(fixture->later)->pid, getpid());
    call_reply(fixture->later, one("id", json_object_new_int(1)));
    assert_null(call_connection(fixture->later));
    assert_int_equal(fixture->closed, 1);
    fixture->later = call_put(fixture->later);
    assert_string_equal(fixture->log, "");
    end(fixture);
}

static void test_server_is_freed_during_a_call(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, LATER(1));
    turn(fixture);
    fixture->server = server_free(fixture->server);
    assert_null(call_connection(fixture->later));
    answer_later(fixture);
    hear_end(fixture, peer);
    stream_free(peer);
    end(fixture);
}

static void test_connection_is_closed_during_a_call(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, LATER(1));
    turn(fixture);
    connection_close(call_connection(fixture->later), "a test");
    assert_non_null(strstr(fixture->log, "closed: a test"));
    fixture->later = call_put(fixture->later);      /* without an answer: no second line */
    assert_int_equal(fixture->logged, 1);
    hear_end(fixture, peer);
    stream_free(peer);
    end(fixture);
}

/* A peer that shut down its sending side (`nc -N`) still gets its answers. */
static void test_half_closed_peer_is_answered(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, ECHO("1"));
    say(peer, ECHO("2"));
    shutdown(stream_descriptor(peer), SHUT_WR);
    hear(fixture, peer, ECHOED("1"));
    hear(fixture, peer, ECHOED("2"));
    hear_end(fixture, peer);
    assert_string_equal(fixture->log, "");
    stream_free(peer);
    end(fixture);
}

static void test_end_in_the_middle_of_a_message_is_logged(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    assert_int_equal(send(stream_descriptor(peer), "{\"me", 4, 0), 4);
    stream_free(peer);
    turn(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_non_null(strstr(fixture->log, "in the middle of a message"));
    end(fixture);
}

/* ---- limits -------------------------------------------------------------------------------------------- */

static void expect_limit(const char *call, struct message_limits limits, const char *limit, int maximum)
{
    struct fixture *fixture = begin((struct listener_options){.limits = limits});
    struct stream *peer = connect_peer(fixture);
    char answer[200];

    say(peer, call);
    snprintf(answer, sizeof answer, "{\"error\":\"org.example.Test.LimitExceeded\",\"parameters\":{\"limit\":\"%s\",\"maximum\":%d}}",
             limit, maximum);
    hear(fixture, peer, answer);
    hear_end(fixture, peer);
    assert_int_equal(fixture->logged, 1);
    assert_non_null(strstr(fixture->log, limit));
    stream_free(peer);
    end(fixture);
}

static void test_message_limits_are_named(void **state)
{
    char *text = malloc(200002);

    expect_limit("{\"a\":[[[1]]]}", (struct message_limits){.depth = 3}, "depth", 3);
    expect_limit("{\"a\":[1,2,3]}", (struct message_limits){.values = 3}, "values", 3);
    expect_limit(ECHO("a long text"), (struct message_limits){.bytes = 50}, "bytes", 50);
    memset(text, ' ', 200000);      /* longer than one read: the end is never seen */
    text[200000] = '\0';
    expect_limit(text, (struct message_limits){.bytes = 1000}, "bytes", 1000);
    free(text);
}

static void test_too_many_descriptors_are_named(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.limits = {.descriptors = 2}});
    struct stream *peer = connect_peer(fixture);
    struct json_object *call = one("method", json_object_new_string("org.example.Test.Take"));

    assert_int_equal(stream_queue(peer, call, (int[]){0, 0, 0}, 3), 0);
    assert_int_equal(stream_send(peer), 0);
    hear(fixture, peer, "{\"error\":\"org.example.Test.LimitExceeded\",\"parameters\":{\"limit\":\"descriptors\",\"maximum\":2}}");
    hear_end(fixture, peer);
    json_object_put(call);
    stream_free(peer);
    end(fixture);
}

static void test_what_is_no_message_closes_with_a_line(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"", "not one JSON object"},
        {"GET / HTTP/1.1\r\n", "not one JSON object"},
        {"[]", "not one JSON object"},
        {"{\"method\":\"\xff\"}", "not UTF-8"},
        {"{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"a\\u0000b\"}}", "not one JSON object"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct fixture *fixture = begin((struct listener_options){0});
        struct stream *peer = connect_peer(fixture);

        say(peer, cases[i].text);
        hear_end(fixture, peer);
        assert_int_equal(fixture->logged, 1);
        assert_non_null(strstr(fixture->log, cases[i].line));
        assert_non_null(strstr(fixture->log, "test socket: connection of pid "));
        stream_free(peer);
        end(fixture);
    }
}

static void test_answers_before_garbage_are_sent(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, ECHO("1"));
    say(peer, "garbage");
    say(peer, ECHO("2"));
    hear(fixture, peer, ECHOED("1"));
    hear_end(fixture, peer);
    assert_int_equal(fixture->logged, 1);
    stream_free(peer);
    end(fixture);
}

static void test_connections_are_limited(void **state)
{
    struct listener_options both[] = {{.connections = 3}, {.connections_per_uid = 3}};
    static const char *const names[] = {"connections", "connections_per_uid"};

    for (size_t i = 0; i < ARRAY_LENGTH(both); i++) {
        struct fixture *fixture = begin(both[i]);
        struct stream *peers[4];
        char answer[200];

        for (int j = 0; j < 4; j++)
            peers[j] = connect_peer(fixture);
        assert_int_equal(fixture->opened, 3);
        snprintf(answer, sizeof answer, "{\"error\":\"org.example.Test.LimitExceeded\",\"parameters\":{\"limit\":\"%s\",\"maximum\":3}}",
                 names[i]);
        hear(fixture, peers[3], answer);
        hear_end(fixture, peers[3]);
        assert_int_equal(fixture->logged, 1);
        assert_non_null(strstr(fixture->log, "limit of 3 "));
        stream_free(peers[0]);
        stream_free(peers[3]);
        turn(fixture);
        peers[0] = connect_peer(fixture);       /* there is room again */
        say(peers[0], ECHO("x"));
        hear(fixture, peers[0], ECHOED("x"));
        for (int j = 0; j < 3; j++)
            stream_free(peers[j]);
        end(fixture);
    }
}

/* A peer that reads nothing: calls are not dispatched for it, answers do not pile up. */
static void test_peer_that_does_not_read_gets_no_work_done(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    char *text = malloc(100001), *call = malloc(100200);

    memset(text, 'x', 100000);
    text[100000] = '\0';
    sprintf(call, ECHO("%s"), text);
    for (int i = 0; i < 50; i++)
        (void)stream_send(peer), (void)send(stream_descriptor(peer), call, strlen(call) + 1, MSG_DONTWAIT), turn(fixture);
    assert_int_equal(fixture->closed, 0);       /* 5 MB of answers are not there: they were never made */
    assert_string_equal(fixture->log, "");
    stream_free(peer);
    free(text);
    free(call);
    turn(fixture);
    end(fixture);
}

static void test_answers_that_pile_up_close(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.queue_bytes = 1000000});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":100,\"bytes\":100000},\"more\":true}");
    turn(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->logged, 1);
    assert_non_null(strstr(fixture->log, "does not read its answers"));
    stream_free(peer);
    end(fixture);
}

static void run_until_closed(struct fixture *fixture)
{
    while (fixture->closed == 0)
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
}

static void test_stalled_peers_are_closed(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.stall_ms = 20});
    struct stream *peer = connect_peer(fixture);

    assert_int_equal(send(stream_descriptor(peer), "{\"method\"", 9, 0), 9);
    run_until_closed(fixture);
    assert_non_null(strstr(fixture->log, "does not finish a message"));
    hear_end(fixture, peer);
    stream_free(peer);
    end(fixture);

    fixture = begin((struct listener_options){.stall_ms = 20});
    peer = connect_peer(fixture);
    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":1,\"bytes\":4000000},\"more\":true}");
    run_until_closed(fixture);
    assert_non_null(strstr(fixture->log, "does not read its answers"));
    stream_free(peer);
    end(fixture);
}

/* Being idle, or waiting for a slow answer, is no stall. */
static void test_idle_peers_are_not_stalled(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.stall_ms = 1});
    struct stream *idle = connect_peer(fixture), *waiting = connect_peer(fixture);

    say(waiting, LATER(1));
    turn(fixture);
    usleep(5000);
    turn(fixture);
    assert_int_equal(fixture->closed, 0);
    answer_later(fixture);
    hear(fixture, waiting, "{\"parameters\":{\"id\":1}}");
    say(idle, ECHO("x"));
    hear(fixture, idle, ECHOED("x"));
    stream_free(idle);
    stream_free(waiting);
    end(fixture);
}

static void test_accepting_pauses_without_descriptors(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    const int raw = connect_raw(fixture);
    struct rlimit old, tight;
    struct stream *peer;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = (struct rlimit){(rlim_t)raw + 1, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (int i = 0; i < 1000; i++)
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(fixture->opened, 0);
    assert_in_range(fixture->logged, 1, 10);        /* not a thousand times */
    assert_non_null(strstr(fixture->log, "accepting paused"));
    assert_int_equal(stream_new(connect_raw(fixture), NULL, 0, &peer), 0);
    while (fixture->opened == 0)        /* until the pause is over (valgrind has lost the first connection by now) */
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
    say(peer, ECHO("x"));
    hear(fixture, peer, ECHOED("x"));
    stream_free(peer);
    close(raw);
    end(fixture);
}

/* ---- draining and adopting ----------------------------------------------------------------------------- */

static void test_drain_dispatches_what_is_there(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    char expected[8000] = "", call[200];

    assert_int_equal(connection_drain(fixture->connection), 0);
    for (int i = 0; i < 100; i++) {
        snprintf(call, sizeof call, NOTIFY("%d"), i);
        say(peer, call);
        sprintf(expected + strlen(expected), "%d:0 ", i);
    }
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, expected);
    stream_free(peer);
    end(fixture);
}

static void test_drain_says_what_it_could_not_do(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, NOTIFY("a"));
    say(peer, LATER(1));
    assert_int_equal(connection_drain(fixture->connection), 0);     /* nothing waits behind the call */
    say(peer, NOTIFY("b"));
    assert_int_equal(connection_drain(fixture->connection), -EBUSY);
    assert_string_equal(fixture->notes, "a:0 ");
    answer_later(fixture);
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, "a:0 b:0 ");
    stream_free(peer);
    end(fixture);
}

/* A peer that sends faster than we dispatch does not keep us: the bound is what was there at the beginning. */
static void test_drain_is_bounded(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    fixture->again = stream_descriptor(peer);
    say(peer, NOTIFY("a"));
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, "a:0 again:0 ");
    fixture->again = 0;
    stream_free(peer);
    end(fixture);
}

/* A handler that drains, as one that waits for a grace period does: its own connection stays in order. */
static void test_drain_inside_a_handler(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    fixture->drained = 1;
    say(peer, NOTIFY("a"));
    say(peer, NOTIFY("b"));
    turn(fixture);
    assert_int_equal(fixture->drained, -EBUSY);
    assert_string_equal(fixture->notes, "a:0 b:0 ");
    stream_free(peer);
    end(fixture);
}

/* What was said before the end is dispatched first, and the end is seen at once. */
static void test_drain_sees_the_end(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, NOTIFY("a"));
    stream_free(peer);
    assert_int_equal(connection_drain(fixture->connection), -ENOTCONN);
    assert_string_equal(fixture->notes, "a:0 ");
    assert_int_equal(fixture->closed, 1);
    end(fixture);
}

/* A hostile worker that does not read its answers must not keep its other messages from being seen. */
static void test_drain_goes_on_behind_unread_answers(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":1,\"bytes\":1000000},\"more\":true}");
    turn(fixture);
    say(peer, NOTIFY("a"));
    turn(fixture);
    assert_string_equal(fixture->notes, "");
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, "a:0 ");
    stream_free(peer);
    end(fixture);
}

/* As for fork: the pair is made and sent before the child is; the child's first message says who it is. */
static void test_adopted_connection_knows_the_sender(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.pass_credentials = true});
    struct connection *connection;
    char expected[64];
    int pair[2], status;
    pid_t child;

    assert_int_equal(stream_pair(pair), 0);
    child = fork();
    if (child == 0)
        _exit(send(pair[1], NOTIFY("child"), sizeof NOTIFY("child"), 0) < 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(send(pair[1], NOTIFY("parent"), sizeof NOTIFY("parent"), 0), sizeof NOTIFY("parent"));
    close(pair[1]);

    assert_int_equal(connection_adopt(fixture->listener, pair[0], fixture, &connection), 0);
    assert_int_equal(fixture->opened, 1);
    assert_ptr_equal(connection_userdata(connection), fixture);
    assert_int_equal(connection_peer(connection)->pid, getpid());
    assert_int_equal(connection_drain(connection), -ENOTCONN);
    snprintf(expected, sizeof expected, "child:%d parent:%d ", (int)child, (int)getpid());
    assert_string_equal(fixture->notes, expected);
    end(fixture);
}

static void test_accepted_connection_knows_the_sender(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.pass_credentials = true});
    const int raw = connect_raw(fixture);
    char expected[64];

    /* Sent before it was accepted. */
    assert_int_equal(send(raw, NOTIFY("x"), sizeof NOTIFY("x"), 0), sizeof NOTIFY("x"));
    turn(fixture);
    snprintf(expected, sizeof expected, "x:%d ", (int)getpid());
    assert_string_equal(fixture->notes, expected);
    close(raw);
    end(fixture);
}

/* What is not adopted stays the caller's. */
static void expect_not_adopted(struct fixture *fixture, int descriptor, int r)
{
    struct connection *connection = NULL;

    assert_int_equal(connection_adopt(fixture->listener, descriptor, NULL, &connection), r);
    assert_null(connection);
    assert_int_equal(close(descriptor), 0);
}

static void test_adopting_what_is_no_connection(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.connections = 1});
    struct connection *connection = NULL;
    int ends[2];

    expect_not_adopted(fixture, dup(fixture->file), -ENOTSOCK);
    expect_not_adopted(fixture, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), -ENOTCONN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    expect_not_adopted(fixture, ends[0], -EPROTOTYPE);
    close(ends[1]);
    assert_int_equal(fixture->opened, 0);

    assert_int_equal(stream_pair(ends), 0);
    assert_int_equal(connection_adopt(fixture->listener, ends[0], NULL, &connection), 0);
    close(ends[1]);
    assert_int_equal(stream_pair(ends), 0);
    expect_not_adopted(fixture, ends[0], -EUSERS);
    close(ends[1]);
    end(fixture);
}

/* The owner may refuse a connection: it is closed, without `closed`; an adopted one goes back. */
static void test_owner_refuses_a_connection(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer;
    int ends[2];

    fixture->refuse = -EACCES;
    peer = connect_peer(fixture);
    hear_end(fixture, peer);
    stream_free(peer);
    assert_int_equal(stream_pair(ends), 0);
    expect_not_adopted(fixture, ends[0], -EACCES);
    close(ends[1]);
    assert_int_equal(fixture->opened, 0);
    assert_int_equal(fixture->closed, 0);
    assert_int_equal(fixture->logged, 1);
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
        cmocka_unit_test(test_more_streams),
        cmocka_unit_test(test_descriptors_both_ways),
        cmocka_unit_test(test_a_call_left_without_answer_closes),
        cmocka_unit_test(test_peer_vanishes_during_a_call),
        cmocka_unit_test(test_server_is_freed_during_a_call),
        cmocka_unit_test(test_connection_is_closed_during_a_call),
        cmocka_unit_test(test_half_closed_peer_is_answered),
        cmocka_unit_test(test_end_in_the_middle_of_a_message_is_logged),
        cmocka_unit_test(test_message_limits_are_named),
        cmocka_unit_test(test_too_many_descriptors_are_named),
        cmocka_unit_test(test_what_is_no_message_closes_with_a_line),
        cmocka_unit_test(test_answers_before_garbage_are_sent),
        cmocka_unit_test(test_connections_are_limited),
        cmocka_unit_test(test_peer_that_does_not_read_gets_no_work_done),
        cmocka_unit_test(test_answers_that_pile_up_close),
        cmocka_unit_test(test_stalled_peers_are_closed),
        cmocka_unit_test(test_idle_peers_are_not_stalled),
        cmocka_unit_test(test_accepting_pauses_without_descriptors),
        cmocka_unit_test(test_drain_dispatches_what_is_there),
        cmocka_unit_test(test_drain_says_what_it_could_not_do),
        cmocka_unit_test(test_drain_is_bounded),
        cmocka_unit_test(test_drain_inside_a_handler),
        cmocka_unit_test(test_drain_sees_the_end),
        cmocka_unit_test(test_drain_goes_on_behind_unread_answers),
        cmocka_unit_test(test_adopted_connection_knows_the_sender),
        cmocka_unit_test(test_accepted_connection_knows_the_sender),
        cmocka_unit_test(test_adopting_what_is_no_connection),
        cmocka_unit_test(test_owner_refuses_a_connection),
    };

    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
