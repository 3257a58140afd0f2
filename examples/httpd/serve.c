/* SPDX-License-Identifier: MIT */
/*
 * One process of the example server.  All of dispatchd in it is the table's declaration and the one line in
 * answer() that calls it.
 */
#include "serve.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/util.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <dispatchd.h>

#include "request.h"

/* Programs may read the request, its method and whose it is, and change the answer's status and variant. */
DD_TABLE(on_request, struct request, REQUEST_PASS, DD_PACKET(data, data_end), DD_READ(method), DD_READ(client),
         DD_WRITE(status), DD_WRITE(variant))

/* Time for answers that are on their way when the server stops. */
static const struct timeval drain_time = { .tv_usec = 100 * 1000 };

const struct route routes[] = {
    { "/", 1, 200 },
    { "/api", 2, 200 },
    { "/static", 3, 200 },
    { "/admin", 4, 200 },
    { NULL, 0, 404 },
};

static const struct method {
    enum evhttp_cmd_type command;
    enum request_method number;
    const char *name;
} methods[] = {
    { EVHTTP_REQ_GET, REQUEST_GET, "GET" },
    { EVHTTP_REQ_HEAD, REQUEST_HEAD, "HEAD" },
    { EVHTTP_REQ_POST, REQUEST_POST, "POST" },
    { EVHTTP_REQ_PUT, REQUEST_PUT, "PUT" },
    { EVHTTP_REQ_DELETE, REQUEST_DELETE, "DELETE" },
};

static const int stop_signals[] = { SIGTERM, SIGINT };

#define STOP_SIGNALS (sizeof(stop_signals) / sizeof(stop_signals[0]))

struct server {
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *listener;       /* NULL once the server stops */
    struct event *stop[STOP_SIGNALS];
};

static const struct route *route_find(const char *path)
{
    const struct route *route;

    for (route = routes; route->prefix; route++) {
        size_t length = strlen(route->prefix);

        if (strncmp(path, route->prefix, length) == 0 && (path[length] == '\0' || (length > 1 && path[length] == '/')))
            break;
    }
    return route;
}

/* The one of `methods` that a request has; the server lets no other in. */
static const struct method *method_find(enum evhttp_cmd_type command)
{
    const struct method *method = methods;

    while (method->command != command)
        method++;
    return method;
}

/* Who asks: an IPv4 address in network byte order. */
static uint32_t client_address(struct evhttp_request *http)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    struct in_addr address = { 0 };
    char *text = NULL;
    uint16_t port;

    if (connection)
        evhttp_connection_get_peer(connection, &text, &port);
    if (!text || inet_pton(AF_INET, text, &address) != 1)
        return 0;
    return address.s_addr;
}

/* Write the request's head as text.  Returns its length, 0 if there is no room for it. */
static size_t head_write(struct evhttp_request *http, const char *method, char *text, size_t size)
{
    struct evkeyval *header;
    size_t length;

    length = (size_t)snprintf(text, size, "%s %s HTTP/%d.%d\r\n", method, evhttp_request_get_uri(http), http->major,
                              http->minor);
    TAILQ_FOREACH(header, evhttp_request_get_input_headers(http), next) {
        if (length >= size)
            return 0;
        length += (size_t)snprintf(text + length, size - length, "%s: %s\r\n", header->key, header->value);
    }
    if (length + 2 > size)
        return 0;
    memcpy(text + length, "\r\n", 2);
    return length + 2;
}

static void reply(struct evhttp_request *http, uint32_t status, uint32_t variant, const struct route *route)
{
    struct evbuffer *body = evhttp_request_get_output_buffer(http);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
    char pid[16], text[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    snprintf(text, sizeof(text), "%u", variant);
    evhttp_add_header(headers, "Content-Type", "text/plain");
    evhttp_add_header(headers, "X-Worker", pid);
    evhttp_add_header(headers, "X-Variant", text);
    evbuffer_add_printf(body, "status %u, route %u, variant %u, worker %s\n", status, route->number, variant, pid);
    evhttp_send_reply(http, (int)status, NULL, NULL);
}

/* Every request comes here. */
static void answer(struct evhttp_request *http, void *argument)
{
    static char head[REQUEST_HEAD_MAX];
    const struct method *method = method_find(evhttp_request_get_command(http));
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    const struct route *route = route_find(path && *path ? path : "/");
    size_t length = head_write(http, method->name, head, sizeof(head));
    struct request request = {
        .data = head,
        .data_end = head + length,
        .method = method->number,
        .status = route->status,
        .client = client_address(http),
    };

    if (length == 0) {
        reply(http, 431, 0, route);
        return;
    }
    if (on_request(route->number, &request) == REQUEST_BLOCK)
        request.status = 403;
    if (request.status < 200 || request.status > 599)   /* 1xx would leave the client waiting */
        request.status = HTTP_INTERNAL;
    reply(http, request.status, request.variant, route);
}

static void stop(evutil_socket_t number, short what, void *argument)
{
    struct server *server = argument;

    if (!server->listener)
        return;
    evhttp_del_accept_socket(server->http, server->listener);
    server->listener = NULL;
    event_base_loopexit(server->base, &drain_time);
}

static bool server_start(struct server *server, int listener)
{
    sigset_t set;

    sigemptyset(&set);
    server->base = event_base_new();
    server->http = server->base ? evhttp_new(server->base) : NULL;
    server->listener = server->http ? evhttp_accept_socket_with_handle(server->http, listener) : NULL;
    if (!server->listener)
        return false;
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_DELETE);
    evhttp_set_max_headers_size(server->http, REQUEST_HEAD_MAX);
    evhttp_set_max_body_size(server->http, 1 << 20);
    evhttp_set_timeout(server->http, 60);
    evhttp_set_gencb(server->http, answer, NULL);
    for (size_t i = 0; i < STOP_SIGNALS; i++) {
        server->stop[i] = evsignal_new(server->base, stop_signals[i], stop, server);
        if (!server->stop[i] || event_add(server->stop[i], NULL) < 0)
            return false;
        sigaddset(&set, stop_signals[i]);
    }
    return sigprocmask(SIG_UNBLOCK, &set, NULL) == 0;
}

static void server_done(struct server *server)
{
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        if (server->stop[i])
            event_free(server->stop[i]);
    if (server->http)
        evhttp_free(server->http);
    if (server->base)
        event_base_free(server->base);
}

int serve(int listener)
{
    struct server server = { 0 };
    int result = 1;

    if (server_start(&server, listener))
        result = event_base_dispatch(server.base) < 0;
    else
        fprintf(stderr, "httpd: cannot set up the HTTP server (worker %d): out of memory or descriptors\n",
                (int)getpid());
    server_done(&server);
    return result;
}
