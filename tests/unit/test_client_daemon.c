/* SPDX-License-Identifier: MIT */
/*
 * The client against the other side of its protocol: a peer on a real socket, which sends real memfds with real code,
 * and says what each test wants said.  The library runs as in any worker, with its background thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "dispatchd.h"
#include "envelope.h"
#include "image.h"
#include "lines.h"
#include "stream.h"
#include "util.h"

#define INTERFACE "io.dispatchd.Worker."
#define LONG_MS 20000           /* for what never comes */

struct test {
    const void *data, *data_end;
    uint32_t method, status;
};

DD_TABLE(on_test, struct test, 5, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))

static uint32_t call_hook(void)
{
    struct test context = { "", "", 0, 0 };

    return on_test(1, &context);
}

/* ---- the peer ------------------------------------------------------------------------------------------ */

static char directory[] = "/tmp/dispatchd-test-XXXXXX";
static uint64_t generation;     /* grows from test to test, as a daemon's does */

struct peer {
    char path[64];
    int listener;
    struct stream *stream;
    struct message message;     /* the last one received */
    struct envelope_call call;  /* that message */
};

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

static struct peer peer_listen(const char *name)
{
    struct peer peer = { .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    struct sockaddr_un address;

    snprintf(peer.path, sizeof peer.path, "%s/%s", directory, name);
    unlink(peer.path);
    address = address_of(&peer);
    assert_int_equal(bind(peer.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer.listener, 8), 0);
    return peer;
}

static void wait_readable(int descriptor, const char *what)
{
    struct pollfd poll_descriptor = { .fd = descriptor, .events = POLLIN };

    fail_if(poll(&poll_descriptor, 1, LONG_MS) != 1, what);
}

static void peer_hang_up(struct peer *peer)
{
    message_done(&peer->message);
    peer->message = (struct message){ 0 };
    peer->stream = stream_free(peer->stream);
}

static void peer_accept(struct peer *peer)
{
    int descriptor;

    peer_hang_up(peer);
    wait_readable(peer->listener, "the worker does not connect");
    descriptor = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)), 0);
    assert_int_equal(stream_new(descriptor, NULL, 0, &peer->stream), 0);
}

/* The daemon dies. */
static void peer_die(struct peer *peer)
{
    peer_hang_up(peer);
    close(peer->listener);
    unlink(peer->path);
}

static void expect(struct peer *peer, const char *method)
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

/* Nothing is asked for a while: as good as never, where a client that would ask does so at once. */
static void expect_silence(struct peer *peer)
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

static void reply(struct peer *peer, const char *parameters)
{
    send_reply(peer, NULL, json_tokener_parse(parameters), NULL, 0);
}

static void reply_error(struct peer *peer, const char *error, const char *parameters)
{
    send_reply(peer, error, json_tokener_parse(parameters), NULL, 0);
}

static void reply_join(struct peer *peer, const struct image *image, const char *entries)
{
    char text[512];

    snprintf(text, sizeof text, "{\"generation\":%llu,\"text_size\":%u,\"entries\":%s}",
             (unsigned long long)image->page->generation, IMAGE_TEXT_SIZE, entries);
    send_reply(peer, NULL, json_tokener_parse(text), 
               (const int[]){ image->control, image->text, image->arena, image->linkage, image->linkage }, 5);
}

#define ON_TEST_AT_64 "[{\"table\":\"on_test\",\"offset\":64}]"

static uint64_t moved_generation(const struct peer *peer)
{
    return json_object_get_uint64(json_object_object_get(peer->call.parameters, "generation"));
}

/* Join and Moved, all well. */
static void let_join(struct peer *peer, const struct image *image)
{
    peer_accept(peer);
    expect(peer, INTERFACE "Join");
    reply_join(peer, image, ON_TEST_AT_64);
    expect(peer, INTERFACE "Moved");
    assert_int_equal(moved_generation(peer), image->page->generation);
    reply(peer, "{}");
}

/* ---- the worker ---------------------------------------------------------------------------------------- */

static void open_at(const struct peer *peer, uint64_t flags)
{
    assert_int_equal(dd_open(&(struct dd_options){ .flags = flags, .socket = peer->path, .timeout_ms = -1 }), 0);
}

static struct dd_status status(void)
{
    struct dd_status status = { .size = sizeof status };

    assert_int_equal(dd_status(&status), 0);
    return status;
}

