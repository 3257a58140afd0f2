/* SPDX-License-Identifier: MIT */
/* See server.h: the interfaces and their handlers, and org.varlink.service, which is answered here. */
#include "server.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server_internal.h"
#include "util.h"

/* ---- org.varlink.service ------------------------------------------------------------------------------- */

static void handle_get_info(struct call *call, void *userdata)
{
    const struct server *server = userdata;
    const struct listener *listener = call_connection(call)->listener;
    struct json_object *info = json_object_new_object(), *interfaces = json_object_new_array();

    for (size_t i = 0; i < listener->n_interfaces; i++)
        json_object_array_add(interfaces, json_object_new_string(listener->interfaces[i]->interface->name));
    json_object_object_add(info, "vendor", json_object_new_string(server->options.vendor));
    json_object_object_add(info, "product", json_object_new_string(server->options.product));
    json_object_object_add(info, "version", json_object_new_string(server->options.version));
    json_object_object_add(info, "url", json_object_new_string(server->options.url));
    json_object_object_add(info, "interfaces", interfaces);
    call_reply(call, info);
}

static void handle_get_interface_description(struct call *call, void *userdata)
{
    const struct listener *listener = call_connection(call)->listener;
    struct json_object *name = json_object_object_get(call_parameters(call), "interface");
    const struct served_interface *served = listener_find_interface(listener, json_object_get_string(name),
                                                                    (size_t)json_object_get_string_len(name));
    struct json_object *answer = json_object_new_object();

    (void)userdata;
    if (!served) {
        json_object_object_add(answer, "interface", json_object_get(name));
        call_error(call, "org.varlink.service.InterfaceNotFound", answer);
        return;
    }
    json_object_object_add(answer, "description", json_object_new_string(served->interface->text));
    call_reply(call, answer);
}

static const struct method_handler service_handlers[] = {
    {"GetInfo", handle_get_info, 0},
    {"GetInterfaceDescription", handle_get_interface_description, 0},
    {0},
};

/* ---- interfaces ---------------------------------------------------------------------------------------- */

struct served_interface *server_find_interface(struct server *server, const char *name, size_t length)
{
    struct served_interface *served = server->interfaces;

    while (served && (strlen(served->interface->name) != length || memcmp(served->interface->name, name, length) != 0))
        served = served->next;
    return served;
}

static struct served_interface *served_interface_free(struct served_interface *served)
{
    if (!served)
        return NULL;
    interface_free(served->interface);
    free(served);
    return NULL;
}

static void free_served_interface(struct served_interface **served)
{
    served_interface_free(*served);
}

/* Every method has a handler, and every handler a method. */
static int check_handlers(const struct interface *interface, const struct method_handler *handlers)
{
    size_t n_handlers = 0, n_methods = 0;

    for (; handlers[n_handlers].method; n_handlers++)
        if (!interface_method(interface, handlers[n_handlers].method))
            return -ENOENT;
    for (const struct interface_member *method = interface->methods; method; method = method->next) {
        size_t i = 0;

        while (i < n_handlers && strcmp(handlers[i].method, method->name) != 0)
            i++;
        if (i == n_handlers || !handlers[i].handle)
            return -ENOSYS;
        n_methods++;
    }
    return n_methods == n_handlers ? 0 : -EEXIST;
}

int server_add_interface(struct server *server, const char *text, const struct method_handler *handlers, void *userdata)
{
    _cleanup_(free_served_interface) struct served_interface *served = calloc(1, sizeof *served);
    int r;

    if (!served)
        return -ENOMEM;
    r = interface_parse(text, &served->interface, NULL);
    if (r < 0)
        return r;
    if (server_find_interface(server, served->interface->name, strlen(served->interface->name)))
        return -EEXIST;
    r = check_handlers(served->interface, handlers);
    if (r < 0)
        return r;
    served->handlers = handlers;
    served->userdata = userdata;
    served->next = server->interfaces;
    server->interfaces = TAKE_POINTER(served);
    return 0;
}

/* ---- server -------------------------------------------------------------------------------------------- */

/* Names that a peer chose may be in the text: it stays one line of bounded length. */
void server_log(struct server *server, int priority, const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (!server->options.log)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = text; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    server->options.log(server->options.userdata, priority, text);
}

static int copy_options(struct server *server, const struct server_options *options)
{
    server->options.log = options->log;
    server->options.userdata = options->userdata;
    server->options.vendor = strdup(options->vendor ?: "");
    server->options.product = strdup(options->product ?: "");
    server->options.version = strdup(options->version ?: "");
    server->options.url = strdup(options->url ?: "");
    if (!server->options.vendor || !server->options.product || !server->options.version || !server->options.url)
        return -ENOMEM;
    return 0;
}

static void free_server(struct server **server)
{
    server_free(*server);
}

int server_new(struct event_base *base, const struct server_options *options, struct server **ret)
{
    _cleanup_(free_server) struct server *server = calloc(1, sizeof *server);
    int r;

    if (!server)
        return -ENOMEM;
    server->base = base;
    LIST_INIT(&server->listeners);
    r = copy_options(server, options);
    if (r < 0)
        return r;
    r = server_add_interface(server, interface_text_service, service_handlers, server);
    if (r < 0)
        return r;
    server->service = server->interfaces;
    *ret = TAKE_POINTER(server);
    return 0;
}

struct server *server_free(struct server *server)
{
    if (!server)
        return NULL;
    while (!LIST_EMPTY(&server->listeners))
        listener_free(LIST_FIRST(&server->listeners));
    while (server->interfaces) {
        struct served_interface *served = server->interfaces;

        server->interfaces = served->next;
        served_interface_free(served);
    }
    free((char *)server->options.vendor);
    free((char *)server->options.product);
    free((char *)server->options.version);
    free((char *)server->options.url);
    free(server);
    return NULL;
}
