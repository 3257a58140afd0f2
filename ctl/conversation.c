/* SPDX-License-Identifier: MIT */
/* The conversation with the daemon.  Every failure is one sentence: which socket, why, and what to do about it. */
#include "conversation.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "interface.h"
#include "util.h"

char *socket_path(const char *option)
{
    const char *environment = getenv("DISPATCHD_CONTROL_SOCKET"), *user = getenv("XDG_RUNTIME_DIR");
    _cleanup_free_ char *path = NULL;

    if (option || (environment && *environment))
        return require(strdup(option ? option : environment));
    if (user && *user) {
        if (asprintf(&path, "%s/dispatchd/control", user) < 0)
            require(NULL);
        if (access(path, F_OK) == 0)
            return TAKE_POINTER(path);
    }
    return require(strdup("/run/dispatchd/control"));
}

static bool is_socket(const char *path)
{
    struct stat status;

    return stat(path, &status) < 0 || S_ISSOCK(status.st_mode);
}

#define START "is dispatchd running? (systemctl start dispatchd, or dispatchd --user)"

/* Why connecting failed and what helps, as the end of a sentence. */
static const char *connect_reason(const char *path, int r)
{
    switch (r) {
    case -ENOENT:
        return "there is no such socket; " START;
    case -ECONNREFUSED:
        return is_socket(path) ? "nobody listens there; " START : "this is not a socket; see --socket";
    case -EACCES:
    case -EPERM:
        return "permission denied; members of group dispatchd may connect";
    case -ETIMEDOUT:
    case -EAGAIN:
        return "dispatchd does not accept the connection; it hangs, or has too many clients";
    case -ENAMETOOLONG:
        return "the path of a socket has at most 107 bytes; see --socket";
    case -EPROTOTYPE:
        return "this socket speaks another protocol; is it the control socket of dispatchd?";
    default:
        return strerror(-r);
    }
}

static enum status call_failed(const char *path, int timeout_ms, int r)
{
    switch (r) {
    case -ETIMEDOUT:
        return complain(STATUS_TIMEOUT, "no answer from dispatchd at %s within %d s; see --timeout", path,
                        timeout_ms / 1000);
    case -ECONNRESET:
    case -EPIPE:
        return complain(STATUS_CONNECTION, "dispatchd at %s closed the connection without an answer; its log says why",
                        path);
    case -ENOMEM:
    case -EMFILE:
        return complain(STATUS_LOCAL, "cannot call dispatchd at %s: %s", path, strerror(-r));
    case -EPROTO:
        return complain(STATUS_CONNECTION,
                        "the answer from %s is not one of io.dispatchd.Control; is it dispatchd, and of this version?",
                        path);
    default:
        return complain(STATUS_CONNECTION, "the answer from %s cannot be read: %s", path, message_error_text(r));
    }
}

/* What a call needs. */
struct conversation {
    struct interface *interface;
    struct caller *caller;
    char *method;                       /* with its interface's name */
};

static void conversation_done(struct conversation *conversation)
{
    caller_free(conversation->caller);
    interface_free(conversation->interface);
    free(conversation->method);
}

static enum status conversation_open(const char *path, int timeout_ms, const char *method, struct conversation *ret)
{
    int r;

    r = interface_parse(interface_text_control, &ret->interface, NULL);
    if (r < 0)
        return complain(STATUS_LOCAL, "cannot read the interface of dispatchd: %s", strerror(-r));
    if (asprintf(&ret->method, "%s.%s", ret->interface->name, method) < 0) {
        ret->method = NULL;
        require(NULL);
    }
    r = caller_connect(path, ret->interface, timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS,
                       &ret->caller);
    return r < 0 ? complain(STATUS_CONNECTION, "cannot connect to %s: %s", path, connect_reason(path, r)) : STATUS_DONE;
}

enum status converse(const char *path, int timeout_ms, const char *method, struct json_object *parameters,
                     int descriptor, struct caller_reply *ret)
{
    _cleanup_(conversation_done) struct conversation conversation = { 0 };
    enum status status;
    int r;

    status = conversation_open(path, timeout_ms, method, &conversation);
    if (status != STATUS_DONE)
        return status;
    r = caller_call(conversation.caller, conversation.method, parameters, &descriptor, descriptor >= 0, timeout_ms,
                    ret);
    if (r < 0)
        return call_failed(path, timeout_ms, r);
    return ret->error ? STATUS_REFUSED : STATUS_DONE;
}

enum status converse_more(const char *path, int timeout_ms, const char *method, struct json_object *parameters,
                          void (*each)(void *userdata, struct json_object *parameters), void *userdata,
                          struct caller_reply *ret)
{
    _cleanup_(conversation_done) struct conversation conversation = { 0 };
    enum status status;
    int r;

    status = conversation_open(path, timeout_ms, method, &conversation);
    if (status != STATUS_DONE)
        return status;
    r = caller_more(conversation.caller, conversation.method, parameters, timeout_ms, ret);
    while (r >= 0 && !ret->error) {
        each(userdata, ret->parameters);
        if (!ret->continues)
            return STATUS_DONE;
        caller_reply_done(ret);
        *ret = (struct caller_reply){ 0 };
        r = caller_next(conversation.caller, timeout_ms, ret);
    }
    return r < 0 ? call_failed(path, timeout_ms, r) : STATUS_REFUSED;
}
