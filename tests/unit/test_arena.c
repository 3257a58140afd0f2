/* SPDX-License-Identifier: MIT */
/* arena.h: reservations never overlap, are zero, and come back.  snapshot.h: what was in them survives in a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "memory.h"
#include "refusal.h"
#include "runtime/seat.h"
#include "snapshot.h"
#include "util.h"

#define TEXT_SIZE ((size_t)1 << 20)
#define MEBIBYTE ((size_t)1 << 20)
#define ROOM (DD_ARENA_SIZE - ARENA_HEAD_SIZE)

static struct memory *memory;
static struct arena *arena;

static int set_up(void **state)
{
    const char *text;

    assert_int_equal(memory_new(1, TEXT_SIZE, -EBADF, &memory, &text), 0);
    assert_int_equal(arena_new(memory, DD_ARENA_SIZE, &arena), 0);
    return 0;
}

static int tear_down(void **state)
{
    arena = arena_free(arena);
    memory = memory_free(memory);
    return 0;
}

/* As a daemon of that generation does: the book is forgotten, the memory stays, handed back by a worker. */
static void restart_as(uint64_t generation)
{
    _cleanup_close_ int descriptor = fcntl(memory->arena_of_windows, F_DUPFD_CLOEXEC, 0);
    const char *text;
    int own;

    tear_down(NULL);
    assert_null(memory_arena_mistake(descriptor));
    own = memory_reopen_arena(descriptor);
    assert_true(own >= 0);
    assert_int_equal(memory_new(generation, TEXT_SIZE, own, &memory, &text), 0);
    assert_int_equal(arena_new(memory, DD_ARENA_SIZE, &arena), 0);
}

static void restart(void)
{
    restart_as(2);
}

static int try_reserve(size_t size, uid_t uid, uint64_t *ret)
{
    return arena_reserve(arena, &(struct arena_request){ .size = size, .uid = uid }, ret);
}

static int reserve_at(uint64_t offset, size_t size)
{
    return arena_reserve_at(arena, &(struct arena_request){ .size = size }, offset);
}

static uint64_t reserve_as(struct arena_request request)
{
    uint64_t offset = ARENA_NONE;

    assert_int_equal(arena_reserve(arena, &request, &offset), 0);
    assert_int_equal(offset % ARENA_GRANULE, 0);
    assert_true(offset >= ARENA_HEAD_SIZE && offset + request.size <= DD_ARENA_SIZE);
    return offset;
}

static uint64_t reserve(size_t size)
{
    return reserve_as((struct arena_request){ .size = size });
}

/* Where the book alone matters: the test takes no memory of the host. */
static uint64_t reserve_sparse(size_t size)
{
    return reserve_as((struct arena_request){ .size = size, .sparse = true });
}

static struct arena_usage usage(void)
{
    struct arena_usage usage;

    arena_usage(arena, &usage);
    return usage;
}

/* Of the host, that the arena takes: bytes. */
static size_t host_memory(void)
{
    struct stat status;

    assert_int_equal(fstat(memory->arena_descriptor, &status), 0);
    return (size_t)status.st_blocks * 512;
}

static bool is_filled(uint64_t offset, size_t size, uint8_t byte)
{
    const uint8_t *bytes = arena_write(arena, offset);

    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte)
            return false;
    return true;
}

/* ---- the book ------------------------------------------------------------------------------------------ */

static void test_books(void **state)
{
    uint64_t first = reserve(1), second = reserve(65), third = reserve(64);

    assert_int_equal(usage().used, 64 + 128 + 64);
    assert_int_equal(usage().largest, ROOM - 256);
    assert_int_equal(usage().gaps, 1);
    assert_int_equal(usage().ranges, 3);
    assert_true(first != second && second != third && first != third);
    arena_release(arena, second);
    assert_int_equal(usage().used, 128);
    assert_int_equal(usage().gaps, 2);
    assert_int_equal(reserve(128), second);
    arena_release(arena, first);
    arena_release(arena, third);
    arena_release(arena, second);
    assert_int_equal(usage().used, 0);
    assert_int_equal(usage().largest, ROOM);
}

