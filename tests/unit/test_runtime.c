/* SPDX-License-Identifier: MIT */
/* The runtime as one block of bytes: where its functions are, and that they do in it what they do in this process. */
#include "jit.h"

#include <string.h>
#include <sys/mman.h>

#include "map.h"
#include "runtime.h"

static void test_offsets(void **state)
{
    size_t head = runtime_trace_map() + sizeof(struct map);

    assert_int_equal(runtime_offset(RUNTIME_NONE), 0);
    assert_int_equal(runtime_trace_map() % RUNTIME_ALIGNMENT, 0);
    for (unsigned i = 1; i < RUNTIME_FUNCTIONS_END; i++)
        assert_in_range(runtime_offset((enum runtime_function)i), head, runtime_size() - 1);
}

/* Zeros are an empty trace ring, and no pointer: whoever places the bytes fills it in. */
static void test_trace_map(void **state)
{
    static const uint8_t zeros[sizeof(struct map)];

    assert_memory_equal(runtime_bytes() + runtime_trace_map(), zeros, sizeof(zeros));
}

static void test_threads(void **state)
{
    assert_false(runtime_wants_thread(RUNTIME_array_lookup));
    assert_true(runtime_wants_thread(RUNTIME_hash_update));
    assert_true(runtime_wants_thread(RUNTIME_random_number));
}

/* At two addresses, in memory that is not writable: a function that needed either would crash. */
static void test_runs_anywhere(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        size_t shift = i * RUNTIME_ALIGNMENT, size = runtime_size() + shift;
        uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        uint64_t (*compare)(const char *, uint64_t, const char *);

        assert_true(base != MAP_FAILED);
        memcpy(base + shift, runtime_bytes(), runtime_size());
        assert_int_equal(mprotect(base, size, PROT_READ | PROT_EXEC), 0);
        compare = (uint64_t(*)(const char *, uint64_t, const char *))(uintptr_t)(
            base + shift + runtime_offset(RUNTIME_text_compare));
        assert_int_equal(compare("same", 5, "same"), 0);
        assert_true((int64_t)compare("some", 5, "same") > 0);
        munmap(base, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_trace_map),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_runs_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
