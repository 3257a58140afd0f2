/* SPDX-License-Identifier: MIT */
/* Slots of hooks without indirect branches: they lead to what is near and to what is out of a jump's reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define DD_NO_INDIRECT
#include <dispatchd.h>

#include "direct.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_and_far),
        cmocka_unit_test(test_far_arguments),
        cmocka_unit_test(test_slow_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