static void wait_for_state(enum dd_state state)
{
    for (int i = 0; i < LONG_MS && status().state != state; i++)
        usleep(1000);
    assert_int_equal(status().state, state);
}

static bool is_mapped(const char *address)
{
    unsigned char residency;

    return mincore((void *)address, 4096, &residency) == 0;
}

/* ---- joining ------------------------------------------------------------------------------------------- */

static void test_joins(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    struct json_object *tables;
    struct stat lines;

    assert_int_equal(call_hook(), 5);
    assert_int_equal(status().state, DD_CLOSED);
    open_at(&peer, 0);
    assert_int_equal(call_hook(), 5);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_int_equal(peer.message.n_descriptors, 1);
    assert_int_equal(fstat(peer.message.descriptors[0], &lines), 0);
    assert_int_equal(lines.st_size, DD_LINES_FILE_SIZE);
    tables = json_object_object_get(peer.call.parameters, "tables");
    assert_string_equal(json_object_to_json_string_ext(tables, JSON_C_TO_STRING_PLAIN),
                        "[{\"name\":\"on_test\",\"context\":\"test\",\"context_size\":24,\"default_verdict\":5,"
                        "\"fields\":["
                        "{\"name\":\"data\",\"offset\":0,\"size\":8,\"rights\":\"data\"},"
                        "{\"name\":\"data_end\",\"offset\":8,\"size\":8,\"rights\":\"data_end\"},"
                        "{\"name\":\"method\",\"offset\":16,\"size\":4,\"rights\":\"read\"},"
                        "{\"name\":\"status\",\"offset\":20,\"size\":4,\"rights\":\"write\"}]}]");
    assert_int_equal(status().state, DD_ALONE);
    reply_join(&peer, &image, ON_TEST_AT_64);
    expect(&peer, INTERFACE "Moved");
    assert_int_equal(moved_generation(&peer), generation);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(status().state, DD_JOINED);
    assert_int_equal(status().generation, generation);
    assert_string_equal(status().error, "");
    reply(&peer, "{}");
    expect_silence(&peer);
    assert_int_equal(dd_close(), 0);
    assert_int_equal(call_hook(), 5);
    peer_die(&peer);
    image_done(&image);
}

/* The daemon dies, a new one comes with another image; meanwhile and afterwards the hook works. */
static void test_moves(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), second = image_sealed(++generation, 50);
    const char *old;

    open_at(&peer, 0);
    let_join(&peer, &first);
    old = dd_window_base;
    peer_die(&peer);
    wait_for_state(DD_ORPHANED);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(status().generation, generation - 1);
    peer = peer_listen("socket");
    let_join(&peer, &second);
    assert_int_equal(call_hook(), 50);
    assert_int_equal(((const struct dd_window_head *)(void *)dd_window_base)->slot, 2);
    assert_false(is_mapped(old));
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&first);
    image_done(&second);
}

static pthread_barrier_t barrier;

static void *hold_guard(void *ret)
{
    DD_GUARDED {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        *(uint32_t *)ret = call_hook();
    }
    return NULL;
}

/* A guard of the old generation keeps its window mapped and the move unreported; the others are in the new one. */
static void test_waits_for_guards(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), second = image_sealed(++generation, 50);
    pthread_t thread;
    uint32_t verdict;
    char *old;

    pthread_barrier_init(&barrier, NULL, 2);
    open_at(&peer, 0);
    let_join(&peer, &first);
    old = dd_window_base;
    assert_int_equal(pthread_create(&thread, NULL, hold_guard, &verdict), 0);
    pthread_barrier_wait(&barrier);
    peer_die(&peer);
    peer = peer_listen("socket");
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply_join(&peer, &second, ON_TEST_AT_64);
    wait_for_state(DD_JOINED);
    assert_int_equal(call_hook(), 50);
    expect_silence(&peer);
    assert_true(is_mapped(old) && is_mapped(old + DD_WINDOW_TEXT));
    pthread_barrier_wait(&barrier);
    expect(&peer, INTERFACE "Moved");
    assert_false(is_mapped(old));
    pthread_join(thread, NULL);
    assert_int_equal(verdict, 50);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    pthread_barrier_destroy(&barrier);
    image_done(&first);
    image_done(&second);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static void test_is_refused(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);

    open_at(&peer, 0);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply_error(&peer, INTERFACE "ContextMismatch",
                "{\"table\":\"on_test\",\"context\":\"test\",\"reason\":\"it has 3 fields\"}");
    wait_for_state(DD_REFUSED);
    assert_non_null(strstr(status().error, "ContextMismatch"));
    assert_non_null(strstr(status().error, "it has 3 fields"));
    assert_int_equal(call_hook(), 5);
    let_join(&peer, &image);            /* asked again, the daemon agrees */
    wait_for_state(DD_JOINED);
    assert_string_equal(status().error, "");
    assert_int_equal(call_hook(), 40);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

