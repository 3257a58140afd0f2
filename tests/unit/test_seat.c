/* SPDX-License-Identifier: MIT */
/* Seats and elements: who has which, and what is in a journal when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "maps/fixture.h"
#include "runtime/element.h"
#include "stepping.h"

#define ENTRIES 12

static struct fixture new_map(void)
{
    struct map_definition definition = { BPF_MAP_TYPE_HASH, 8, 24, ENTRIES, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

/* ---- seats ---- */

static void test_find(void **state)
{
    struct fixture fixture = new_map();
    struct thread first = fixture_thread(0), second = fixture_thread(1), again = fixture_thread(0), nobody = { 0 };
    uint32_t a, b, c;

    assert_int_equal(seat_find(fixture.map, &nobody, &a), -ENOSPC);
    assert_int_equal(seat_find(fixture.map, &first, &a), 0);
    assert_int_equal(seat_find(fixture.map, &second, &b), 0);
    assert_int_not_equal(a, b);
    /* The line has its seat again, also by a thread that does not know it yet, or remembers a wrong one. */
    assert_int_equal(seat_find(fixture.map, &again, &c), 0);
    assert_int_equal(c, a);
    again.seat = 1 + b;
    assert_int_equal(seat_find(fixture.map, &again, &c), 0);
    assert_int_equal(c, a);
    again.seat = UINT32_MAX;
    assert_int_equal(seat_find(fixture.map, &again, &c), 0);
    assert_int_equal(c, a);
    fixture_clear(&fixture);
}

static void test_all_taken(void **state)
{
    struct fixture fixture = new_map();
    struct thread last = fixture_thread(SEATS_MAX);
    uint32_t seat;

    for (unsigned i = 0; i < SEATS_MAX; i++) {
        struct thread thread = fixture_thread(i);

        assert_int_equal(seat_find(fixture.map, &thread, &seat), 0);
        assert_true(seat < SEATS_MAX);
    }
    assert_int_equal(seat_find(fixture.map, &last, &seat), -ENOSPC);
    fixture_seat(&fixture, 7)->owner = 0;
    assert_int_equal(seat_find(fixture.map, &last, &seat), 0);
    fixture_clear(&fixture);
}

/* A signal handler looks for the seat of the thread that it interrupted while that looks for it: it is one seat. */
struct interrupted {
    struct fixture fixture;
    struct thread *thread;      /* shared */
};

static void begin_finding(void *argument)
{
    struct interrupted *interrupted = argument;

    fixture_reset(&interrupted->fixture);
    *interrupted->thread = fixture_thread(0);
}

static void find_seat(void *argument)
{
    struct interrupted *interrupted = argument;
    uint32_t seat;

    seat_find(interrupted->fixture.map, interrupted->thread, &seat);
}

static void check_one_seat(void *argument)
{
    struct interrupted *interrupted = argument;
    unsigned owned = 0;

    for (unsigned i = 0; i < SEATS_MAX; i++)
        owned += interrupted->fixture.head->seat[i].owner != 0;
    assert_int_equal(owned, 1);
    assert_ptr_equal(fixture_seat(&interrupted->fixture, 0),
                     &interrupted->fixture.head->seat[interrupted->thread->seat - 1]);
}

static void test_interrupted(void **state)
{
    struct interrupted interrupted = { new_map(), NULL };
    struct overtaking overtaking = { begin_finding, find_seat, find_seat, check_one_seat, &interrupted };

    if (!stepping_works())
        skip();
    interrupted.thread = mmap(NULL, sizeof(*interrupted.thread), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                              0);
    assert_true(interrupted.thread != MAP_FAILED);
    assert_true(stepping_overtake(&overtaking) > 50);
    munmap(interrupted.thread, sizeof(*interrupted.thread));
    fixture_clear(&interrupted.fixture);
}

/* ---- changes ---- */

static bool is_empty(const struct journal *journal)
{
    static const struct journal empty;

    return memcmp(journal, &empty, offsetof(struct journal, place)) == 0;
}