/* Whatever was there before, by whomever: also where it was never reserved. */
static void test_is_zero(void **state)
{
    for (int round = 0; round < 3; round++) {
        uint64_t offset = reserve(10000);

        assert_true(is_filled(offset, 10000, 0));
        memset(arena_write(arena, offset), 0xaa, 20000);
        arena_release(arena, offset);
        memset(arena_write(arena, offset), 0xbb, 20000);
    }
}

static void test_full(void **state)
{
    uint64_t most = reserve_sparse(480 * MEBIBYTE), offset = 77;

    assert_int_equal(try_reserve(32 * MEBIBYTE, 0, &offset), -ENOSPC);
    assert_int_equal(offset, 77);
    arena_release(arena, most);
    assert_int_equal(try_reserve((size_t)DD_ARENA_SIZE + 1, 0, &offset), -ENOSPC);
    assert_int_equal(try_reserve(SIZE_MAX, 0, &offset), -ENOSPC);
    assert_int_equal(usage().used, 0);
}

/* A small range between large ones would cut in two what a large one needs. */
static void test_small_and_large(void **state)
{
    uint64_t large = reserve_sparse(64 * MEBIBYTE), small = reserve(100);

    assert_true(small < DD_ARENA_SIZE / 2 && large > DD_ARENA_SIZE / 2);
    assert_int_equal(large % 4096, 0);
    arena_release(arena, large);
    assert_int_equal(usage().gaps, 1);
    arena_release(arena, small);
}

/* The smallest gap that has room, so that large gaps stay large. */
static void test_best_fit(void **state)
{
    uint64_t range[5];

    for (size_t i = 0; i < ARRAY_LENGTH(range); i++)
        range[i] = reserve_sparse((i + 1) * 8 * MEBIBYTE);
    arena_release(arena, range[3]);
    arena_release(arena, range[1]);
    assert_int_equal(reserve_sparse(16 * MEBIBYTE), range[1]);
    assert_int_equal(reserve_sparse(32 * MEBIBYTE), range[3]);
}

static void test_quota(void **state)
{
    struct arena_request request = { .size = MEBIBYTE, .uid = 7 };
    struct refusal refusal = { 0 };
    uint64_t offset, other;

    arena_free(arena);
    assert_int_equal(arena_new(memory, 2 * MEBIBYTE, &arena), 0);
    assert_int_equal(try_reserve(2 * MEBIBYTE, 7, &offset), 0);
    assert_int_equal(try_reserve(MEBIBYTE, 7, &other), -EDQUOT);
    assert_int_equal(arena_used_by(arena, 7), 2 * MEBIBYTE);
    assert_int_equal(try_reserve(MEBIBYTE, 8, &other), 0);
    assert_int_equal(arena_refuse(arena, -EDQUOT, &request, &refusal), -EDQUOT);
    assert_string_equal(refusal.error, "QuotaExceeded");
    assert_int_equal(json_object_get_int64(json_object_object_get(refusal.parameters, "used")), 2 * MEBIBYTE);
    refusal_done(&refusal);
    arena_release(arena, offset);
    assert_int_equal(try_reserve(MEBIBYTE, 7, &offset), 0);
}

static void test_refusals(void **state)
{
    struct arena_request request = { .size = DD_ARENA_SIZE };
    struct refusal refusal = { 0 };

    assert_int_equal(arena_refuse(arena, -ENOSPC, &request, &refusal), -ENOSPC);
    assert_string_equal(refusal.error, "ArenaFull");
    assert_int_equal(json_object_get_int64(json_object_object_get(refusal.parameters, "available")), ROOM);
    request.size = 1;
    arena_refuse(arena, -ENOSPC, &request, &refusal);   /* there is room: then it is the host that has none */
    assert_string_equal(refusal.error, "LimitExceeded");
    refusal_done(&refusal);
}

/* ---- memory of the host -------------------------------------------------------------------------------- */

