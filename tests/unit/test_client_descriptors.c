/* SPDX-License-Identifier: MIT */
/* The client when its application closes what is the library's, and which lines and arena a Join hands back. */
#include "peer.h"

#include <json-c/json.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lines.h"
#include "process.h"

/* ---- lost descriptors ---------------------------------------------------------------------------------- */

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

/* ---- all ----------------------------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_lines),
        cmocka_unit_test(test_lost_socket),
        cmocka_unit_test(test_same_generation_of_another),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
