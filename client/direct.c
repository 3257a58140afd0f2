/* SPDX-License-Identifier: MIT */
/* See direct.h. */
#include "direct.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatchd.h"
#include "table.h"
#include "util.h"

#define PAGE 4096u
#define TARGET_SIZE 10u                 /* bytes of a slot before its thunk */

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U                /* Linux 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* The slots of slow paths of the slot's module: enter, leave. */
static const struct dd_direct *slow_slots(const struct dd_direct *slot)
{
    const uint8_t *word = &slot->code[DD_DIRECT_SLOW];
    int32_t distance;

    memcpy(&distance, word, sizeof(distance));
    return (const void *)(word + distance);
}

static const char *page_of(const struct dd_direct *slot)
{
    return (const char *)((uintptr_t)slot & ~(uintptr_t)(PAGE - 1));
}

/* jmp target; or, out of its reach, mov r11, target, behind which the slot's thunk jumps there. */
static void write_target(uint8_t code[TARGET_SIZE], const struct dd_direct *slot, const void *target)
{
    int64_t distance = (const char *)target - ((const char *)slot + 5);
    int32_t near = (int32_t)distance;

    memset(code, 0xcc, TARGET_SIZE);
    if (near == distance) {
        code[0] = 0xe9;
        memcpy(&code[1], &near, sizeof(near));
    } else {
        code[0] = 0x49;
        code[1] = 0xbb;
        memcpy(&code[2], &target, sizeof(target));
    }
}

static int create_page(const void *bytes)
{
    _cleanup_close_ int memfd = memfd_create("dispatchd-direct", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (memfd < 0 && errno == EINVAL)
        memfd = memfd_create("dispatchd-direct", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0)
        return -errno;
    if (pwrite(memfd, bytes, PAGE, 0) != PAGE)
        return -ENOMEM;
    if (fcntl(memfd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    return TAKE_DESCRIPTOR(memfd);
}

/* Private, as a file that nobody can write may be mapped by every kernel only so. */
static int replace_page(const char *page, const uint8_t *bytes)
{
    _cleanup_close_ int memfd = create_page(bytes);

    if (memfd < 0)
        return memfd;
    if (mmap((void *)(uintptr_t)page, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, memfd, 0) == MAP_FAILED)
        return -errno;
    return 0;
}

/* Where the slot is in this page. */
static void point_slot(uint8_t bytes[PAGE], const char *page, const struct dd_direct *slot, const void *target)
{
    if (page_of(slot) == page)
        write_target(&bytes[(const char *)slot - page], slot, target);
}

/* All slots of a page, in a copy of it. */
static int point_page(const char *page, unsigned slot)
{
    uint8_t bytes[PAGE];

    memcpy(bytes, page, PAGE);
    for (const struct dd_table *table = table_first(); table; table = table->next)
        if (table->direct) {
            const struct dd_direct *slow = slow_slots(table->direct);

            point_slot(bytes, page, table->direct, (const void *)table->entry[slot]);
            point_slot(bytes, page, &slow[0], (const void *)dd_hook_enter_slowly);
            point_slot(bytes, page, &slow[1], (const void *)dd_hook_leave_slowly);
        }
    return memcmp(bytes, page, PAGE) == 0 ? 0 : replace_page(page, bytes);
}

/* A page is looked at once for each of its slots; from the second time on it is as it is to be. */
int direct_point(unsigned slot)
{
    int r = 0;

    for (const struct dd_table *table = table_first(); r == 0 && table; table = table->next)
        if (table->direct) {
            r = point_page(page_of(table->direct), slot);
            if (r == 0)
                r = point_page(page_of(slow_slots(table->direct)), slot);
        }
    return r;
}