static void test_memory_goes_back(void **state)
{
    size_t before = host_memory();
    uint64_t large = reserve(8 * MEBIBYTE), small = reserve(100);

    assert_true(host_memory() >= before + 8 * MEBIBYTE);
    memset(arena_write(arena, large), 1, 8 * MEBIBYTE);
    arena_release(arena, large);
    arena_release(arena, small);
    assert_int_equal(host_memory(), before);
}

/* A page that ranges share stays until all are gone. */
static void test_neighbours_keep_their_page(void **state)
{
    uint64_t first = reserve(6000), second = reserve(6000), third = reserve(6000);

    memset(arena_write(arena, first), 0x55, 6000);
    memset(arena_write(arena, third), 0x66, 6000);
    arena_release(arena, second);
    assert_true(is_filled(first, 6000, 0x55));
    assert_true(is_filled(third, 6000, 0x66));
}

static void test_sparse(void **state)
{
    size_t before = host_memory();
    uint64_t offset = reserve_sparse(64 * MEBIBYTE);

    assert_true(host_memory() <= before + 2 * MEBIBYTE);
    assert_true(is_filled(offset + 5 * MEBIBYTE, 4096, 0));
    arena_release(arena, offset);
    assert_int_equal(host_memory(), before);
}

static void test_frozen(void **state)
{
    uint64_t offset = reserve(MEBIBYTE);

    memset(arena_write(arena, offset), 9, MEBIBYTE);
    arena_freeze(arena);
    arena_release(arena, offset);
    assert_true(is_filled(offset, MEBIBYTE, 9));
}

/* ---- a daemon that starts with it ---------------------------------------------------------------------- */

static void test_contents_stay(void **state)
{
    uint64_t map = reserve(3 * MEBIBYTE);

    memset(arena_write(arena, map), 3, 3 * MEBIBYTE);
    restart();
    assert_int_equal(reserve_at(map, 3 * MEBIBYTE), 0);
    assert_true(is_filled(map, 3 * MEBIBYTE, 3));
    assert_int_equal(reserve_at(map, 64), -EEXIST);
    assert_int_equal(reserve_at(map - 64, 128), -EEXIST);
    assert_int_equal(reserve_at(0, 64), -EEXIST);
    assert_int_equal(reserve_at(1, 64), -EINVAL);
    assert_int_equal(reserve_at(DD_ARENA_SIZE - 64, 128), -EINVAL);
    assert_int_equal(reserve_at(UINT64_MAX - 63, 64), -EINVAL);
}

/* Of what the book does not know, nothing is given away while somebody may still write there. */
static void test_holds(void **state)
{
    uint64_t map = reserve(2 * MEBIBYTE), program = reserve(200), removed = reserve(MEBIBYTE), later;
    uint64_t stripes = reserve_sparse(4 * MEBIBYTE);

    restart();
    assert_int_equal(reserve_at(map, 2 * MEBIBYTE), 0);
    assert_int_equal(arena_hold(arena), 0);
    assert_true(usage().held >= 5 * MEBIBYTE + 256);
    assert_int_equal(reserve_at(program, 200), -EEXIST);
    assert_int_equal(reserve_at(removed, MEBIBYTE), -EEXIST);
    assert_int_equal(reserve_at(stripes + MEBIBYTE, MEBIBYTE), -EEXIST);
    later = reserve(MEBIBYTE);
    arena_release(arena, later);
    assert_int_equal(reserve_at(later, MEBIBYTE), -EEXIST);
    arena_settle(arena);
    assert_int_equal(usage().held, 0);
    assert_int_equal(usage().used, 2 * MEBIBYTE);
    assert_int_equal(reserve_at(later, MEBIBYTE), 0);
    assert_int_equal(reserve_at(program, 200), 0);
    arena_release(arena, later);
    assert_int_equal(reserve_at(later, MEBIBYTE), 0);
}

