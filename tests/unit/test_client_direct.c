/* SPDX-License-Identifier: MIT */
/* Slots of hooks without indirect branches: they lead to what is near and what is out of a jump's reach, or fail. */
#define DD_NO_INDIRECT
#include "peer.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "direct.h"
#include "library.h"

#define PAGE 4096u
#define JUMP 0xe9               /* opcodes of a slot's first instruction */
#define MOVE 0x49

struct event {
    uint32_t number;
};

DD_TABLE(on_event, struct event, 5, DD_READ(number))

/* A function without arguments that returns `value`, in memory of its own; out of reach where this program is not next to it. */
static void *make_function(uint8_t value)
{
    const uint8_t code[] = { 0xb8, value, 0, 0, 0, 0xc3 };      /* mov eax, value; ret */
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(page, MAP_FAILED);
    memcpy(page, code, sizeof(code));
    assert_int_equal(mprotect(page, PAGE, PROT_READ | PROT_EXEC), 0);
    return page;
}

static uint32_t near_function(void *context, uint32_t key)
{
    return key + 100;
}

static void point(unsigned slot, dd_entry *entry)
{
    on_event_table.entry[slot] = entry;
    assert_int_equal(direct_point(slot), 0);
}

static void test_near_and_far(void **state)
{
    const volatile uint8_t *code = on_event_slot_.code;     /* the page is replaced under it */
    void *far = make_function(42);
    int64_t distance = (char *)far - (const char *)code;

    if (distance == (int32_t)distance)          /* an emulator chose where this program lies */
        skip();
    assert_int_equal(on_event_direct_(NULL, 7), 5);
    for (unsigned round = 0; round < 3; round++) {
        point(1, (dd_entry *)(uintptr_t)far);
        assert_int_equal(code[0], MOVE);
        assert_int_equal(on_event_direct_(NULL, 7), 42);
        point(2, near_function);
        assert_int_equal(code[0], JUMP);
        assert_int_equal(on_event_direct_(NULL, 7), 107);
    }
    point(0, on_event_table.entry[0]);
    assert_int_equal(on_event_direct_(NULL, 7), 5);
    munmap(far, PAGE);
}

/* Arguments come through the thunk as they are. */
static void test_far_arguments(void **state)
{
    static const uint8_t code[] = { 0x8d, 0x04, 0x37, 0xc3 };   /* lea eax, [rdi + rsi]; ret */
    void *far = make_function(0);

    assert_int_equal(mprotect(far, PAGE, PROT_READ | PROT_WRITE), 0);
    memcpy(far, code, sizeof(code));
    assert_int_equal(mprotect(far, PAGE, PROT_READ | PROT_EXEC), 0);
    point(1, (dd_entry *)(uintptr_t)far);
    assert_int_equal(on_event_direct_((void *)(uintptr_t)1000, 7), 1007);
    point(0, on_event_table.entry[0]);
    munmap(far, PAGE);
}

/* The slow paths' slots lead to the library from the registration on, wherever it is. */
static void test_slow_paths(void **state)
{
    char *base = NULL;
    struct dd_guard guard = dd_direct_enter_(&base);

    assert_null(guard.line);                    /* not open */
    dd_direct_leave_(&guard);
    assert_int_equal(on_event(3, NULL), 5);
}

/* ---- slots that cannot be replaced --------------------------------------------------------------------- */

#define ENTRIES "[{\"table\":\"on_test\",\"offset\":64},{\"table\":\"on_event\",\"offset\":64}]"

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

static bool memfds_fail;

int __wrap_memfd_create(const char *name, unsigned flags)
{
    if (!memfds_fail)
        return __real_memfd_create(name, flags);
    errno = EMFILE;
    return -1;
}

static void process_until(enum dd_state state)
{
    for (int i = 0; i < LONG_MS && status().state != state; i++) {
        assert_int_equal(dd_process(), 0);
        usleep(1000);
    }
    assert_int_equal(status().state, state);
}

static void accept_join(struct peer *peer)
{
    for (int i = 0; i < LONG_MS && poll(&(struct pollfd){ .fd = peer->listener, .events = POLLIN }, 1, 1) == 0; i++)
        dd_process();
    peer_accept(peer);
    dd_process();
    expect(peer, INTERFACE "Join");
}

/* A table gets another entry, and no page for its slot: the move begins again, while a Join waits for its answer. */
static void fail_to_point(void)
{
    on_event_table.entry[library.membership.mover.current->slot] = near_function;
    memfds_fail = true;
    dd_table_unregister(&(struct dd_table){ .name = "of no matter" });
    memfds_fail = false;
    assert_true(library.membership.mover.moving);
    assert_int_equal(status().state, DD_ORPHANED);
}

/* There is room for one window more only when the move is done: the answer is of no use, and asked for again. */
static void test_joined_while_moving(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), second = image_sealed(++generation, 50);

    open_at(&peer, DD_NO_THREAD);
    accept_join(&peer);
    reply_join(&peer, &first, ENTRIES);
    process_until(DD_JOINED);
    assert_int_equal(on_event(3, NULL), 40);
    peer_die(&peer);
    process_until(DD_ORPHANED);
    peer = peer_listen("socket");
    accept_join(&peer);
    fail_to_point();
    reply_join(&peer, &second, ENTRIES);
    assert_int_equal(dd_process(), 0);
    assert_non_null(strstr(status().error, "a move began"));
    assert_int_equal(on_event(3, NULL), 103);
    accept_join(&peer);
    reply_join(&peer, &second, ENTRIES);
    process_until(DD_JOINED);
    assert_int_equal(on_event(3, NULL), 50);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&first);
    image_done(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_and_far),
        cmocka_unit_test(test_far_arguments),
        cmocka_unit_test(test_slow_paths),
        cmocka_unit_test(test_joined_while_moving),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
