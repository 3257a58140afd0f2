/* SPDX-License-Identifier: MIT */
/* See peer.h. */
#include "peer.h"

#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "util.h"

DD_TABLE(on_test, struct test, 5, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))

uint32_t call_hook(void)
{
    struct test context = { "", "", 0, 0 };

    return on_test(1, &context);
}

/* ---- the peer ------------------------------------------------------------------------------------------ */

static char directory[] = "/tmp/dispatchd-test-XXXXXX";
uint64_t generation;

static void fail_if(bool failed, const char *what)
{
    if (failed)
        fail_msg("%s", what);
}

static struct sockaddr_un address_of(const struct peer *peer)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strcpy(address.sun_path, peer->path);
    return address;
}

/* Who listens is who somebody is when listen() is called. */
struct peer peer_listen_as(const char *name, uid_t user)
{
    const uid_t self = geteuid();
    struct peer peer = { .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    struct sockaddr_un address;

    snprintf(peer.path, sizeof peer.path, "%s/%s", directory, name);
    unlink(peer.path);
    address = address_of(&peer);
    assert_int_equal(bind(peer.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(chmod(peer.path, 0666), 0);
    assert_int_equal(user == self ? 0 : seteuid(user), 0);
    assert_int_equal(listen(peer.listener, 8), 0);
    assert_int_equal(user == self ? 0 : seteuid(self), 0);
    return peer;
}

struct peer peer_listen(const char *name)
{
    return peer_listen_as(name, geteuid());
}

void wait_readable(int descriptor, const char *complaint)
{
    struct pollfd poll_descriptor = { .fd = descriptor, .events = POLLIN };

    fail_if(poll(&poll_descriptor, 1, LONG_MS) != 1, complaint);
}

void peer_hang_up(struct peer *peer)
{
    message_done(&peer->message);
    peer->message = (struct message){ 0 };
    peer->stream = stream_free(peer->stream);
}

void peer_accept(struct peer *peer)
{
    int descriptor;

    peer_hang_up(peer);
    wait_readable(peer->listener, "the worker does not connect");
    descriptor = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)), 0);
    assert_int_equal(stream_new(descriptor, NULL, 0, &peer->stream), 0);
}

void peer_die(struct peer *peer)
{
    peer_hang_up(peer);
    close(peer->listener);
    unlink(peer->path);
}

void expect(struct peer *peer, const char *method)
{
    const char *mistake;
    int r;

    message_done(&peer->message);
    peer->message = (struct message){ 0 };
    while ((r = stream_next(peer->stream, &peer->message)) == 0) {
        wait_readable(stream_descriptor(peer->stream), "the worker says nothing");
        fail_if(stream_receive(peer->stream, 0) <= 0, "the worker hung up");
    }
    assert_int_equal(r, 1);
    assert_int_equal(envelope_read_call(peer->message.object, &peer->call, &mistake), 0);
    assert_string_equal(peer->call.method, method);
}

void expect_silence(struct peer *peer)
{
    struct pollfd poll_stream = { .fd = stream_descriptor(peer->stream), .events = POLLIN };

    assert_int_equal(poll(&poll_stream, 1, 100), 0);
}

static void send_reply(struct peer *peer, const char *error, struct json_object *parameters, const int *descriptors,
                       size_t n)
{
    const struct envelope_reply envelope = { .error = error, .parameters = parameters };
    struct json_object *message;

    assert_int_equal(envelope_make_reply(&envelope, &message), 0);
    assert_int_equal(stream_queue(peer->stream, message, descriptors, n), 0);
    stream_send(peer->stream);
    json_object_put(message);
    json_object_put(parameters);
}

void reply(struct peer *peer, const char *parameters)
{
    send_reply(peer, NULL, json_tokener_parse(parameters), NULL, 0);
}

void reply_error(struct peer *peer, const char *error, const char *parameters)
{
    send_reply(peer, error, json_tokener_parse(parameters), NULL, 0);
}

void reply_join(struct peer *peer, const struct image *image, const char *entries)
{
    char text[512];

    snprintf(text, sizeof text, "{\"generation\":%llu,\"text_size\":%u,\"entries\":%s}",
             (unsigned long long)image->page->generation, IMAGE_TEXT_SIZE, entries);
    send_reply(peer, NULL, json_tokener_parse(text),
               (const int[]){ image->control, image->text, image->arena, image->linkage, image->linkage }, 5);
}

uint64_t moved_generation(const struct peer *peer)
{
    return json_object_get_uint64(json_object_object_get(peer->call.parameters, "generation"));
}

void let_join(struct peer *peer, const struct image *image)
{
    peer_accept(peer);
    expect(peer, INTERFACE "Join");
    reply_join(peer, image, ON_TEST_AT_64);
    expect(peer, INTERFACE "Moved");
    assert_int_equal(moved_generation(peer), image->page->generation);
    reply(peer, "{}");
}

/* ---- the worker ---------------------------------------------------------------------------------------- */

void open_at(const struct peer *peer, uint64_t flags)
{
    assert_int_equal(dd_open(&(struct dd_options){ .flags = flags, .socket = peer->path, .timeout_ms = -1 }), 0);
}

struct dd_status status(void)
{
    struct dd_status status = { .size = sizeof status };

    assert_int_equal(dd_status(&status), 0);
    return status;
}

void wait_for_state(enum dd_state state)
{
    for (int i = 0; i < LONG_MS && status().state != state; i++)
        usleep(1000);
    assert_int_equal(status().state, state);
}

bool is_mapped(const char *address)
{
    unsigned char residency;

    return mincore((void *)address, 4096, &residency) == 0;
}

/* ---- the directory of sockets -------------------------------------------------------------------------- */

int make_directory(void **state)
{
    return mkdtemp(directory) && chmod(directory, 0711) == 0 ? 0 : -1;
}

int remove_directory(void **state)
{
    return rmdir(directory);
}