static void test_change(void **state)
{
    struct fixture fixture = new_map();
    struct thread thread = fixture_thread(0), other = fixture_thread(1);
    uint32_t *lock = (void *)fixture.memory;
    struct map_change change, inner;
    uint64_t sequence;

    thread.taken = 7;
    assert_int_equal(change_begin(fixture.map, &thread, 0, &change), 0);
    sequence = change.seat->sequence;
    assert_int_equal(change.seat->taken, 7);
    assert_int_equal(change.seat->journal.map, fixture.map->number);
    assert_int_equal(*lock, change.holder);
    /* A signal handler inside it; another thread at this lock, and at another. */
    assert_int_equal(change_begin(fixture.map, &thread, 64, &inner), -EBUSY);
    assert_int_equal(change_begin(fixture.map, &other, 0, &inner), -EBUSY);
    assert_true(is_empty(&fixture_seat(&fixture, 1)->journal));
    assert_int_equal(change_begin(fixture.map, &other, 64, &inner), 0);
    change_end(&inner);
    change_end(&change);
    assert_true(is_empty(&change.seat->journal));
    assert_int_equal(*lock, 0);
    thread.taken = 8;
    assert_int_equal(change_begin(fixture.map, &thread, 0, &change), 0);
    assert_int_equal(change.seat->sequence, sequence + 1);
    assert_int_equal(change.seat->taken, 8);
    change_end(&change);
    fixture_clear(&fixture);
}

/* ---- a lock whose holder was preempted ---- */

/* The holder runs when the processor is yielded to it for the `turn`th time: then it ends its change. */
static struct {
    struct map_change change;
    unsigned turn, yields;
} preempted;

static void on_yield(int signal)
{
    if (++preempted.yields == preempted.turn)
        change_end(&preempted.change);
}

/* sched_yield becomes a signal. */
static void catch_yields(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

    signal(SIGSYS, on_yield);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(1);
}

