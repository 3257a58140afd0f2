/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing the codec from both ends.  The first byte of an input says in pieces of how many bytes (0: whole) the rest
 * goes over the wire; then the same bytes are
 *
 *   - read split and whole: the messages must be the same, and each must survive being formatted and parsed again;
 *   - sent to a real server with the real interfaces, on both its sockets;
 *   - sent to a real caller as the answer of each method.
 *
 * Besides what sanitizers find, it must hold that nothing blocks and that no descriptor stays open (the limit on open
 * files would end a longer run).  `make check` replays the corpus, `make fuzz FUZZ=message` goes on.
 */
#include <event2/event.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "caller.h"
#include "check.h"
#include "interface.h"
#include "message.h"
#include "reader.h"
#include "server.h"
#include "stream.h"
#include "util.h"

/* Shorter than a socket's buffer, so that writing never waits. */
#define INPUT_MAX 60000

/* ---- reader -------------------------------------------------------------------------------------------- */

/* What a reader made of the bytes: texts of messages and errors, in order. */
struct transcript {
    char *text;
    size_t length;
};

static void check_round_trip(struct json_object *object, const char *text, size_t length)
{
    static const struct message_limits wide = {.bytes = (size_t)64 << 20};   /* escapes make a text longer */
    struct json_object *again;

    CHECK(message_parse(text, length, &wide, &again) == 0);
    CHECK(json_object_equal(object, again));
    json_object_put(again);
}

static void note_message(FILE *notes, struct message *message)
{
    char *text;
    size_t length;

    CHECK(message_format(message->object, &text, &length) == 0);
    check_round_trip(message->object, text, length);
    fprintf(notes, "%s\n", text);
    free(text);
    message_done(message);
}

static struct transcript read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    struct transcript transcript = {0};
    FILE *notes = open_memstream(&transcript.text, &transcript.length);
    struct reader *reader;
    struct message message;
    void *room;
    int r = 0;

    CHECK(notes && reader_new(NULL, &reader) == 0);
    for (size_t at = 0; at < size; at += piece) {
        const size_t n = size - at < piece ? size - at : piece;

        CHECK(reader_reserve(reader, n, &room) == 0);
        memcpy(room, data + at, n);
        CHECK(reader_commit(reader, n, NULL, 0, NULL) == 0);
        while ((r = reader_next(reader, &message)) != 0)
            if (r == 1)
                note_message(notes, &message);
            else
                fprintf(notes, "error %d\n", r);
    }
    fprintf(notes, "unfinished %zu\n", reader_unfinished(reader));
    fclose(notes);
    reader_free(reader);
    return transcript;
}

static void fuzz_reader(const uint8_t *data, size_t size, size_t piece)
{
    struct transcript whole = read_in_pieces(data, size, size), split = read_in_pieces(data, size, piece);

    CHECK(whole.length == split.length && memcmp(whole.text, split.text, whole.length) == 0);
    free(whole.text);
    free(split.text);
}

/* ---- server -------------------------------------------------------------------------------------------- */

static struct interface *interfaces[2];
static struct listener *listeners[2];

static void answer(struct call *call, void *userdata)
{
    call_invalid_parameter(call, "all", "are well");
}

static void prepare_interface(struct server *server, size_t i, const char *text)
{
    const struct sockaddr_un anywhere = {.sun_family = AF_UNIX};
    const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct method_handler *handlers;
    size_t n = 0;

    CHECK(interface_parse(text, &interfaces[i], NULL) == 0);
    for (const struct interface_member *method = interfaces[i]->methods; method; method = method->next)
        n++;
    handlers = calloc(n + 1, sizeof *handlers);
    CHECK(handlers);
    for (const struct interface_member *method = interfaces[i]->methods; method; method = method->next)
        handlers[--n] = (struct method_handler){method->name, answer, 0};
    CHECK(server_add_interface(server, text, handlers, NULL) == 0);
    /* A name that the kernel chooses: nobody connects, connections are adopted. */
    CHECK(bind(listening, (const struct sockaddr *)&anywhere, sizeof(sa_family_t)) == 0 && listen(listening, 1) == 0);
    CHECK(server_listen(server, listening, &(struct listener_options){
        .name = "fuzz", .interfaces = (const char *[]){interfaces[i]->name, NULL}}, &listeners[i]) == 0);
}

/* Once; it lives as long as the process. */
static void prepare(void)
{
    static struct server *server;

    if (server)
        return;
    CHECK(server_new(event_base_new(), &(struct server_options){0}, &server) == 0);
    prepare_interface(server, 0, interface_text_control);
    prepare_interface(server, 1, interface_text_worker);
}

static void fuzz_server(struct listener *listener, const uint8_t *data, size_t size, size_t piece)
{
    struct connection *connection;
    int pair[2];
    int r = 0;

    CHECK(stream_pair(pair) == 0);
    CHECK(connection_adopt(listener, pair[0], NULL, &connection) == 0);
    for (size_t at = 0; at < size && r == 0; at += piece) {
        const size_t n = size - at < piece ? size - at : piece;

        CHECK(send(pair[1], data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n);
        r = connection_drain(connection);
    }
    CHECK(r == 0 || r == -ENOTCONN);
    close(pair[1]);
    if (r == 0)
        CHECK(connection_drain(connection) == -ENOTCONN);
}

/* ---- caller -------------------------------------------------------------------------------------------- */

static void fuzz_method(const struct interface *interface, const char *method, const uint8_t *data, size_t size)
{
    struct caller_reply reply = {0};
    struct caller *caller;
    int pair[2], r;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(caller_new(pair[0], interface, &caller) == 0);
    CHECK(send(pair[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
    shutdown(pair[1], SHUT_WR);
    r = caller_more(caller, method, NULL, 1000, &reply);
    while (r == 0) {
        CHECK(json_object_is_type(reply.parameters, json_type_object));
        caller_reply_done(&reply);
        r = caller_next(caller, 1000, &reply);
    }
    CHECK(r != -ETIMEDOUT);
    caller_free(caller);
    close(pair[1]);
}

static void fuzz_caller(const struct interface *interface, const uint8_t *data, size_t size)
{
    char name[256];

    for (const struct interface_member *method = interface->methods; method; method = method->next) {
        snprintf(name, sizeof name, "%s.%s", interface->name, method->name);
        fuzz_method(interface, name, data, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX)
        return 0;
    const size_t piece = data[0] ?: size;

    prepare();
    fuzz_reader(data + 1, size - 1, piece);
    for (size_t i = 0; i < ARRAY_LENGTH(interfaces); i++) {
        fuzz_server(listeners[i], data + 1, size - 1, piece);
        fuzz_caller(interfaces[i], data + 1, size - 1);
    }
    return 0;
}
