/* SPDX-License-Identifier: MIT */
/*
 * See stream.h.  Every system call is made with MSG_DONTWAIT: O_NONBLOCK would be the peer's to change, where it shares
 * the socket.
 */
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "reader.h"
#include "util.h"

#define READ_BYTES ((size_t)16 << 10)
#define QUEUE_BYTES_DEFAULT ((size_t)8 << 20)

/* A message that waits to be sent.  Its descriptors go with its first byte, and no other message's bytes with them. */
struct outgoing {
    struct outgoing *next;
    char *text;
    size_t length, sent;        /* length counts the NUL */
    int *descriptors;
    size_t n_descriptors;
};

struct stream {
    int descriptor;
    struct reader *reader;
    struct outgoing *first, **last;
    size_t queued, queue_bytes;
};

/* ---- life ---------------------------------------------------------------------------------------------- */

static int socket_option(int descriptor, int option)
{
    int value = -1;
    socklen_t length = sizeof value;

    return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

static int check_socket(int descriptor)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int r;

    r = socket_option(descriptor, SO_DOMAIN);
    if (r < 0)
        return r;
    if (r != AF_UNIX || socket_option(descriptor, SO_TYPE) != SOCK_STREAM)
        return -EPROTOTYPE;
    return getpeername(descriptor, (struct sockaddr *)&peer, &length) < 0 ? -errno : 0;
}

int stream_new(int descriptor, const struct message_limits *limits, size_t queue_bytes, struct stream **ret)
{
    struct stream *stream;
    int r;

    r = check_socket(descriptor);
    if (r < 0)
        return r;
    stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    r = reader_new(limits, &stream->reader);
    if (r < 0) {
        free(stream);
        return r;
    }
    stream->descriptor = descriptor;
    stream->last = &stream->first;
    stream->queue_bytes = queue_bytes ?: QUEUE_BYTES_DEFAULT;
    *ret = stream;
    return 0;
}

static struct outgoing *outgoing_free(struct outgoing *outgoing)
{
    if (!outgoing)
        return NULL;
    descriptors_free(outgoing->descriptors, outgoing->n_descriptors);
    free(outgoing->text);
    free(outgoing);
    return NULL;
}

static void free_outgoing(struct outgoing **outgoing)
{
    outgoing_free(*outgoing);
}

struct stream *stream_free(struct stream *stream)
{
    if (!stream)
        return NULL;
    while (stream->first) {
        struct outgoing *outgoing = stream->first;

        stream->first = outgoing->next;
        outgoing_free(outgoing);
    }
    reader_free(stream->reader);
    close_descriptor(&stream->descriptor);
    free(stream);
    return NULL;
}

int stream_descriptor(const struct stream *stream)
{
    return stream->descriptor;
}

int stream_release(struct stream *stream)
{
    return TAKE_DESCRIPTOR(stream->descriptor);
}