/* Answers that a hostile or broken daemon may give: each leaves the worker where it was. */
static void test_bad_answers(void **state)
{
    static const char *const entries[] = {
        "[]",
        "[{\"table\":\"other\",\"offset\":64}]",
        "[{\"table\":\"on_test\",\"offset\":60}]",
        "[{\"table\":\"on_test\",\"offset\":-8}]",
        "[{\"table\":\"on_test\",\"offset\":8192}]",
        "[{\"table\":\"on_test\",\"offset\":9223372036854775800}]",
        "[{\"table\":\"on_test\",\"offset\":\"64\"}]",
        "[{\"table\":null,\"offset\":64}]",
        "{}",
    };
    struct peer peer = peer_listen("socket");
    struct image good = image_sealed(++generation, 40);
    struct image next = image_sealed(++generation, 50);
    const char *base;

    open_at(&peer, 0);
    let_join(&peer, &good);
    base = dd_window_base;
    for (size_t i = 0; i < ARRAY_LENGTH(entries); i++) {
        peer_hang_up(&peer);
        peer_accept(&peer);
        expect(&peer, INTERFACE "Join");
        reply_join(&peer, &next, entries[i]);
        wait_readable(stream_descriptor(peer.stream), "the worker goes on");
        assert_true(stream_receive(peer.stream, 0) <= 0);
        assert_ptr_equal(dd_window_base, base);
        assert_int_equal(call_hook(), 40);
        assert_true(strlen(status().error) > 0);
        let_join(&peer, &good);
    }
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply(&peer, "{\"generation\":99,\"text_size\":8192,\"entries\":" ON_TEST_AT_64 "}");      /* no descriptors */
    wait_for_state(DD_REFUSED);
    assert_ptr_equal(dd_window_base, base);
    peer_hang_up(&peer);
    let_join(&peer, &next);
    assert_int_equal(call_hook(), 50);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&good);
    image_done(&next);
}

static void test_noise(void **state)
{
    static const char *const noise[] = {
        "not json", "{}", "[]", "{\"parameters\":{\"generation\":1}}", "{\"error\":7}",
        "{\"parameters\":{\"generation\":1.5,\"text_size\":8192,\"entries\":[]}}",
        "{\"continues\":true,\"parameters\":{\"generation\":1,\"text_size\":8192,\"entries\":[]}}",
    };
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);

    open_at(&peer, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(noise); i++) {
        peer_hang_up(&peer);
        peer_accept(&peer);
        expect(&peer, INTERFACE "Join");
        assert_int_equal(write(stream_descriptor(peer.stream), noise[i], strlen(noise[i]) + 1), strlen(noise[i]) + 1);
        wait_readable(stream_descriptor(peer.stream), "the worker goes on");
        assert_true(stream_receive(peer.stream, 0) <= 0);
        assert_int_equal(status().state, i == 0 ? DD_ALONE : DD_ORPHANED);
        let_join(&peer, &image);
    }
    /* An answer that nobody asked for ends the conversation, and nothing else. */
    reply(&peer, "{}");
    let_join(&peer, &image);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

/* ---- tables that come later ---------------------------------------------------------------------------- */

static struct dd_table make_table(const char *name)
{
    static const struct dd_field field = { "method", offsetof(struct test, method), 4, DD_FIELD_READ, 0 };

    return (struct dd_table){ .name = name, .context = "struct test", .field = &field, .fields = 1,
                              .context_size = sizeof(struct test), .default_verdict = 9 };
}

static size_t tables_in(const struct peer *peer)
{
    return json_object_array_length(json_object_object_get(peer->call.parameters, "tables"));
}

