/* SPDX-License-Identifier: MIT */
/*
 * A server in this process, for the tests of servers and connections: its loop, its interface with a handler for each
 * kind of behaviour, and peers that talk to it through real sockets.
 */
#ifndef TEST_SERVING_H
#define TEST_SERVING_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "server.h"
#include "stream.h"

struct json_object;

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

extern const char test_interface[];             /* org.example.Test */
extern const char *const test_interfaces[];     /* its name, for listener_options */

/* ---- the server ---------------------------------------------------------------------------------------- */

/* A server with org.example.Test and org.example.Other, and a listener that serves only the first. */
struct fixture *begin(struct listener_options options);

/* Frees it, and checks that everything that was opened is closed again. */
void end(struct fixture *fixture);

/* Let the loop do all that can be done now. */
void turn(struct fixture *fixture);

/* Answer the call of Later that is not answered yet. */
void answer_later(struct fixture *fixture);

/* A handler that does nothing at all. */
void handle_forget(struct call *call, void *userdata);

/* ---- peers --------------------------------------------------------------------------------------------- */

int listening_socket(const char *path);
int connect_raw(struct fixture *fixture);
struct stream *connect_peer(struct fixture *fixture);

/* Put a message into the socket, NUL included. */
void say(struct stream *peer, const char *text);

/* The next message; NULL if the conversation is over. */
struct json_object *hear_message(struct fixture *fixture, struct stream *peer, struct message *ret);

/* The next message is this; the conversation is over; nothing is said. */
void hear(struct fixture *fixture, struct stream *peer, const char *expected);
void hear_end(struct fixture *fixture, struct stream *peer);
bool is_silent(struct fixture *fixture, struct stream *peer);

/* One call on a new connection has this answer. */
void ask(struct fixture *fixture, const char *call, const char *answer);

/* An object with one member. */
struct json_object *one(const char *name, struct json_object *value);

#define ECHO(text) "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"" text "\"}}"
#define ECHOED(text) "{\"parameters\":{\"text\":\"" text "\"}}"
#define LATER(id) "{\"method\":\"org.example.Test.Later\",\"parameters\":{\"id\":" #id "}}"
#define NOTIFY(text) "{\"method\":\"org.example.Test.Notify\",\"parameters\":{\"text\":\"" text "\"},\"oneway\":true}"
#define INVALID(parameter, reason) \
    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"" parameter "\",\"reason\":\"" reason "\"}}"

#endif
