/* SPDX-License-Identifier: MIT */
/* See caller.h.  The only module that waits; it does so in one function (caller_wait). */
#include "caller.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#include "envelope.h"
#include "interface.h"
#include "parameters.h"
#include "stream.h"
#include "util.h"

/* What one answer may hold: a list of everything in the daemon is longer than any request. */
static const struct message_limits answer_limits = {.bytes = (size_t)64 << 20, .values = 4000000};

struct caller {
    struct stream *stream;
    const struct interface *interface;
    const struct interface_member *method;      /* of the last call, if the interface has it */
    bool expecting;                             /* a caller_more has answers to come */
    bool failed;
};

/* ---- deadlines ----------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Milliseconds left, or -ETIMEDOUT. */
static int time_left(int64_t deadline)
{
    const int64_t left = deadline - now_ms();

    return left > 0 ? (int)left : -ETIMEDOUT;
}

static int caller_wait(const struct caller *caller, short events, int64_t deadline)
{
    struct pollfd wanted = {.fd = stream_descriptor(caller->stream), .events = events};
    int left, r;

    do {
        left = time_left(deadline);
        if (left < 0)
            return left;
        r = poll(&wanted, 1, left);
    } while (r == 0 || (r < 0 && errno == EINTR));
    return r < 0 ? -errno : 0;
}

/* ---- connecting ---------------------------------------------------------------------------------------- */

/*
 * The kernel gives a Unix socket no way to poll for room in the other's queue (a non-blocking connect fails with
 * EAGAIN, and says no more), but a blocking one obeys the send timeout.
 */
static int connect_until(int descriptor, const struct sockaddr_un *address, int64_t deadline)
{
    for (;;) {
        const int left = time_left(deadline);
        const struct timeval timeout = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};

        if (left < 0)
            return left;
        if (setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0)
            return -errno;
        if (connect(descriptor, (const struct sockaddr *)address, sizeof *address) == 0)
            return 0;
        if (errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
    }
}

