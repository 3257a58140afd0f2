/* SPDX-License-Identifier: MIT */
/* See conversation.h. */
#include "conversation.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "envelope.h"
#include "interface.h"
#include "parameters.h"
#include "stream.h"
#include "util.h"

#define INTERFACE "io.dispatchd.Worker"
#define METHOD_BYTES 64

static struct interface *interface;

static void put_object(struct json_object **object)
{
    json_object_put(*object);
}

int conversation_prepare(void)
{
    return interface ? 0 : interface_parse(interface_text_worker, &interface, NULL);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

int conversation_begin(struct conversation *conversation, int socket)
{
    struct conversation begun = { NULL, DESCRIPTOR_NONE, NULL };
    int r;

    r = descriptor_remember(socket, &begun.socket);
    if (r < 0)
        return r;
    r = stream_new(socket, NULL, 0, &begun.stream);
    if (r < 0)
        return r;
    *conversation = begun;
    return 0;
}

int conversation_connect(struct conversation *conversation, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int descriptor = -EBADF;
    int r;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -errno;
    /* The kernel then names the daemon's process on each of its messages; SO_PEERCRED may name systemd's. */
    if (setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0)
        return -errno;
    if (connect(descriptor, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    r = conversation_begin(conversation, descriptor);
    if (r < 0)
        return r;
    TAKE_DESCRIPTOR(descriptor);
    return 0;
}

int conversation_listener(const struct conversation *conversation, uid_t *ret)
{
    struct ucred listener;
    int r;

    r = stream_peer(conversation->stream, &listener);
    if (r == 0)
        *ret = listener.uid;
    return r;
}

void conversation_end(struct conversation *conversation)
{
    if (conversation->stream) {
        stream_release(conversation->stream);
        descriptor_close(&conversation->socket);
        stream_free(conversation->stream);
    }
    *conversation = (struct conversation){ NULL, DESCRIPTOR_NONE, NULL };
}

bool conversation_is_alive(const struct conversation *conversation)
{
    return conversation->stream && descriptor_is_ours(&conversation->socket);
}

void answer_done(struct answer *answer)
{
    message_done(&answer->message);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static int queue_call(struct conversation *conversation, const char *method, bool oneway,
                      struct json_object *parameters, const int *descriptors, size_t n_descriptors)
{
    _cleanup_(put_object) struct json_object *message = NULL;
    char name[METHOD_BYTES];
    int r;

    snprintf(name, sizeof name, INTERFACE ".%s", method);
    r = envelope_make_call(&(struct envelope_call){ .method = name, .parameters = parameters, .oneway = oneway },
                           &message);
    if (r < 0)
        return r;
    return stream_queue(conversation->stream, message, descriptors, n_descriptors);
}

static int send_queued(struct conversation *conversation)
{
    int r = stream_send(conversation->stream);

    return r == -EAGAIN ? 0 : r;
}

int conversation_call(struct conversation *conversation, const char *method, struct json_object *parameters,
                      const int *descriptors, size_t n_descriptors)
{
    int r;

    r = queue_call(conversation, method, false, parameters, descriptors, n_descriptors);
    if (r < 0)
        return r;
    conversation->awaiting = method;
    return send_queued(conversation);
}

bool conversation_is_sending(const struct conversation *conversation)
{
    return conversation->stream && stream_queued(conversation->stream) > 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int send_all(struct conversation *conversation, int timeout_ms)
{
    struct pollfd poll_socket = { .fd = conversation->socket.number, .events = POLLOUT };
    int64_t deadline = now_ms() + timeout_ms;
    int r;

    for (;;) {
        int64_t left = deadline - now_ms();

        r = stream_send(conversation->stream);
        if (r != -EAGAIN)
            return r;
        if (left <= 0)
            return -ETIMEDOUT;
        if (poll(&poll_socket, 1, (int)left) < 0 && errno != EINTR)
            return -errno;
    }
}

int conversation_tell(struct conversation *conversation, const char *method, const int *descriptors,
                      size_t n_descriptors, int timeout_ms)
{
    int r;

    r = queue_call(conversation, method, true, NULL, descriptors, n_descriptors);
    if (r < 0)
        return r;
    r = send_all(conversation, timeout_ms);
    if (r < 0)
        stream_withdraw(conversation->stream);
    return r;
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

/* Type of what the answer carries; NULL: the interface does not know it. */
static const struct interface_type *parameters_type(const char *method, const char *error)
{
    const struct interface_member *member =
        error ? interface_qualified_error(interface, error) : interface_method(interface, method);

    if (!member)
        return NULL;
    return error ? member->input : member->output;
}

/* An error of another interface (org.varlink.service) is passed on as it is: nobody reads its parameters. */
static int read_answer(struct conversation *conversation, struct answer *answer)
{
    struct envelope_reply reply;
    const struct interface_type *type;
    const size_t prefix = strlen(INTERFACE ".");

    if (!conversation->awaiting || envelope_read_reply(answer->message.object, &reply) < 0 || reply.continues)
        return -EPROTO;
    type = parameters_type(conversation->awaiting, reply.error);
    if (!type && !reply.error)
        return -EPROTO;
    if (type && parameters_check(type, reply.parameters, PARAMETERS_ALLOW_UNKNOWN, NULL) < 0)
        return -EPROTO;
    answer->method = conversation->awaiting;
    answer->error = reply.error && type ? reply.error + prefix : reply.error;
    answer->parameters = reply.parameters;
    conversation->awaiting = NULL;
    return 0;
}

static int next_answer(struct conversation *conversation, struct answer *ret)
{
    struct answer answer = { 0 };
    int r;

    r = stream_next(conversation->stream, &answer.message);
    if (r <= 0)
        return r;
    r = read_answer(conversation, &answer);
    if (r < 0) {
        answer_done(&answer);
        return r;
    }
    *ret = answer;
    return 1;
}

int conversation_receive(struct conversation *conversation, struct answer *ret)
{
    ssize_t n;
    int r;

    r = send_queued(conversation);
    if (r < 0 && r != -EPIPE && r != -ECONNRESET)
        return r;
    for (;;) {
        r = next_answer(conversation, ret);
        if (r != 0)
            return r;
        n = stream_receive(conversation->stream, 0);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
    }
}