/* In a process of its own: does a change by another thread begin with `r`, after so many yields? */
static void try_preempted(unsigned turn, int r, unsigned yields)
{
    struct fixture fixture = new_map();
    struct thread thread = fixture_thread(0), other = fixture_thread(1);
    struct map_change change;
    pid_t child;
    int status;

    preempted.turn = turn;
    preempted.yields = 0;
    assert_int_equal(change_begin(fixture.map, &thread, 0, &preempted.change), 0);
    child = fork();
    if (child == 0) {
        catch_yields();
        _exit(change_begin(fixture.map, &other, 0, &change) == r && preempted.yields == yields ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fixture_clear(&fixture);
}

static void test_preempted(void **state)
{
    if (!stepping_works())              /* valgrind knows nothing of filters */
        skip();
    try_preempted(1, 0, 1);
    try_preempted(4, 0, 4);
    try_preempted(5, -EBUSY, 4);
}

struct killing {
    struct fixture fixture, copy;
    struct thread thread;
    bool held, journalled;      /* was it ever so? */
};

static void begin_and_end(void *argument)
{
    struct killing *killing = argument;
    struct map_change change;

    if (change_begin(killing->fixture.map, &killing->thread, 64, &change) == 0)
        change_end(&change);
}

/* Whoever holds the lock has a journal that says so; recovery leaves neither. */
static void look(void *argument)
{
    struct killing *killing = argument;
    struct seat *seat = fixture_seat(&killing->fixture, 0);
    uint32_t lock = *(uint32_t *)(void *)(killing->fixture.memory + 64);

    if (lock != 0) {
        assert_int_equal(lock, 1 + (seat - killing->fixture.head->seat));
        assert_int_equal(seat->journal.map, killing->fixture.map->number);
        assert_int_equal(seat->journal.lock, 64);
        killing->held = true;
    }
    killing->journalled |= seat && seat->journal.map != 0;
    fixture_copy(&killing->fixture, &killing->copy);
    fixture_recover(&killing->copy, 0);
    assert_int_equal(*(uint32_t *)(void *)(killing->copy.memory + 64), 0);
    for (unsigned i = 0; i < SEATS_MAX; i++) {
        assert_int_equal(killing->copy.head->seat[i].owner, 0);
        assert_true(is_empty(&killing->copy.head->seat[i].journal));
    }
}

static void test_killing(void **state)
{
    struct killing killing = { new_map(), new_map(), fixture_thread(0), false, false };

    if (!stepping_works())
        skip();
    stepping_run(begin_and_end, look, &killing);
    assert_true(killing.held && killing.journalled);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

/* A journal of a seat that does not hold its lock settles nothing. */
static void test_resume(void **state)
{
    struct fixture fixture = new_map();
    struct thread thread = fixture_thread(0);
    struct map_change change, resumed;
    uint32_t *lock = (void *)fixture.memory;

    assert_int_equal(change_begin(fixture.map, &thread, 0, &change), 0);
    assert_true(change_resume(fixture.map, change.seat, 0, &resumed));
    assert_int_equal(resumed.holder, change.holder);
    assert_false(change_resume(fixture.map, change.seat, 64, &resumed));
    *lock = change.holder + 1;
    assert_false(change_resume(fixture.map, change.seat, 0, &resumed));
    map_recover(fixture.map, change.seat);
    assert_int_equal(*lock, change.holder + 1);
    assert_true(is_empty(&change.seat->journal));
    fixture_clear(&fixture);
}

/* A copy of a map's memory that was made in the middle of a change, and not of its journal. */
struct torn {
    struct fixture fixture, copy;
    bool made;
};

static long change_map(const struct fixture *fixture)
{
    static const uint64_t key = 8;
    static const uint8_t value[24];
    struct thread thread = fixture_thread(0);

    if (fixture->kind->call_push)
        return fixture->kind->call_push(fixture->map, value, BPF_ANY, 0, 0, &thread);
    return fixture->kind->call_update(fixture->map, &key, value, BPF_ANY, 0, &thread);
}

static void change_torn(void *argument)
{
    struct torn *torn = argument;

    change_map(&torn->fixture);
}

static void copy_torn(void *argument)
{
    struct torn *torn = argument;
    struct seat *seat = fixture_seat(&torn->fixture, 0);

    if (torn->made || !seat || seat->journal.map == 0 ||
        *(uint32_t *)(void *)(torn->fixture.memory + seat->journal.lock) == 0)
        return;
    fixture_copy(&torn->fixture, &torn->copy);
    memset(torn->copy.head, 0, sizeof(*torn->copy.head));
    torn->made = true;
}

static void test_drop_locks(void **state)
{
    static const struct map_definition definitions[] = {
        { BPF_MAP_TYPE_ARRAY, 4, 24, ENTRIES, 0 }, { BPF_MAP_TYPE_PERCPU_ARRAY, 4, 24, ENTRIES, 0 },
        { BPF_MAP_TYPE_HASH, 8, 24, ENTRIES, 0 }, { BPF_MAP_TYPE_PERCPU_HASH, 8, 24, ENTRIES, 0 },
        { BPF_MAP_TYPE_QUEUE, 0, 24, ENTRIES, 0 }, { BPF_MAP_TYPE_LPM_TRIE, 8, 24, ENTRIES, 0 },
    };

    if (!stepping_works())
        skip();
    for (size_t i = 0; i < sizeof(definitions) / sizeof(definitions[0]); i++) {
        struct torn torn = { 0 };

        fixture_make(&definitions[i], &torn.fixture);
        fixture_make(&definitions[i], &torn.copy);
        stepping_run(change_torn, copy_torn, &torn);
        assert_true(torn.made);
        assert_int_equal(change_map(&torn.copy), -EBUSY);
        map_drop_locks(torn.copy.map);
        assert_int_equal(change_map(&torn.copy), 0);
        fixture_clear(&torn.fixture);
        fixture_clear(&torn.copy);
    }
}

/* The thread of a settled journal begins its next change as soon as it can: that one's journal is its own. */
struct returning {
    struct fixture fixture;
    struct thread thread;
    bool returned;
};

static void recover(void *argument)
{
    struct returning *returning = argument;

    map_recover(returning->fixture.map, fixture_seat(&returning->fixture, 0));
}

static void return_early(void *argument)
{
    struct returning *returning = argument;
    struct map_change change;

    if (!returning->returned)
        returning->returned = change_begin(returning->fixture.map, &returning->thread, 64, &change) == 0;
}

static void test_return(void **state)
{
    struct returning returning = { new_map(), fixture_thread(0), false };
    struct map_change change;

    if (!stepping_works())
        skip();
    assert_int_equal(change_begin(returning.fixture.map, &returning.thread, 0, &change), 0);
    stepping_run(recover, return_early, &returning);
    assert_true(returning.returned);
    assert_int_equal(change.seat->journal.map, returning.fixture.map->number);
    assert_int_equal(change.seat->journal.lock, 64);
    fixture_clear(&returning.fixture);
}

/* ---- elements ---- */

static void test_elements(void **state)
{
    struct fixture fixture = new_map();
    struct thread thread = fixture_thread(0);
    bool taken[1 + ENTRIES] = { false };
    struct map_change change;
    uint32_t link;

    assert_int_equal(change_begin(fixture.map, &thread, 0, &change), 0);
    for (unsigned i = 0; i < ENTRIES; i++) {
        link = element_take(&change, 0);
        assert_in_range(link, 1, ENTRIES);
        assert_false(taken[link]);
        taken[link] = true;
        assert_int_equal(change.seat->journal.element[0], link);
        assert_int_equal(element_pending(&change, 0), link);
        element_use(&change, link);
        assert_int_equal(element_pending(&change, 0), 0);
    }
    assert_int_equal(element_take(&change, 0), 0);
    assert_int_equal(element_count_used(fixture.map), ENTRIES);
    element_claim(&change, 1, 5);
    assert_int_equal(element_pending(&change, 1), 5);
    element_free(&change, 5);
    assert_int_equal(element_count_used(fixture.map), ENTRIES - 1);
    assert_int_equal(element_take(&change, 0), 5);
    change_end(&change);
    fixture_clear(&fixture);
}

/* Spares are nobody's at first, and as free as others when they have been given back. */
static void test_spares(void **state)
{
    struct fixture fixture = new_map();
    struct thread thread = fixture_thread(0);
    struct map_change change;
    uint32_t spare = ENTRIES + 3;

    assert_int_equal(change_begin(fixture.map, &thread, 0, &change), 0);
    memset(element_owner(fixture.map, 1), ELEMENT_USED, ENTRIES);
    assert_int_equal(element_take(&change, 0), 0);
    element_claim(&change, 0, spare);
    element_free(&change, spare);
    assert_int_equal(element_count_used(fixture.map), ENTRIES - 1);
    assert_int_equal(element_take(&change, 0), spare);
    assert_int_equal(element_take(&change, 0), 0);
    change_end(&change);
    fixture_clear(&fixture);
}

static void test_links(void **state)
{
    struct fixture fixture = new_map();
    uint32_t count = element_count(fixture.map);
    uint8_t *last = element_of(fixture.map, count);

    assert_int_equal(count, ENTRIES + SEATS_MAX);
    assert_null(element_of(fixture.map, 0));
    assert_null(element_of(fixture.map, count + 1));
    assert_null(element_of(fixture.map, UINT32_MAX));
    assert_ptr_equal(element_of(fixture.map, 1), fixture.memory + fixture.map->elements_at);
    assert_true(last + fixture.map->stride <= fixture.memory + fixture.map->size);
    fixture_clear(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_all_taken),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_preempted),
        cmocka_unit_test(test_killing),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_return),
        cmocka_unit_test(test_drop_locks),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_spares),
        cmocka_unit_test(test_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
