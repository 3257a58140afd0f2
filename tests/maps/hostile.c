/* SPDX-License-Identifier: MIT */
/*
 * One process writes garbage over all memory of a map and over the seats, while another calls every function as programs
 * do, with the map's memory between pages that nobody may touch, and a third does what the daemon does: iterates,
 * takes records, recovers seats.  Nobody may crash, leave the map, or go on for ever.
 *
 *      hostile [CALLS [SEED]]          of each kind
 *
 * The last case is the test's own test: with a descriptor that says more than there is, it must crash.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block.h"
#include "fixture.h"
#include "generate/random.h"
#include "runtime/ring.h"
#include "util.h"

#define CALLS 8000
#define BETWEEN_WIPES 200       /* words of garbage, at most, before the memory is zeroed */
#define WATCHDOG 1200           /* seconds: only for what never ends */
#define BUFFER 4096             /* bytes: the longest key, value or record here */
#define MEMORY_MAX (1u << 20)   /* bytes of a map that are written to: where it has more, its beginning */

static const struct subject {
    const char *name;
    struct map_definition definition;
} subjects[] = {
#define SUBJECT(kind, key, value, entries, flags) { #kind, { BPF_MAP_TYPE_##kind, key, value, entries, flags } }
    SUBJECT(ARRAY, 4, 24, 32, 0),
    SUBJECT(ARRAY, 4, 5000, 4, 0),
    SUBJECT(HASH, 8, 8, 32, 0),
    SUBJECT(HASH, 20, 100, 64, 0),
    SUBJECT(LRU_HASH, 4, 16, 32, 0),
    SUBJECT(PERCPU_ARRAY, 4, 8, 8, 0),
    SUBJECT(PERCPU_HASH, 4, 8, 8, 0),
    SUBJECT(LPM_TRIE, 8, 8, 32, BPF_F_NO_PREALLOC),
    SUBJECT(LPM_TRIE, 20, 8, 64, BPF_F_NO_PREALLOC),
    SUBJECT(QUEUE, 0, 24, 16, 0),
    SUBJECT(STACK, 0, 24, 16, 0),
    SUBJECT(RINGBUF, 0, 0, 4096, 0),
};

struct stage {
    struct fixture fixture;
    struct random random;
    uint64_t calls;
    struct progress {           /* shared memory */
        uint64_t garbage, looks;        /* words written; looks at the whole map */
    } *progress;
};

/* ---- who writes garbage ---- */

/* What indices, lengths, positions and locks might be. */
static uint32_t garbage(struct stage *stage, const uint32_t *words, uint32_t count)
{
    struct random *random = &stage->random;
    const struct map *map = stage->fixture.map;

    switch (random_below(random, 6)) {
    case 0:
        return (uint32_t)random_edge(random);
    case 1:
        return map->max_entries + random_below(random, 3) - 1;
    case 2:
        return map->elements + map->spares + random_below(random, 4) - 2;
    case 3:
        return (uint32_t)map->size + random_below(random, 17) - 8;
    case 4:
        return words[random_below(random, count)];
    default:
        return random_below(random, 2 * map->max_entries);
    }
}

static void spoil(struct stage *stage, void *memory, uint64_t size)
{
    uint32_t *words = memory, count = (uint32_t)(size / 4);
    uint32_t at = random_percent(&stage->random, 50) ? random_below(&stage->random, count) :
                                                       random_below(&stage->random, count < 64 ? count : 64);
    uint32_t length = random_percent(&stage->random, 90) ? 1 : random_below(&stage->random, 64);

    for (uint32_t i = at; i < at + length && i < count; i++)
        __atomic_store_n(&words[i], garbage(stage, words, count), __ATOMIC_RELAXED);
}

__attribute__((noreturn))
static void write_garbage(struct stage *stage)
{
    const struct fixture *fixture = &stage->fixture;
    uint64_t size = fixture->map->size < MEMORY_MAX ? fixture->map->size : MEMORY_MAX;

    for (;;) {
        for (uint32_t i = random_below(&stage->random, BETWEEN_WIPES); i > 0; i--) {
            spoil(stage, fixture->memory, size);
            __atomic_fetch_add(&stage->progress->garbage, 1, __ATOMIC_RELAXED);
            if (random_percent(&stage->random, 10))
                spoil(stage, &fixture->head->seat[random_below(&stage->random, 4)], sizeof(struct seat));
        }
        memset(fixture->memory, 0, size);
        memset(fixture->head, 0, 4 * sizeof(struct seat));
    }
}