/* A worker that writes to every other page makes us hold much, but not in many pieces. */
static void test_holds_few_pieces(void **state)
{
    for (uint64_t at = ARENA_HEAD_SIZE; at < 64 * MEBIBYTE; at += 8192)
        *(uint8_t *)arena_write(arena, at) = 1;
    restart();
    assert_int_equal(arena_hold(arena), 0);
    assert_true(usage().held >= 60 * MEBIBYTE);
    assert_true(usage().gaps <= 256);
    arena_settle(arena);
    assert_int_equal(usage().largest, ROOM);
}

static void *map_window(void)
{
    void *window = mmap(NULL, MEBIBYTE, PROT_READ, MAP_SHARED, memory->arena_of_windows, 0);

    assert_ptr_not_equal(window, MAP_FAILED);
    return window;
}

/* Whoever maps the arena of an earlier generation is seen, without descriptors; those of this one do not count. */
static void test_earlier_windows(void **state)
{
    void *first = map_window(), *third, *fourth;

    assert_false(memory_has_earlier_windows(memory));
    restart_as(3);
    third = map_window();
    assert_true(memory_has_earlier_windows(memory));
    restart_as(4);
    fourth = map_window();
    munmap(first, MEBIBYTE);
    assert_true(memory_has_earlier_windows(memory));
    munmap(third, MEBIBYTE);
    assert_false(memory_has_earlier_windows(memory));
    munmap(fourth, MEBIBYTE);
}