int stream_peer(const struct stream *stream, struct ucred *ret)
{
    struct ucred peer;
    socklen_t length = sizeof peer;

    if (getsockopt(stream->descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return -errno;
    *ret = peer;
    return 0;
}

int stream_pair(int ret[2])
{
    _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    ours = pair[0];
    theirs = pair[1];
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) < 0)
            return -errno;
    ret[0] = TAKE_DESCRIPTOR(ours);
    ret[1] = TAKE_DESCRIPTOR(theirs);
    return 0;
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

/* Room for the most that the kernel passes, so that truncation can only mean that we may not open more descriptors. */
union control {
    char bytes[CMSG_SPACE(MESSAGE_DESCRIPTORS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
};

/* What came beside the bytes of one read. */
struct ancillary {
    int descriptors[MESSAGE_DESCRIPTORS_MAX];
    size_t n_descriptors;
    struct ucred sender;
};

static void ancillary_read(struct ancillary *ancillary, struct msghdr *header)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        const size_t length = control->cmsg_len - CMSG_LEN(0);

        if (control->cmsg_level != SOL_SOCKET)
            continue;
        if (control->cmsg_type == SCM_RIGHTS) {
            const size_t n = length / sizeof(int);

            assert(ancillary->n_descriptors + n <= MESSAGE_DESCRIPTORS_MAX);
            memcpy(ancillary->descriptors + ancillary->n_descriptors, CMSG_DATA(control), n * sizeof(int));
            ancillary->n_descriptors += n;
        } else if (control->cmsg_type == SCM_CREDENTIALS && length == sizeof ancillary->sender)
            memcpy(&ancillary->sender, CMSG_DATA(control), sizeof ancillary->sender);
    }
}

static void ancillary_close(struct ancillary *ancillary)
{
    for (size_t i = 0; i < ancillary->n_descriptors; i++)
        close_descriptor(&ancillary->descriptors[i]);
}

ssize_t stream_receive(struct stream *stream, size_t maximum)
{
    struct ancillary ancillary = {0};
    union control control;
    struct iovec bytes = {.iov_len = maximum && maximum < READ_BYTES ? maximum : READ_BYTES};
    struct msghdr header = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    int r;

    r = reader_reserve(stream->reader, bytes.iov_len, &bytes.iov_base);
    if (r < 0)
        return r;
    do
        n = recvmsg(stream->descriptor, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    ancillary_read(&ancillary, &header);
    if (header.msg_flags & MSG_CTRUNC || n == 0) {
        ancillary_close(&ancillary);
        return n == 0 ? 0 : -EMFILE;
    }
    r = reader_commit(stream->reader, (size_t)n, ancillary.descriptors, ancillary.n_descriptors, &ancillary.sender);
    return r < 0 ? r : n;
}

int stream_next(struct stream *stream, struct message *ret)
{
    return reader_next(stream->reader, ret);
}

bool stream_ready(const struct stream *stream)
{
    return reader_ready(stream->reader);
}

size_t stream_unfinished(const struct stream *stream)
{
    return reader_unfinished(stream->reader);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static int outgoing_duplicate(struct outgoing *outgoing, const int *descriptors, size_t n)
{
    if (n == 0)
        return 0;
    if (n > MESSAGE_DESCRIPTORS_MAX)
        return -ETOOMANYREFS;
    outgoing->descriptors = calloc(n, sizeof *outgoing->descriptors);
    if (!outgoing->descriptors)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const int duplicate = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 3);

        if (duplicate < 0)
            return -errno;
        outgoing->descriptors[outgoing->n_descriptors++] = duplicate;
    }
    return 0;
}

int stream_queue(struct stream *stream, struct json_object *object, const int *descriptors, size_t n_descriptors)
{
    _cleanup_(free_outgoing) struct outgoing *outgoing = calloc(1, sizeof *outgoing);
    int r;

    if (!outgoing)
        return -ENOMEM;
    r = message_format(object, &outgoing->text, &outgoing->length);
    if (r < 0)
        return r;
    outgoing->length++;
    if (outgoing->length > stream->queue_bytes - stream->queued)
        return -ENOBUFS;
    r = outgoing_duplicate(outgoing, descriptors, n_descriptors);
    if (r < 0)
        return r;

    stream->queued += outgoing->length;
    *stream->last = outgoing;
    stream->last = &outgoing->next;
    outgoing = NULL;
    return 0;
}

/* One sendmsg with what is left of a message.  Returns the bytes sent or negative errno. */
static ssize_t outgoing_send(struct outgoing *outgoing, int descriptor)
{
    struct iovec bytes = {.iov_base = outgoing->text + outgoing->sent, .iov_len = outgoing->length - outgoing->sent};
    struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
    const size_t length = outgoing->n_descriptors * sizeof(int);
    union control control = {0};
    ssize_t n;

    if (outgoing->sent == 0 && length > 0) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(length);
        control.align = (struct cmsghdr){CMSG_LEN(length), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), outgoing->descriptors, length);
    }
    do
        n = sendmsg(descriptor, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int stream_send(struct stream *stream)
{
    while (stream->first) {
        struct outgoing *outgoing = stream->first;
        const ssize_t n = outgoing_send(outgoing, stream->descriptor);

        if (n < 0)
            return (int)n;
        stream->queued -= (size_t)n;
        outgoing->sent += (size_t)n;
        if (outgoing->sent < outgoing->length)
            continue;
        stream->first = outgoing->next;
        if (!stream->first)
            stream->last = &stream->first;
        outgoing_free(outgoing);
    }
    return 0;
}

bool stream_withdraw(struct stream *stream)
{
    struct outgoing **last = &stream->first;

    while (*last && (*last)->next)
        last = &(*last)->next;
    if (!*last || (*last)->sent > 0)
        return false;
    stream->queued -= (*last)->length;
    *last = outgoing_free(*last);
    stream->last = last;
    return true;
}

size_t stream_queued(const struct stream *stream)
{
    return stream->queued;
}
