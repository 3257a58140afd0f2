/* SPDX-License-Identifier: MIT */
/* See serving.h. */
#include "serving.h"

#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "process.h"
#include "util.h"

const char test_interface[] =
    "interface org.example.Test\n"
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

struct json_object *one(const char *name, struct json_object *value)
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

void handle_forget(struct call *call, void *userdata)
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
const char *const test_interfaces[] = {"org.example.Test", NULL};

int listening_socket(const char *path)
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

struct fixture *begin(struct listener_options options)
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
void end(struct fixture *fixture)
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

void turn(struct fixture *fixture)
{
    for (int i = 0; i < 20; i++)
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
}

/* ---- peers --------------------------------------------------------------------------------------------- */

int connect_raw(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, fixture->path);
    assert_int_equal(connect(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    return descriptor;
}

struct stream *connect_peer(struct fixture *fixture)
{
    struct stream *peer;

    assert_int_equal(stream_new(connect_raw(fixture), NULL, 0, &peer), 0);
    turn(fixture);
    return peer;
}

/* Put bytes into the socket, NUL included. */
void say(struct stream *peer, const char *text)
{
    const ssize_t length = (ssize_t)strlen(text) + 1;

    assert_int_equal(send(stream_descriptor(peer), text, (size_t)length, MSG_NOSIGNAL), length);
}

/* The next answer; NULL if the conversation is over. */
struct json_object *hear_message(struct fixture *fixture, struct stream *peer, struct message *ret)
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
void hear(struct fixture *fixture, struct stream *peer, const char *expected)
{
    struct message message;
    struct json_object *answer = hear_message(fixture, peer, &message);

    if (!answer)
        fail_msg("the connection was closed; log: %s", fixture->log);
    assert_string_equal(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                        expected);
    message_done(&message);
}

void hear_end(struct fixture *fixture, struct stream *peer)
{
    struct message message;

    assert_null(hear_message(fixture, peer, &message));
}

bool is_silent(struct fixture *fixture, struct stream *peer)
{
    turn(fixture);
    return !stream_ready(peer) && stream_receive(peer, 0) == -EAGAIN;
}

/* One call on a new connection: the answer is this. */
void ask(struct fixture *fixture, const char *call, const char *answer)
{
    struct stream *peer = connect_peer(fixture);

    say(peer, call);
    hear(fixture, peer, answer);
    stream_free(peer);
    turn(fixture);
}

void answer_later(struct fixture *fixture)
{
    const int id = json_object_get_int(json_object_object_get(call_parameters(fixture->later), "id"));

    call_reply(fixture->later, one("id", json_object_new_int(id)));
    fixture->later = call_put(fixture->later);
}