static void test_declares_later(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    struct dd_table late = make_table("late"), unfit = make_table("unfit");

    open_at(&peer, 0);
    let_join(&peer, &image);
    assert_int_equal(dd_table_register(&late), 0);
    assert_int_equal(dd_table_register(&late), -EEXIST);
    assert_int_equal(dd_table_call(&late, 1, NULL), 9);
    expect(&peer, INTERFACE "Declare");
    assert_int_equal(tables_in(&peer), 1);
    reply(&peer, "{\"entries\":[{\"table\":\"late\",\"offset\":128}]}");
    for (int i = 0; i < LONG_MS && dd_table_call(&late, 1, NULL) != 41; i++)
        usleep(1000);
    assert_int_equal(dd_table_call(&late, 1, NULL), 41);
    assert_int_equal(dd_table_register(&unfit), 0);
    expect(&peer, INTERFACE "Declare");
    reply_error(&peer, INTERFACE "ContextMismatch", "{\"table\":\"unfit\",\"context\":\"test\",\"reason\":\"no\"}");
    expect_silence(&peer);
    assert_int_equal(dd_table_call(&unfit, 1, NULL), 9);
    assert_int_equal(status().state, DD_JOINED);
    assert_non_null(strstr(status().error, "unfit"));
    /* It does not keep the process from joining again, and is asked for again by itself. */
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_int_equal(tables_in(&peer), 2);
    reply_join(&peer, &image, "[{\"table\":\"on_test\",\"offset\":64},{\"table\":\"late\",\"offset\":128}]");
    expect(&peer, INTERFACE "Moved");
    reply(&peer, "{}");
    expect(&peer, INTERFACE "Declare");
    assert_int_equal(tables_in(&peer), 1);
    reply(&peer, "{\"entries\":[{\"table\":\"unfit\",\"offset\":192}]}");
    for (int i = 0; i < LONG_MS && dd_table_call(&unfit, 1, NULL) != 42; i++)
        usleep(1000);
    assert_int_equal(dd_table_call(&unfit, 1, NULL), 42);
    dd_table_unregister(&late);
    dd_table_unregister(&unfit);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

static void test_bad_tables(void **state)
{
    struct dd_field field = { "method", 16, 4, DD_FIELD_READ, 0 };
    const struct dd_field bad_fields[] = {
        { "method", 16, 3, DD_FIELD_READ, 0 }, { "method", 16, 16, DD_FIELD_READ, 0 },
        { "method", 21, 4, DD_FIELD_READ, 0 }, { "method", 0xfffffffc, 4, DD_FIELD_READ, 0 },
        { "method", 16, 4, 0, 0 }, { "method", 16, 4, 5, 0 },
        { "method", 16, 4, DD_FIELD_DATA, 0 }, { NULL, 16, 4, DD_FIELD_READ, 0 }, { "", 16, 4, DD_FIELD_READ, 0 },
    };
    struct dd_table table = make_table("ok");

    table.field = &field;
    for (size_t i = 0; i < ARRAY_LENGTH(bad_fields); i++) {
        field = bad_fields[i];
        assert_int_equal(dd_table_register(&table), -EINVAL);
    }
    table = make_table("space in it");
    assert_int_equal(dd_table_register(&table), -EINVAL);
    table = make_table("0123456789012345678901234567890123456789012345678901234567890123");
    assert_int_equal(dd_table_register(&table), -EINVAL);
    table = make_table("no_context");
    table.context = NULL;
    assert_int_equal(dd_table_register(&table), -EINVAL);
    assert_non_null(strstr(status().error, "no_context"));
    assert_int_equal(dd_table_register(NULL), -EINVAL);
    dd_table_unregister(NULL);
}

/* ---- lost descriptors ---------------------------------------------------------------------------------- */

static ino_t inode_of(int descriptor)
{
    struct stat status;

    assert_int_equal(fstat(descriptor, &status), 0);
    return status.st_ino;
}

/* Where the Join says that the arena is that it hands back; how many descriptors there are if it does not. */
static size_t arena_index(const struct peer *peer)
{
    struct json_object *arena = json_object_object_get(peer->call.parameters, "arena");

    return arena ? (size_t)json_object_get_int64(arena) : peer->message.n_descriptors;
}

static ino_t lines_inode(const struct peer *peer)
{
    assert_int_equal(arena_index(peer), 1);
    return inode_of(peer->message.descriptors[0]);
}

/* A Join without lines. */
static void assert_no_lines(const struct peer *peer, const struct image *image)
{
    assert_int_equal(arena_index(peer), 0);
    assert_int_equal(peer->message.n_descriptors, 1);
    assert_true(inode_of(peer->message.descriptors[0]) == inode_of(image->arena));
}

/* What the application does that closes all that it does not know, but for the peer's, which lie above. */
static void close_the_library_s(void)
{
    char path[64], target[128];

    for (int i = 3; i < 256; i++) {
        ssize_t length;

        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (i == lines_current()->memfd.number || strstr(target, "eventpoll") || strstr(target, "timerfd"))
            close(i);
    }
}

/* Only the lines were lost.  The daemon that has them is not told again; one that never had them gets new ones. */
static void test_lost_lines(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), second = image_sealed(++generation, 50);
    ino_t inode;
    int other;

    open_at(&peer, 0);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    inode = lines_inode(&peer);
    reply_join(&peer, &first, ON_TEST_AT_64);
    expect(&peer, INTERFACE "Moved");
    reply(&peer, "{}");
    assert_int_equal(call_hook(), 40);
    close_the_library_s();
    other = lines_current()->memfd.number;
    assert_int_equal(dup2(STDERR_FILENO, other), other);        /* the number is somebody else's now */
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_no_lines(&peer, &first);
    reply_join(&peer, &first, ON_TEST_AT_64);                   /* the same daemon: nothing else changes */
    expect(&peer, INTERFACE "Moved");
    reply(&peer, "{}");
    assert_int_equal(call_hook(), 40);
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_no_lines(&peer, &first);
    reply_error(&peer, INTERFACE "UnknownProcess", "{}");
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_true(lines_inode(&peer) != inode);
    reply_join(&peer, &second, ON_TEST_AT_64);
    expect(&peer, INTERFACE "Moved");
    reply(&peer, "{}");
    assert_int_equal(call_hook(), 50);
    assert_true(lines_is_current(dd_thread_self.line));
    assert_int_equal(fcntl(other, F_GETFD), 0);                 /* not closed: it was not ours */
    close(other);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&first);
    image_done(&second);
}

