/* SPDX-License-Identifier: MIT */
/* Windows: what a daemon sends is mapped as layout.h draws it, never writable and executable, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd.h"
#include "image.h"
#include "window.h"

/* ---- /proc/self/maps ----------------------------------------------------------------------------------- */

/* Protection of the mapping that holds an address ("r-xs"); "" if there is none. */
static void protection_at(const char *address, char ret[5])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];

    assert_non_null(maps);
    ret[0] = '\0';
    while (fgets(line, sizeof line, maps)) {
        unsigned long begin, end;
        char protection[5];

        if (sscanf(line, "%lx-%lx %4s", &begin, &end, protection) == 3 && (unsigned long)address >= begin &&
            (unsigned long)address < end)
            strcpy(ret, protection);
    }
    fclose(maps);
}

static void assert_protection(const char *address, const char *expected)
{
    char protection[5];

    protection_at(address, protection);
    assert_string_equal(protection, expected);
}

/* Mappings of memfds, or those of all that are writable and executable. */
static unsigned count_mappings(bool writable_and_executable)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned n = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        char protection[5] = "";

        sscanf(line, "%*s %4s", protection);
        n += writable_and_executable ? protection[1] == 'w' && protection[2] == 'x' : strstr(line, "/memfd:") != NULL;
    }
    fclose(maps);
    return n;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static int map_near(const struct image *image, uint64_t generation, uint64_t text_size, const void *callers,
                    struct window **ret)
{
    const char *reason = NULL;
    const struct window_files files = { image->control, image->text, image->arena, image->linkage };
    int r = window_map(&files, generation, text_size, 1, callers, ret, &reason);

    if (r == -EBADMSG)
        assert_non_null(reason);
    return r;
}

static int map(const struct image *image, uint64_t generation, uint64_t text_size, struct window **ret)
{
    return map_near(image, generation, text_size, &map, ret);
}

static void test_maps_what_the_layout_draws(void **state)
{
    struct image image = image_sealed(7, 42);
    unsigned before = count_mappings(true);     /* none, but in valgrind */
    const struct dd_window_head *head;
    struct window *window;
    char *base;

    assert_int_equal(map(&image, 7, IMAGE_TEXT_SIZE, &window), 0);
    base = window->base;
    head = (const void *)base;
    assert_int_equal(head->slot, 1);
    assert_int_equal(head->generation, 7);
    assert_int_equal(head->size, DD_WINDOW_TEXT + IMAGE_TEXT_SIZE + DD_ARENA_SIZE);
    assert_protection(base, "r--p");
    assert_protection(base + DD_WINDOW_CONTROL, "r--s");
    assert_protection(base + DD_WINDOW_CONTROL + DD_CONTROL_SIZE, "---p");
    assert_protection(base + DD_WINDOW_LINKAGE, "r-xs");
    assert_protection(base + DD_WINDOW_LINKAGE + DD_LINKAGE_SIZE, "---p");
    assert_protection(base + DD_WINDOW_DATA, "rw-p");
    assert_protection(base + DD_WINDOW_DATA + DD_LINKAGE_DATA_SIZE, "---p");
    assert_protection(base + DD_WINDOW_TEXT, "r-xs");
    assert_protection(base + DD_WINDOW_TEXT + IMAGE_TEXT_SIZE, "rw-s");
    assert_protection(base + DD_WINDOW_TEXT + IMAGE_TEXT_SIZE + DD_ARENA_SIZE - 1, "rw-s");
    assert_int_equal(count_mappings(true), before);
    assert_int_equal(((dd_entry *)(void *)(base + DD_WINDOW_TEXT + IMAGE_ENTRY))(NULL, 0), 42);
    assert_ptr_equal(window_unmap(window), NULL);
    assert_protection(base, "");
    assert_protection(base + DD_WINDOW_TEXT, "");
    image_done(&image);
}