/* ---- who calls ---- */

/* As a program uses what it is given. */
static void use(const struct fixture *fixture, uint8_t *value, uint64_t size)
{
    if (!value)
        return;
    if (value < fixture->memory || value + size > fixture->memory + fixture->map->size)
        fixture_fail("a value is %td bytes behind the beginning of the map's memory, of %llu bytes",
                     value - fixture->memory, (unsigned long long)fixture->map->size);
    for (uint64_t i = 0; i < size; i++)
        value[i] ^= 0x55;
}

static void make_key(struct stage *stage, uint8_t *key)
{
    const struct map *map = stage->fixture.map;
    uint32_t number = random_below(&stage->random, 2 * map->max_entries), bits = 8 * (map->key_size - 4) + 2;

    memset(key, 0, BUFFER);
    if (map->kind == BPF_MAP_TYPE_LPM_TRIE) {
        uint32_t length = random_below(&stage->random, bits);

        memcpy(key, &length, sizeof(length));
        memcpy(key + 4, &number, sizeof(number));
    } else {
        memcpy(key, &number, sizeof(number));
    }
}

static void call_keyed(struct stage *stage, struct thread *thread)
{
    const struct map_kind *kind = stage->fixture.kind;
    const struct map *map = stage->fixture.map;
    uint8_t key[BUFFER];
    static uint8_t value[2 * BUFFER];

    make_key(stage, key);
    switch (random_below(&stage->random, 4)) {
    case 0:
        kind->call_update(map, key, value, random_below(&stage->random, 4), 0, thread);
        break;
    case 1:
        if (kind->call_delete)
            kind->call_delete(map, key, 0, 0, 0, thread);
        break;
    default:
        use(&stage->fixture, kind->call_lookup(map, key, 0, 0, 0, thread), map->value_size);
    }
}

static void call_queue(struct stage *stage, struct thread *thread)
{
    const struct map_kind *kind = stage->fixture.kind;
    const struct map *map = stage->fixture.map;
    uint8_t value[BUFFER] = { 0 };

    switch (random_below(&stage->random, 3)) {
    case 0:
        kind->call_push(map, value, random_below(&stage->random, 3), 0, 0, thread);
        break;
    case 1:
        kind->call_pop(map, value, 0, 0, 0, thread);
        break;
    default:
        kind->call_peek(map, value, 0, 0, 0, thread);
    }
}

static void call_ring(struct stage *stage, struct thread *thread)
{
    const struct map *map = stage->fixture.map;
    uint32_t length = random_below(&stage->random, 600);
    uint8_t data[BUFFER] = { 0 };
    void *record;

    if (random_percent(&stage->random, 30)) {
        ring_output(map, data, length, 0, 0, thread);
        return;
    }
    ring_query(map, random_below(&stage->random, 5));
    record = ring_reserve(map, length, 0, 0, 0, thread);
    use(&stage->fixture, record, length);
    if (record && random_percent(&stage->random, 50))
        ring_submit(record, 0, map);
    else if (record)
        ring_discard(record, 0, map);
}

static void call(struct stage *stage, struct thread *thread)
{
    switch (stage->fixture.map->kind) {
    case BPF_MAP_TYPE_RINGBUF:
        call_ring(stage, thread);
        break;
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
        call_queue(stage, thread);
        break;
    default:
        call_keyed(stage, thread);
    }
}

/* And until there was garbage for every fourth call, and a look for every thousandth, on however few processors. */
static bool has_ended(const struct stage *stage, uint64_t calls)
{
    return calls >= stage->calls &&
           __atomic_load_n(&stage->progress->garbage, __ATOMIC_RELAXED) >= stage->calls / 4 &&
           __atomic_load_n(&stage->progress->looks, __ATOMIC_RELAXED) >= stage->calls / 1000;
}

static void call_all(struct stage *stage)
{
    for (uint64_t i = 0; !has_ended(stage, i); i++) {
        struct thread thread = fixture_thread(random_below(&stage->random, 3));

        call(stage, &thread);
        if (i % 256 == 0)
            sched_yield();
    }
}

/* ---- who looks, as the daemon does ---- */