/* The socket was lost: seen within a heartbeat, and the old number is left alone. */
static void test_lost_socket(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    int number = -1;

    open_at(&peer, 0);
    let_join(&peer, &image);
    for (int i = 3; i < 256 && number < 0; i++) {
        struct sockaddr_un address = { 0 };
        socklen_t length = sizeof address;

        if (getpeername(i, (struct sockaddr *)&address, &length) == 0 && strcmp(address.sun_path, peer.path) == 0)
            number = i;
    }
    assert_true(number > 0);
    assert_int_equal(dup2(STDERR_FILENO, number), number);
    let_join(&peer, &image);
    assert_int_equal(fcntl(number, F_GETFD), 0);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(dd_close(), 0);
    close(number);
    peer_die(&peer);
    image_done(&image);
}

/* ---- generations --------------------------------------------------------------------------------------- */

/* Another daemon that counts from anew: by way of the default window, and with lines that remember nothing. */
static void test_same_generation_of_another(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), other = image_sealed(generation, 50);
    ino_t inode;

    open_at(&peer, 0);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    inode = lines_inode(&peer);
    reply_join(&peer, &first, ON_TEST_AT_64);
    expect(&peer, INTERFACE "Moved");
    assert_int_equal(call_hook(), 40);
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply_join(&peer, &other, ON_TEST_AT_64);
    peer_accept(&peer);
    assert_int_equal(call_hook(), 5);
    expect(&peer, INTERFACE "Join");
    assert_true(lines_inode(&peer) != inode);
    reply_join(&peer, &other, ON_TEST_AT_64);
    expect(&peer, INTERFACE "Moved");
    assert_int_equal(call_hook(), 50);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&first);
    image_done(&other);
}

/* ---- fork ---------------------------------------------------------------------------------------------- */

/* Has the peer's socket got a message that contains this, at this very moment? */
static bool is_waiting(const struct peer *peer, const char *text)
{
    char buffer[4096] = "";
    ssize_t n = recv(stream_descriptor(peer->stream), buffer, sizeof buffer - 1, MSG_PEEK | MSG_DONTWAIT);

    return n > 0 && strstr(buffer, text);
}

static struct dd_lines *map_lines(int memfd)
{
    struct dd_lines *lines = mmap(NULL, DD_LINES_SIZE, PROT_READ, MAP_SHARED, memfd, 0);