/* Two at once, as while a process moves: both in reach of a relative branch. */
static void test_lies_near_its_callers(void **state)
{
    const uintptr_t places[] = { (uintptr_t)&map, 0x400000 };  /* this program; one at the bottom of the space, */
    const char *sanitizers = getenv("SANITIZERS");
    const size_t n = sanitizers && !strcmp(sanitizers, "yes") ? 1 : 2;  /* there the address sanitizer has its shadow */
    struct image image = image_sealed(7, 42);
    struct window *window[2];

    if ((uintptr_t)&map < UINT32_MAX)   /* an emulator chose where this program lies, and what else */
        skip();
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < 2; j++) {
            uintptr_t base;

            assert_int_equal(map_near(&image, 7, IMAGE_TEXT_SIZE, (void *)places[i], &window[j]), 0);
            base = (uintptr_t)window[j]->base;
            assert_int_equal(base % (2 << 20), 0);
            if (places[i] > UINT32_MAX)
                assert_true(base + window[j]->size <= places[i] && places[i] - base < (uintptr_t)2 << 30);
            else
                assert_true(base >= (uintptr_t)1 << 30 && base + DD_WINDOW_TEXT + IMAGE_TEXT_SIZE < (uintptr_t)2 << 30);
        }
        window_unmap(window[0]);
        window_unmap(window[1]);
    }
    image_done(&image);
}

/* The daemon's own mapping goes on; ours cannot be made writable, not by a new one either. */
static void test_cannot_be_written(void **state)
{
    struct image image = image_sealed(7, 42);
    struct window *window;

    assert_int_equal(map(&image, 7, IMAGE_TEXT_SIZE, &window), 0);
    assert_int_equal(mprotect(window->base + DD_WINDOW_TEXT, IMAGE_TEXT_SIZE, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(mprotect(window->base + DD_WINDOW_CONTROL, DD_CONTROL_SIZE, PROT_READ | PROT_WRITE), -1);
    assert_ptr_equal(mmap(NULL, IMAGE_TEXT_SIZE, PROT_WRITE, MAP_SHARED, image.text, 0), MAP_FAILED);
    assert_int_equal(pwrite(image.text, "x", 1, 0), -1);
    image.page->epoch = DD_EPOCH(7, 2);
    assert_int_equal(*(volatile uint64_t *)(void *)(window->base + DD_WINDOW_CONTROL), DD_EPOCH(7, 2));
    window_unmap(window);
    image_done(&image);
}

static void assert_refused(const struct image *image, uint64_t generation, uint64_t text_size)
{
    struct window *window = NULL;
    unsigned before = count_mappings(false);

    assert_int_equal(map(image, generation, text_size, &window), -EBADMSG);
    assert_null(window);
    assert_int_equal(count_mappings(false), before);
}

static void test_refuses_missing_seals(void **state)
{
    const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL, 0x0010 };

    for (size_t missing = 0; missing < 4; missing++)
        for (int which = 0; which < 2; which++) {
            struct image image = image_new(7, 42);
            int incomplete = which ? image.control : image.text, complete = which ? image.text : image.control;

            assert_int_equal(fcntl(image.arena, F_ADD_SEALS, IMAGE_ARENA_SEALS), 0);
            assert_int_equal(fcntl(image.linkage, F_ADD_SEALS, IMAGE_SEALS), 0);
            assert_int_equal(fcntl(complete, F_ADD_SEALS, IMAGE_SEALS), 0);
            assert_int_equal(fcntl(incomplete, F_ADD_SEALS, IMAGE_SEALS & ~seals[missing]), 0);
            assert_refused(&image, 7, IMAGE_TEXT_SIZE);
            image_done(&image);
        }
}

static void test_refuses_arenas(void **state)
{
    const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL };

    for (size_t missing = 0; missing < 3; missing++) {
        struct image image = image_sealed(7, 42);
        int sealed = image.arena;

        image.arena = image_memfd("arena", DD_ARENA_SIZE);
        assert_int_equal(fcntl(image.arena, F_ADD_SEALS, IMAGE_ARENA_SEALS & ~seals[missing]), 0);
        assert_refused(&image, 7, IMAGE_TEXT_SIZE);
        close(image.arena);
        image.arena = image_memfd("arena", DD_ARENA_SIZE / 2);
        assert_int_equal(fcntl(image.arena, F_ADD_SEALS, IMAGE_ARENA_SEALS), 0);
        assert_refused(&image, 7, IMAGE_TEXT_SIZE);
        close(image.arena);
        image.arena = sealed;
        image_done(&image);
    }
}