int caller_connect(const char *path, const struct interface *interface, int timeout_ms, struct caller **ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t length = strlen(path);
    _cleanup_close_ int descriptor = -EBADF;
    int r;

    if (length >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    r = connect_until(descriptor, &address, now_ms() + timeout_ms);
    if (r < 0)
        return r;
    r = caller_new(descriptor, interface, ret);
    if (r == 0)
        TAKE_DESCRIPTOR(descriptor);
    return r;
}

int caller_new(int descriptor, const struct interface *interface, struct caller **ret)
{
    struct caller *caller = calloc(1, sizeof *caller);
    int r;

    if (!caller)
        return -ENOMEM;
    r = stream_new(descriptor, &answer_limits, 0, &caller->stream);
    if (r < 0) {
        free(caller);
        return r;
    }
    caller->interface = interface;
    *ret = caller;
    return 0;
}

struct caller *caller_free(struct caller *caller)
{
    if (!caller)
        return NULL;
    stream_free(caller->stream);
    free(caller);
    return NULL;
}

int caller_descriptor(const struct caller *caller)
{
    return stream_descriptor(caller->stream);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static int send_until(struct caller *caller, int64_t deadline)
{
    int r;

    while ((r = stream_send(caller->stream)) == -EAGAIN) {
        r = caller_wait(caller, POLLOUT, deadline);
        if (r < 0)
            return r;
    }
    return r;
}

static int send_call(struct caller *caller, const struct envelope_call *call, const int *descriptors,
                     size_t n_descriptors, int64_t deadline)
{
    struct json_object *message;
    int r;

    if (stream_ready(caller->stream) || stream_unfinished(caller->stream) > 0)
        return -EPROTO;     /* an answer that nobody asked for */
    r = envelope_make_call(call, &message);
    if (r < 0)
        return r;
    r = stream_queue(caller->stream, message, descriptors, n_descriptors);
    json_object_put(message);
    return r < 0 ? r : send_until(caller, deadline);
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

void caller_reply_done(struct caller_reply *reply)
{
    message_done(&reply->message);
    *reply = (struct caller_reply){0};
}

static int receive_until(struct caller *caller, int64_t deadline, struct message *ret)
{
    ssize_t n;
    int r;

    while ((r = stream_next(caller->stream, ret)) == 0) {
        n = stream_receive(caller->stream, 0);
        if (n == 0)
            return -ECONNRESET;
        if (n == -EAGAIN)
            n = caller_wait(caller, POLLIN, deadline);
        if (n < 0)
            return (int)n;
    }
    return r < 0 ? r : 0;
}

/* Does the answer fit the interface, as far as that knows it? */
static bool is_expected(const struct caller *caller, const struct envelope_reply *reply)
{
    const struct interface_type *type = NULL;

    if (reply->continues && !caller->expecting)
        return false;
    if (!reply->error && caller->method)
        type = caller->method->output;
    if (reply->error && caller->interface) {
        const struct interface_member *error = interface_qualified_error(caller->interface, reply->error);

        type = error ? error->input : NULL;
    }
    return !type || parameters_check(type, reply->parameters, PARAMETERS_ALLOW_UNKNOWN, NULL) == 0;
}

/* An answer without parameters has empty ones. */
static int complete_parameters(struct message *message, struct envelope_reply *envelope)
{
    if (envelope->parameters)
        return 0;
    envelope->parameters = json_object_new_object();
    if (!envelope->parameters)
        return -ENOMEM;
    return json_object_object_add(message->object, "parameters", envelope->parameters) < 0 ? -ENOMEM : 0;
}

static int receive_reply(struct caller *caller, int64_t deadline, struct caller_reply *ret)
{
    _cleanup_(message_done) struct message message = {0};
    struct envelope_reply envelope;
    int r;

    r = receive_until(caller, deadline, &message);
    if (r < 0)
        return r;
    r = envelope_read_reply(message.object, &envelope);
    if (r < 0)
        return r;
    if (!is_expected(caller, &envelope))
        return -EPROTO;
    r = complete_parameters(&message, &envelope);
    if (r < 0)
        return r;

    caller->expecting = envelope.continues;
    *ret = (struct caller_reply){envelope.error, envelope.parameters, envelope.continues, message};
    message = (struct message){0};
    return 0;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

/* All calls end here: a conversation that failed once is not used again. */
static int finish(struct caller *caller, int r)
{
    if (r < 0)
        caller->failed = true;
    return r;
}

/* Send, and receive the first answer unless `ret` is NULL. */
static int transact(struct caller *caller, const struct envelope_call *call, const int *descriptors,
                    size_t n_descriptors, int timeout_ms, struct caller_reply *ret)
{
    const int64_t deadline = now_ms() + timeout_ms;
    int r;

    if (caller->failed)
        return -ENOTCONN;
    if (caller->expecting)
        return -EINVAL;
    r = send_call(caller, call, descriptors, n_descriptors, deadline);
    /* A daemon that refuses a message before its end says why before it closes: the answer may be there. */
    if (ret && (r == -EPIPE || r == -ECONNRESET))
        r = 0;
    if (r < 0 || !ret)
        return finish(caller, r == -EPIPE ? -ECONNRESET : r);
    caller->expecting = call->more;
    caller->method = caller->interface ? interface_qualified_method(caller->interface, call->method) : NULL;
    return finish(caller, receive_reply(caller, deadline, ret));
}

int caller_call(struct caller *caller, const char *method, struct json_object *parameters, const int *descriptors,
                size_t n_descriptors, int timeout_ms, struct caller_reply *ret)
{
    const struct envelope_call call = {.method = method, .parameters = parameters};

    return transact(caller, &call, descriptors, n_descriptors, timeout_ms, ret);
}

int caller_oneway(struct caller *caller, const char *method, struct json_object *parameters, const int *descriptors,
                  size_t n_descriptors, int timeout_ms)
{
    const struct envelope_call call = {.method = method, .parameters = parameters, .oneway = true};

    return transact(caller, &call, descriptors, n_descriptors, timeout_ms, NULL);
}

int caller_more(struct caller *caller, const char *method, struct json_object *parameters, int timeout_ms,
                struct caller_reply *ret)
{
    const struct envelope_call call = {.method = method, .parameters = parameters, .more = true};

    return transact(caller, &call, NULL, 0, timeout_ms, ret);
}

int caller_next(struct caller *caller, int timeout_ms, struct caller_reply *ret)
{
    if (caller->failed)
        return -ENOTCONN;
    if (!caller->expecting)
        return -EINVAL;
    return finish(caller, receive_reply(caller, now_ms() + timeout_ms, ret));
}