    assert_int_not_equal((long)lines, (long)MAP_FAILED);
    return lines;
}

/*
 * The child tells, by its exit status, whether the daemon had been told when it began to run, and whether the hook
 * worked inside the guard that it inherited and after.
 */
static int run_child(const struct peer *peer, struct dd_guard *guard, int ready, int go)
{
    bool told = is_waiting(peer, INTERFACE "Fork");
    uint32_t inside = call_hook();
    char byte = 'x';

    if (write(ready, &byte, 1) != 1)
        return 1;

    if (read(go, &byte, 1) != 1)
        return 2;
    dd_guard_leave(guard);
    if (read(go, &byte, 1) != 1)
        return 3;
    return !told ? 4 : inside != 40 ? 5 : call_hook() != 40 ? 6 : 0;
}

static void test_fork(void **state)
{
    struct peer peer = peer_listen("socket"), of_child = { .listener = -EBADF };
    struct image image = image_sealed(++generation, 40);
    struct dd_lines *lines;
    struct dd_guard guard;
    int ready[2], go[2], status_of_child;
    uint32_t index;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    open_at(&peer, 0);
    let_join(&peer, &image);
    guard = dd_guard_enter();
    call_hook();
    child = fork();
    if (child == 0) {
        close(go[1]);                   /* so that it ends with a parent that fails */
        _exit(run_child(&peer, &guard, ready[1], go[0]));
    }
    dd_guard_leave(&guard);
    wait_readable(ready[0], "the child does not run");
    expect(&peer, INTERFACE "Fork");
    assert_true(peer.call.oneway);
    assert_int_equal(peer.message.n_descriptors, 2);
    lines = map_lines(peer.message.descriptors[0]);
    index = (uint32_t)(guard.line - lines_current()->map->line);
    assert_int_equal(lines->used, index + 1);
    assert_true(lines->line[index].word != 0);          /* the child's guard, from before it ran */
    assert_int_equal(stream_new(message_take_descriptor(&peer.message, 1), NULL, 0, &of_child.stream), 0);
    expect(&of_child, INTERFACE "Adopt");
    assert_true(of_child.call.oneway);
    assert_int_equal(of_child.message.sender.pid, child);
    assert_int_equal(*(const uint32_t *)(const void *)&lines->line[index].owner & 0x3fffffff, child);
    assert_true(lines->line[index].word != 0);
    expect(&of_child, INTERFACE "Moved");
    reply(&of_child, "{}");
    assert_int_equal(dd_close(), 0);                    /* the child has no copy of the parent's conversation */
    expect(&peer, INTERFACE "Leave");
    wait_readable(stream_descriptor(peer.stream), "the parent's socket does not end");
    assert_int_equal(stream_receive(peer.stream, 0), 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    for (int i = 0; i < LONG_MS && __atomic_load_n(&lines->line[index].word, __ATOMIC_RELAXED) != 0; i++)
        usleep(1000);
    assert_int_equal(lines->line[index].word, 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status_of_child, 0), child);
    assert_int_equal(status_of_child, 0);
    assert_true((*(const uint32_t *)(const void *)&lines->line[index].owner & 0x40000000) != 0);
    peer_hang_up(&of_child);
    munmap(lines, DD_LINES_SIZE);
    peer_die(&peer);
    image_done(&image);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
}