/* A child has what its parent had, until it executes another program or ends. */
static void test_earlier_windows_of_children(void **state)
{
    void *window = map_window();
    int pipe_to_child[2];
    pid_t child;

    assert_int_equal(pipe2(pipe_to_child, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        close(pipe_to_child[1]);
        close(memory->arena_of_windows);
        close(memory->arena_descriptor);
        _exit(read(pipe_to_child[0], &(char){ 0 }, 1) != 0);
    }
    restart();
    munmap(window, MEBIBYTE);
    assert_true(memory_has_earlier_windows(memory));
    close(pipe_to_child[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(memory_has_earlier_windows(memory));
    close(pipe_to_child[0]);
}

/* What a worker may do to the file that it has keeps no daemon from starting. */
static void test_locks_of_workers(void **state)
{
    int worker = fcntl(memory->arena_of_windows, F_DUPFD_CLOEXEC, 0);
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    assert_int_equal(fcntl(worker, F_OFD_SETLK, &all), 0);
    restart();
    assert_true(memory_has_earlier_windows(memory));
    close(worker);
    assert_false(memory_has_earlier_windows(memory));
}

static void test_new_holds_nothing(void **state)
{
    assert_int_equal(arena_hold(arena), 0);
    assert_int_equal(usage().held, 0);
}

/* ---- what is an arena ---------------------------------------------------------------------------------- */

static int make_memfd(size_t size, int seals)
{
    int descriptor = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(descriptor, (off_t)size), 0);
    assert_int_equal(fcntl(descriptor, F_ADD_SEALS, seals), 0);
    return descriptor;
}

static void assert_no_arena(int descriptor)
{
    assert_true(descriptor >= 0);
    assert_non_null(memory_arena_mistake(descriptor));
    close(descriptor);
}

static void test_mistakes(void **state)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    char path[64];
    int good = make_memfd(DD_ARENA_SIZE, seals);

    assert_null(memory_arena_mistake(good));
    assert_no_arena(open("/dev/null", O_RDWR | O_CLOEXEC));
    assert_no_arena(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    assert_no_arena(make_memfd(DD_ARENA_SIZE, F_SEAL_SHRINK | F_SEAL_GROW));
    assert_no_arena(make_memfd(DD_ARENA_SIZE, F_SEAL_GROW | F_SEAL_SEAL));
    assert_no_arena(make_memfd(DD_ARENA_SIZE, F_SEAL_SHRINK | F_SEAL_SEAL));
    assert_no_arena(make_memfd(DD_ARENA_SIZE, seals | F_SEAL_WRITE));
    assert_no_arena(make_memfd(DD_ARENA_SIZE / 2, seals));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
    assert_no_arena(open(path, O_RDONLY | O_CLOEXEC));
    close(good);
}

/* ---- the snapshot -------------------------------------------------------------------------------------- */

#define IDENTITY "boot 1:2"

static char directory[] = "/tmp/test_arena-XXXXXX";
static char path[64];

static int set_up_snapshot(void **state)
{
    strcpy(directory + sizeof(directory) - 7, "XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/arena.snapshot", directory);
    return set_up(state);
}

static int tear_down_snapshot(void **state)
{
    unlink(path);
    assert_int_equal(rmdir(directory), 0);      /* nothing else was left */
    return tear_down(state);
}

static size_t write_snapshot(void)
{
    size_t bytes = 0;

    assert_int_equal(snapshot_write(directory, arena, memory->arena_descriptor, IDENTITY, &bytes), 0);
    return bytes;
}

static int read_snapshot(void)
{
    size_t bytes;

    tear_down(NULL);
    set_up(NULL);
    return snapshot_read(directory, memory->arena_descriptor, &bytes);
}

/* What was never written to takes no room; seats are part of it, as changes may be half done. */
static void test_snapshot(void **state)
{
    uint64_t map = reserve(32 * MEBIBYTE), released = reserve(MEBIBYTE);
    char identity[SNAPSHOT_IDENTITY_MAX];
    size_t bytes;

    memset(arena_write(arena, map + MEBIBYTE), 4, 2 * MEBIBYTE);
    memset(arena_write(arena, 0), 5, sizeof(struct arena_head));
    memset(arena_write(arena, released), 6, MEBIBYTE);
    arena_release(arena, released);
    bytes = write_snapshot();
    assert_in_range(bytes, 2 * MEBIBYTE, 4 * MEBIBYTE);
    assert_int_equal(snapshot_identity(directory, identity), 0);
    assert_string_equal(identity, IDENTITY);
    assert_int_equal(read_snapshot(), 0);
    assert_int_equal(reserve_at(map, 32 * MEBIBYTE), 0);
    assert_true(is_filled(map, MEBIBYTE, 0));
    assert_true(is_filled(map + MEBIBYTE, 2 * MEBIBYTE, 4));
    assert_true(is_filled(map + 3 * MEBIBYTE, 29 * MEBIBYTE, 0));
    assert_true(is_filled(0, sizeof(struct arena_head), 5));
    assert_true(is_filled(released, MEBIBYTE, 0));
    assert_int_equal(snapshot_remove(directory), 0);
    assert_int_equal(snapshot_identity(directory, identity), -ENOENT);
    assert_int_equal(snapshot_remove(directory), 0);
}

static void damage(off_t at)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void test_snapshot_damaged(void **state)
{
    const off_t head = sizeof(struct snapshot_head);
    char identity[SNAPSHOT_IDENTITY_MAX];
    struct stat status;
    off_t size;

    memset(arena_write(arena, reserve(9000)), 7, 9000);
    write_snapshot();
    assert_int_equal(stat(path, &status), 0);
    size = status.st_size;
    /* a byte of: magic, identity, an extent's offset and size, contents, digest */
    for (const off_t *at = (const off_t[]){ 0, head - 8, head, head + 8 + 7, head + 100, size - 1, -1 }; *at >= 0; at++) {
        damage(*at);
        assert_int_equal(read_snapshot(), -EBADMSG);
        damage(*at);
    }
    damage(offsetof(struct snapshot_head, arena_version));
    assert_int_equal(snapshot_identity(directory, identity), -EPROTO);
    damage(offsetof(struct snapshot_head, arena_version));
    assert_int_equal(read_snapshot(), 0);
    for (off_t length = 0; length < size; length += 1 + size / 50) {
        assert_int_equal(truncate(path, length), 0);
        assert_int_equal(read_snapshot(), -EBADMSG);
        tear_down(NULL);
        set_up(NULL);
        memset(arena_write(arena, reserve(9000)), 7, 9000);
        write_snapshot();
    }
}

/* A file as a liar would make it: one extent of a page, whose size it says as it likes, and the right digest. */
static void write_lie(uint64_t offset, uint64_t size)
{
    struct snapshot_head head = {
        .magic = SNAPSHOT_MAGIC, .arena_version = ARENA_VERSION, .layout_version = DD_LAYOUT_VERSION, .arena_size = DD_ARENA_SIZE,
        .identity = IDENTITY,
    };
    const uint64_t extents[] = { offset, size, 0, 0 };
    static const uint8_t page[4096];
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx context;
    FILE *file = fopen(path, "we");

    sha256_init(&context);
    sha256_update(&context, sizeof(head), (const uint8_t *)&head);
    sha256_update(&context, 16, (const uint8_t *)extents);
    sha256_update(&context, sizeof(page), page);
    sha256_update(&context, 16, (const uint8_t *)(extents + 2));
    sha256_digest(&context, sizeof(digest), digest);
    assert_int_equal(fwrite(&head, sizeof(head), 1, file) + fwrite(extents, 16, 1, file) + fwrite(page, sizeof(page), 1, file) +
                     fwrite(extents + 2, 16, 1, file) + fwrite(digest, sizeof(digest), 1, file), 5);
    assert_int_equal(fclose(file), 0);
}

static void test_snapshot_lies(void **state)
{
    write_lie(DD_ARENA_SIZE - 4096, 4096);
    assert_int_equal(read_snapshot(), 0);
    write_lie(DD_ARENA_SIZE - 2048, 4096);
    assert_int_equal(read_snapshot(), -EBADMSG);
    write_lie(DD_ARENA_SIZE + UINT64_C(4096), 4096);
    assert_int_equal(read_snapshot(), -EBADMSG);
    write_lie(UINT64_MAX - 2047, 4096);
    assert_int_equal(read_snapshot(), -EBADMSG);
}

static void test_snapshot_nowhere(void **state)
{
    char identity[SNAPSHOT_IDENTITY_MAX];

    assert_int_equal(snapshot_write("/proc/nowhere", arena, memory->arena_descriptor, IDENTITY, &(size_t){ 0 }), -ENOENT);
    assert_int_equal(snapshot_identity("/proc/nowhere", identity), -ENOENT);
    assert_int_equal(snapshot_identity(directory, identity), -ENOENT);
    assert_int_equal(read_snapshot(), -ENOENT);
}

/* ---- at random ----------------------------------------------------------------------------------------- */

#define SLOTS 64
#define ROUNDS 20000

/* Against the simplest book: a byte a granule. */
static void test_random(void **state)
{
    static uint8_t taken[DD_ARENA_SIZE / ARENA_GRANULE];
    struct { uint64_t offset; size_t granules; } slot[SLOTS] = { 0 };

    srandom(1);
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)random() % SLOTS, size = 1 + (size_t)random() % (2 << 20) / (1 + (size_t)random() % 1000);

        if (slot[i].granules) {
            memset(taken + slot[i].offset / ARENA_GRANULE, 0, slot[i].granules);
            arena_release(arena, slot[i].offset);
            slot[i].granules = 0;
        } else if (try_reserve(size, 0, &slot[i].offset) == 0) {
            slot[i].granules = (size + ARENA_GRANULE - 1) / ARENA_GRANULE;
            for (size_t k = 0; k < slot[i].granules; k++)
                assert_int_equal(taken[slot[i].offset / ARENA_GRANULE + k]++, 0);
        }
    }
    assert_true(usage().gaps <= SLOTS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_books, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_and_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_best_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quota, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_neighbours_keep_their_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sparse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frozen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_contents_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_holds_few_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_earlier_windows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_earlier_windows_of_children, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_locks_of_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_holds_nothing, set_up, tear_down),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test_setup_teardown(test_snapshot, set_up_snapshot, tear_down_snapshot),
        cmocka_unit_test_setup_teardown(test_snapshot_damaged, set_up_snapshot, tear_down_snapshot),
        cmocka_unit_test_setup_teardown(test_snapshot_lies, set_up_snapshot, tear_down_snapshot),
        cmocka_unit_test_setup_teardown(test_snapshot_nowhere, set_up_snapshot, tear_down_snapshot),
        cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