static void iterate(struct stage *stage, struct thread *thread)
{
    const struct map *map = stage->fixture.map;
    struct map_cursor cursor = { 0 };
    uint64_t steps = 0, most = 2ull * map->max_entries + map->elements + map->spares + map->size / 8;
    uint8_t *key;
    void *value;

    while ((key = (uint8_t *)(uintptr_t)stage->fixture.kind->call_next(map, &cursor, &value, 0, 0, thread))) {
        uint8_t copy[BUFFER];

        memcpy(copy, key, map->key_size);
        use(&stage->fixture, value, map->value_size);
        if (++steps > most)
            fixture_fail("iteration does not end");
    }
}

__attribute__((noreturn))
static void look(struct stage *stage)
{
    const struct fixture *fixture = &stage->fixture;
    struct thread thread = fixture_thread(3);
    uint8_t buffer[BUFFER];
    uint32_t length;

    for (;;) {
        if (fixture->kind->call_next)
            iterate(stage, &thread);
        if (fixture->kind->call_count)
            fixture->kind->call_count(fixture->map);
        if (fixture->map->kind == BPF_MAP_TYPE_RINGBUF) {
            ring_take(fixture->map, buffer, sizeof(buffer), &length);
            ring_abandon(fixture->map, random_below(&stage->random, SEATS_MAX));
        }
        for (unsigned i = 0; i < 4; i++)
            map_recover(fixture->map, &fixture->head->seat[i]);
        __atomic_fetch_add(&stage->progress->looks, 1, __ATOMIC_RELAXED);
    }
}

/* ---- processes ---- */

static pid_t start(struct stage *stage, void (*run)(struct stage *stage))
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(WATCHDOG);
        random_next(&stage->random);
        run(stage);
        _exit(0);
    }
    stage->random.state += 17;
    return pid;
}

/* Ends who is still there; true: it had not ended by itself. */
static bool end(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool stage_run(struct stage *stage)
{
    pid_t vandal = start(stage, write_garbage), daemon = start(stage, look), caller = start(stage, call_all);
    int status;
    bool passed;

    waitpid(caller, &status, 0);
    passed = status == 0;
    if (!passed)
        printf("# the caller ends with %#x\n", (unsigned)status);
    if (!end(daemon)) {
        printf("# who looks has ended\n");
        passed = false;
    }
    printf("# %llu calls at least, %llu times garbage, %llu looks\n", (unsigned long long)stage->calls,
           (unsigned long long)stage->progress->garbage, (unsigned long long)stage->progress->looks);
    return end(vandal) && passed;
}

static struct progress *progress_make(void)
{
    void *memory = mmap(NULL, sizeof(struct progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fixture_fail("mmap: %s", strerror(errno));
    return memory;
}

static bool subject_run(const struct subject *subject, uint64_t calls, uint64_t seed)
{
    struct stage stage = { .random = { seed }, .calls = calls, .progress = progress_make() };
    bool passed;

    fixture_make(&subject->definition, &stage.fixture);
    passed = stage_run(&stage);
    fixture_clear(&stage.fixture);
    return passed;
}

/* Twice as many elements as there are. */
static bool control_run(uint64_t calls)
{
    struct stage stage = { .random = { 1 }, .calls = calls, .progress = progress_make() };
    struct map *map;
    bool passed;

    fixture_make(&subjects[0].definition, &stage.fixture);
    map = (struct map *)(uintptr_t)stage.fixture.map;
    mprotect(map, 1, PROT_READ | PROT_WRITE);
    map->max_entries *= 2;
    map->size *= 2;
    fflush(stdout);
    passed = !stage_run(&stage);
    fixture_clear(&stage.fixture);
    return passed;
}

int main(int argc, char **argv)
{
    uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 0) : CALLS, seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    const struct rlimit no_core = { 0 };
    int failed = 0;

    setrlimit(RLIMIT_CORE, &no_core);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%zu\n", ARRAY_LENGTH(subjects) + 1);
    for (size_t i = 0; i <= ARRAY_LENGTH(subjects); i++) {
        bool control = i == ARRAY_LENGTH(subjects);
        bool passed = control ? control_run(calls) : subject_run(&subjects[i], calls, seed);

        printf("%s - %s\n", passed ? "ok" : "not ok", control ? "an access outside would be seen" : subjects[i].name);
        failed |= !passed;
    }
    return failed;
}