/* A child of an orphan keeps its programs, a child that could not be announced to a living daemon falls back. */
static void test_fork_unannounced(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    struct rlimit limit, none;
    int status_of_child;
    pid_t child;

    open_at(&peer, 0);
    let_join(&peer, &image);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    child = fork();
    if (child == 0)
        _exit((int)call_hook());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(waitpid(child, &status_of_child, 0), child);
    assert_int_equal(WEXITSTATUS(status_of_child), 5);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

/* Without a thread, the child's event loop is woken at once, by a descriptor of its own. */
static int drive_child(void)
{
    int fd = dd_fd();

    if (fd < 0 || status().state != DD_JOINED)
        return 1;
    wait_readable(fd, "the child's descriptor says nothing");
    if (dd_process() < 0)
        return 2;
    wait_readable(fd, "the answer does not wake");
    return dd_process() == 0 && call_hook() == 40 ? 0 : 3;
}

static void test_fork_without_thread(void **state)
{
    struct peer peer = peer_listen("socket"), of_child = { .listener = -EBADF };
    struct image image = image_sealed(++generation, 40);
    int status_of_child;
    pid_t child;

    open_at(&peer, DD_NO_THREAD);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply_join(&peer, &image, ON_TEST_AT_64);
    while (status().state != DD_JOINED)
        dd_process();
    child = fork();
    if (child == 0)
        _exit(drive_child());
    expect(&peer, INTERFACE "Moved");
    expect(&peer, INTERFACE "Fork");
    assert_int_equal(stream_new(message_take_descriptor(&peer.message, 1), NULL, 0, &of_child.stream), 0);
    expect(&of_child, INTERFACE "Adopt");
    expect(&of_child, INTERFACE "Moved");
    reply(&of_child, "{}");
    assert_int_equal(waitpid(child, &status_of_child, 0), child);
    assert_int_equal(status_of_child, 0);
    peer_hang_up(&of_child);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

/* ---- event loops, closing ------------------------------------------------------------------------------ */

static void *answer_slowly(void *unused)
{
    struct peer *peer = unused;

    peer_accept(peer);
    expect(peer, INTERFACE "Join");
    return NULL;
}

static void test_without_thread(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    pthread_t thread;

    assert_int_equal(dd_fd(), -EBADF);
    assert_int_equal(dd_process(), -EBADF);
    open_at(&peer, DD_NO_THREAD);
    assert_true(dd_fd() >= 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_slowly, &peer), 0);
    pthread_join(thread, NULL);
    assert_int_equal(dd_process(), 0);                  /* no answer yet: returns all the same */
    assert_int_equal(call_hook(), 5);
    reply_join(&peer, &image, ON_TEST_AT_64);
    while (status().state != DD_JOINED) {
        wait_readable(dd_fd(), "the descriptor says nothing");
        assert_int_equal(dd_process(), 0);
    }
    assert_int_equal(call_hook(), 40);
    peer_die(&peer);
    wait_readable(dd_fd(), "the descriptor says nothing of the end");
    while (status().state != DD_ORPHANED) {
        wait_readable(dd_fd(), "the descriptor says nothing of the end");
        dd_process();
    }
    peer = peer_listen("socket");
    wait_readable(dd_fd(), "the timer does not wake");
    for (int i = 0; i < 100 && poll(&(struct pollfd){ .fd = peer.listener, .events = POLLIN }, 1, 0) == 0; i++) {
        wait_readable(dd_fd(), "the timer does not wake");
        dd_process();
    }
    peer_accept(&peer);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

static void test_options(void **state)
{
    struct dd_options options = { .flags = 2 };
    struct {
        struct dd_options options;
        uint64_t unknown;
    } longer = { { .size = sizeof longer }, 1 };
    char path[200];

    assert_int_equal(dd_open(&options), -EINVAL);
    assert_int_equal(dd_open(&longer.options), -EINVAL);
    options = (struct dd_options){ .size = 4 };
    assert_int_equal(dd_open(&options), -EINVAL);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    options = (struct dd_options){ .socket = path };
    assert_int_equal(dd_open(&options), -ENAMETOOLONG);
    assert_int_equal(status().state, DD_CLOSED);
    assert_int_equal(dd_close(), -EALREADY);
}

static void test_close(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);

    for (int i = 0; i < 3; i++) {
        const char *base;

        open_at(&peer, 0);
        assert_int_equal(dd_open(NULL), -EALREADY);
        let_join(&peer, &image);        /* the same daemon and generation each time */
        assert_int_equal(call_hook(), 40);
        base = dd_window_base;
        DD_GUARDED {
            assert_int_equal(dd_close(), -EDEADLK);
        }
        assert_int_equal(dd_close(), 0);
        assert_int_equal(call_hook(), 5);
        assert_false(is_mapped(base));
    }
    peer_die(&peer);
    image_done(&image);
}

/* ---- all ----------------------------------------------------------------------------------------------- */

static int make_directory(void **state)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_joins),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_waits_for_guards),
        cmocka_unit_test(test_is_refused),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_declares_later),
        cmocka_unit_test(test_lost_lines),
        cmocka_unit_test(test_lost_socket),
        cmocka_unit_test(test_same_generation_of_another),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_unannounced),
        cmocka_unit_test(test_fork_without_thread),
        cmocka_unit_test(test_without_thread),
        cmocka_unit_test(test_close),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
