/* SPDX-License-Identifier: MIT */
/* The client when its process forks: what the daemon hears, and what the child runs. */
#include "peer.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "library.h"
#include "lines.h"
#include "process.h"
#include "util.h"

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

/* The library joins, and has no thread of its own. */
static void join_without_thread(struct peer *peer, const struct image *image)
{
    open_at(peer, DD_NO_THREAD);
    peer_accept(peer);
    expect(peer, INTERFACE "Join");
    reply_join(peer, image, ON_TEST_AT_64);
    while (status().state != DD_JOINED)
        dd_process();
}

static void test_fork_without_thread(void **state)
{
    struct peer peer = peer_listen("socket"), of_child = { .listener = -EBADF };
    struct image image = image_sealed(++generation, 40);
    int status_of_child;
    pid_t child;

    join_without_thread(&peer, &image);
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

/* ---- a daemon that does not read ----------------------------------------------------------------------- */

int __real_poll(struct pollfd *polled, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *polled, nfds_t n, int timeout_ms);

static unsigned *waits;                 /* calls of poll() that may wait, of this process and its children */

int __wrap_poll(struct pollfd *polled, nfds_t n, int timeout_ms)
{
    if (waits && timeout_ms != 0)
        ++*waits;
    return __real_poll(polled, n, timeout_ms);
}

/* The verdict of a child's first call. */
static int fork_and_call(void)
{
    int status_of_child;
    pid_t child = fork();

    if (child == 0)
        _exit((int)call_hook());
    assert_int_equal(waitpid(child, &status_of_child, 0), child);
    return WEXITSTATUS(status_of_child);
}

/* Until the socket is full, and a fork has waited for room in it.  Returns how many children were announced. */
static unsigned fork_until_deaf(void)
{
    int few = 1;                        /* the kernel makes the least of it that is possible */
    unsigned n = 0;
    const int socket = library.membership.conversation.socket.number;

    assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &few, sizeof few), 0);
    for (;;) {
        int verdict = fork_and_call();

        if (*waits > 0) {
            assert_int_equal(verdict, 5);
            return n;
        }
        assert_int_equal(verdict, 40);
        assert_true(++n < 1000);
    }
}

/* One fork waits for a daemon that does not read; those after it do not, and leave nothing that is to be sent. */
static void test_fork_from_the_deaf(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    unsigned descriptors, announced;

    waits = mmap(NULL, sizeof *waits, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(waits, MAP_FAILED);
    join_without_thread(&peer, &image);
    expect(&peer, INTERFACE "Moved");
    descriptors = count_descriptors();
    *waits = 0;
    announced = fork_until_deaf();
    for (unsigned i = 0; i < 3; i++) {
        *waits = 0;
        assert_int_equal(fork_and_call(), 5);
        assert_int_equal(*waits, 0);
        assert_false(conversation_is_sending(&library.membership.conversation));
        assert_int_equal(count_descriptors(), descriptors);
    }
    for (; announced > 0; announced--)
        expect(&peer, INTERFACE "Fork");
    assert_int_equal(fork_and_call(), 40);          /* it reads again */
    expect(&peer, INTERFACE "Fork");
    assert_false(library.membership.deaf);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
    munmap(TAKE_POINTER(waits), sizeof *waits);
}

/* ---- all ----------------------------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_unannounced),
        cmocka_unit_test(test_fork_without_thread),
        cmocka_unit_test(test_fork_from_the_deaf),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