static void test_refuses_numbers(void **state)
{
    struct image image = image_sealed(7, 42);
    struct image zero = image_sealed(0, 42);

    assert_refused(&image, 8, IMAGE_TEXT_SIZE);
    assert_refused(&zero, 0, IMAGE_TEXT_SIZE);
    assert_refused(&image, (uint64_t)1 << 31, IMAGE_TEXT_SIZE);
    assert_refused(&image, 7, 0);
    assert_refused(&image, 7, 0x1000);
    assert_refused(&image, 7, IMAGE_TEXT_SIZE + 0x1000);
    assert_refused(&image, 7, IMAGE_TEXT_SIZE + 1);
    assert_refused(&image, 7, (uint64_t)-1);
    assert_refused(&image, 7, (uint64_t)DD_TEXT_SIZE_MAX + 0x1000);
    image_done(&image);
    image_done(&zero);
}

static void test_refuses_control_pages(void **state)
{
    struct image image = image_sealed(7, 42);
    const struct dd_control good = *image.page;
    struct window *window;

    image.page->magic++;
    assert_refused(&image, 7, IMAGE_TEXT_SIZE);
    *image.page = good;
    image.page->layout_version++;
    assert_refused(&image, 7, IMAGE_TEXT_SIZE);
    *image.page = good;
    image.page->generation++;
    assert_refused(&image, 7, IMAGE_TEXT_SIZE);
    *image.page = good;
    image.page->epoch = DD_EPOCH(8, 1);
    assert_refused(&image, 7, IMAGE_TEXT_SIZE);
    *image.page = good;
    image.page->text_size += 0x1000;
    assert_refused(&image, 7, IMAGE_TEXT_SIZE);
    *image.page = good;
    assert_int_equal(map(&image, 7, IMAGE_TEXT_SIZE, &window), 0);
    window_unmap(window);
    image_done(&image);
}

static void test_refuses_what_is_no_memfd(void **state)
{
    struct image image = image_sealed(7, 42);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct image no_control = { null, image.text, image.arena, image.linkage, NULL };
    struct image no_text = { image.control, null, image.arena, image.linkage, NULL };
    struct image no_arena = { image.control, image.text, null, image.linkage, NULL };
    struct image no_linkage = { image.control, image.text, image.arena, null, NULL };
    struct image nothing = { -EBADF, -EBADF, -EBADF, -EBADF, NULL };

    assert_refused(&no_control, 7, IMAGE_TEXT_SIZE);
    assert_refused(&no_text, 7, IMAGE_TEXT_SIZE);
    assert_refused(&no_arena, 7, IMAGE_TEXT_SIZE);
    assert_refused(&no_linkage, 7, IMAGE_TEXT_SIZE);
    assert_refused(&nothing, 7, IMAGE_TEXT_SIZE);
    close(null);
    image_done(&image);
}

/* Without a daemon there is a window, too: slot 0, and an epoch that is neither "outside" nor "unseen". */
static void test_default_window(void **state)
{
    const struct dd_window_head *head = (const void *)dd_window_base;
    const struct dd_control *control = (const void *)(dd_window_base + DD_WINDOW_CONTROL);

    assert_int_equal(head->slot, 0);
    assert_int_equal(head->generation, 0);
    assert_int_equal(DD_EPOCH_GENERATION(control->epoch), 0);
    assert_true(control->epoch > DD_LINE_UNSEEN);
    assert_protection(dd_window_base, "r--p");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps_what_the_layout_draws),
        cmocka_unit_test(test_lies_near_its_callers),
        cmocka_unit_test(test_cannot_be_written),
        cmocka_unit_test(test_refuses_missing_seals),
        cmocka_unit_test(test_refuses_arenas),
        cmocka_unit_test(test_refuses_numbers),
        cmocka_unit_test(test_refuses_control_pages),
        cmocka_unit_test(test_refuses_what_is_no_memfd),
        cmocka_unit_test(test_default_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
