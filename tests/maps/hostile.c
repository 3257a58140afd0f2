/* SPDX-License-Identifier: MIT */
/*
 * One process writes garbage over all memory of a map, of another map and over the seats, while another calls every
 * function as programs do, with the maps' memory between pages that nobody may touch, and a third does what the daemon
 * does: iterates, takes records, recovers seats.  Nobody may crash, leave the map, or go on for ever.
 *
 * Two of three keys, values, texts and buffers lie in the memory of one of the two maps, and who writes garbage is told
 * where the one at hand lies: so each is another one whenever it is read again.
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
#include "runtime/text.h"
#include "runtime/trace.h"
#include "util.h"

#define CALLS 100000
#define BETWEEN_WIPES 200       /* words of garbage, at most, before the memory is zeroed */
#define AIMED 64               /* stores, in a row, to the argument at hand */
#define REPEATED 256             /* calls with an argument that changes: the window in which that matters is small */
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
    SUBJECT(ARRAY_OF_MAPS, 4, 8, 8, 0),
    SUBJECT(HASH_OF_MAPS, 20, 8, 8, 0),
};

static const struct map_definition other_map = { BPF_MAP_TYPE_ARRAY, 4, 2 * BUFFER, 2, 0 };

/* Memory that garbage is written to. */
struct ground {
    uint8_t *memory;
    uint64_t size;              /* bytes */
};

struct stage {
    struct fixture fixture, other;
    struct ground ground[2];    /* the other map's; the map's own, if it does not lie in sealed memory */
    uint32_t grounds;
    struct random random;
    uint64_t calls;
    struct progress {           /* shared memory */
        uint64_t garbage, looks;        /* words written; looks at the whole map */
        uint64_t made, changing;        /* calls; those with an argument in memory that changes */
        uint64_t aim;                   /* address of the argument at hand; 0: it is the caller's own */
    } *progress;
};

static bool is_outer(const struct map *map)
{
    return map->kind == BPF_MAP_TYPE_ARRAY_OF_MAPS || map->kind == BPF_MAP_TYPE_HASH_OF_MAPS;
}

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

/* What the caller uses now: in turn a number that is checked well, and one that is not. */
static void spoil_argument(struct stage *stage)
{
    uint64_t aim = __atomic_load_n(&stage->progress->aim, __ATOMIC_RELAXED);
    uint32_t *word = (uint32_t *)(uintptr_t)(aim & ~UINT64_C(3));
    uint32_t small = random_below(&stage->random, stage->fixture.map->max_entries);
    uint32_t any = random_percent(&stage->random, 50) ? (uint32_t)random_next(&stage->random) :
                                                        stage->fixture.map->max_entries;

    for (uint32_t i = 0; aim && i < AIMED; i++)
        __atomic_store_n(word, i % 2 ? any : small, __ATOMIC_RELAXED);
}

static void spoil_all(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->grounds; i++)
        spoil(stage, stage->ground[i].memory, stage->ground[i].size);
    spoil_argument(stage);
    if (random_percent(&stage->random, 10))
        spoil(stage, &stage->fixture.head->seat[random_below(&stage->random, 4)], sizeof(struct seat));
    __atomic_fetch_add(&stage->progress->garbage, 1, __ATOMIC_RELAXED);
}

__attribute__((noreturn))
static void write_garbage(struct stage *stage)
{
    for (;;) {
        for (uint32_t i = random_below(&stage->random, BETWEEN_WIPES); i > 0; i--)
            spoil_all(stage);
        for (uint32_t i = 0; i < stage->grounds; i++)
            memset(stage->ground[i].memory, 0, stage->ground[i].size);
        memset(stage->fixture.head, 0, 4 * sizeof(struct seat));
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

/* Where an argument of `size` bytes lies: in the caller's own memory, or at any place of what garbage is written to. */
static uint8_t *pick_place(struct stage *stage, uint8_t *own, uint64_t size)
{
    uint32_t pick = random_below(&stage->random, 1 + stage->grounds);
    const struct ground *ground = &stage->ground[pick ? pick - 1 : 0];
    uint64_t at;

    if (pick == 0 || size == 0 || size > ground->size) {
        __atomic_store_n(&stage->progress->aim, 0, __ATOMIC_RELAXED);
        return own;
    }
    at = random_below(&stage->random, (uint32_t)(ground->size - size) + 1);
    if (random_percent(&stage->random, 50))
        at &= ~UINT64_C(7);
    __atomic_store_n(&stage->progress->aim, (uintptr_t)ground->memory + at, __ATOMIC_RELAXED);
    return ground->memory + at;
}

static uint8_t *make_key(struct stage *stage)
{
    static uint8_t own[BUFFER];
    const struct map *map = stage->fixture.map;
    uint32_t number = random_below(&stage->random, 2 * map->max_entries), bits = 8 * (map->key_size - 4) + 2;
    uint8_t key[BUFFER] = { 0 }, *place = pick_place(stage, own, map->key_size);

    if (map->kind == BPF_MAP_TYPE_LPM_TRIE) {
        uint32_t length = random_below(&stage->random, bits);

        memcpy(key, &length, sizeof(length));
        memcpy(key + 4, &number, sizeof(number));
    } else {
        memcpy(key, &number, sizeof(number));
    }
    memcpy(place, key, map->key_size);
    return place;
}

static uint8_t *make_value(struct stage *stage, uint64_t size)
{
    static uint8_t own[2 * BUFFER];

    return pick_place(stage, own, size);
}

/* So many calls with the arguments that were picked, the last of which is what is aimed at. */
static uint32_t begin_calls(struct stage *stage)
{
    uint32_t calls = stage->progress->aim ? REPEATED : 1;

    stage->progress->made += calls;
    stage->progress->changing += stage->progress->aim ? calls : 0;
    return calls;
}

static void call_keyed(struct stage *stage, struct thread *thread)
{
    const struct map_kind *kind = stage->fixture.kind;
    const struct map *map = stage->fixture.map;
    uint8_t *value = make_value(stage, map->value_size), *key = make_key(stage);
    uint32_t way = random_below(&stage->random, 4), flags = random_below(&stage->random, 4);

    for (uint32_t i = begin_calls(stage); i > 0; i--)
        if (way == 0)
            kind->call_update(map, key, value, flags, 0, thread);
        else if (way > 1)
            use(&stage->fixture, kind->call_lookup(map, key, 0, 0, 0, thread), map->value_size);
        else if (kind->call_delete)
            kind->call_delete(map, key, 0, 0, 0, thread);
}

/* Their memory is sealed: only keys are hostile. */
static void call_outer(struct stage *stage)
{
    const struct map *map = stage->fixture.map, *inner;
    const uint8_t *key = make_key(stage);

    for (uint32_t i = begin_calls(stage); i > 0; i--) {
        inner = map->kind == BPF_MAP_TYPE_ARRAY_OF_MAPS ? map_array_lookup(map, key) : map_hash_lookup(map, key);
        if (inner && inner != stage->other.map)
            fixture_fail("the inner map that was found is not there");
    }
}

static void call_queue(struct stage *stage, struct thread *thread)
{
    const struct map_kind *kind = stage->fixture.kind;
    const struct map *map = stage->fixture.map;
    uint8_t *value = make_value(stage, map->value_size);
    uint32_t way = random_below(&stage->random, 3), flags = random_below(&stage->random, 3);

    for (uint32_t i = begin_calls(stage); i > 0; i--)
        if (way == 0)
            kind->call_push(map, value, flags, 0, 0, thread);
        else if (way == 1)
            kind->call_pop(map, value, 0, 0, 0, thread);
        else
            kind->call_peek(map, value, 0, 0, 0, thread);
}

static void call_output(struct stage *stage, struct thread *thread)
{
    uint32_t length = random_below(&stage->random, 600);
    const uint8_t *data = make_value(stage, length);

    for (uint32_t i = begin_calls(stage); i > 0; i--)
        ring_output(stage->fixture.map, data, length, 0, 0, thread);
}

static void call_ring(struct stage *stage, struct thread *thread)
{
    const struct map *map = stage->fixture.map;
    uint32_t length = random_below(&stage->random, 600);
    void *record;

    stage->progress->made += 2;
    ring_query(map, random_below(&stage->random, 5));
    record = ring_reserve(map, length, 0, 0, 0, thread);
    use(&stage->fixture, record, length);
    if (record && random_percent(&stage->random, 50))
        ring_submit(record, 0, map);
    else if (record)
        ring_discard(record, 0, map);
}

/* What takes memory and no map: bpf_strncmp, and bpf_trace_printk, whose ring is the map if that is one. */
static void call_text(struct stage *stage, struct thread *thread)
{
    static const char format[] = "%d %5lx %-3c%%", constant[] = "text that is compared with";
    char *place = (char *)make_value(stage, sizeof(format) + sizeof(constant));

    for (uint32_t i = begin_calls(stage); i > 0; i--) {
        memcpy(place, format, sizeof(format));
        trace_print(place, sizeof(format), 1, 2, 3, thread);
        memcpy(place, constant, sizeof(constant));
        text_compare(place, sizeof(constant), constant);
    }
}

static void call(struct stage *stage, struct thread *thread)
{
    if (random_percent(&stage->random, 10)) {
        call_text(stage, thread);
        return;
    }
    switch (stage->fixture.map->kind) {
    case BPF_MAP_TYPE_RINGBUF:
        if (random_percent(&stage->random, 30))
            call_output(stage, thread);
        else
            call_ring(stage, thread);
        break;
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
    case BPF_MAP_TYPE_HASH_OF_MAPS:
        call_outer(stage);
        break;
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
        call_queue(stage, thread);
        break;
    default:
        call_keyed(stage, thread);
    }
}

/* And until there was garbage for every 32nd call, and a look for every ten thousandth, on however few processors. */
static bool has_ended(const struct stage *stage)
{
    return stage->progress->made >= stage->calls &&
           __atomic_load_n(&stage->progress->garbage, __ATOMIC_RELAXED) >= stage->calls / 32 &&
           __atomic_load_n(&stage->progress->looks, __ATOMIC_RELAXED) >= stage->calls / 10000;
}

static void call_all(struct stage *stage)
{
    for (uint64_t i = 0; !has_ended(stage); i++) {
        struct thread thread = fixture_thread(random_below(&stage->random, 3));

        call(stage, &thread);
        if (i % 256 == 0)
            sched_yield();
    }
}

/* ---- who looks, as the daemon does ---- */

static void use_copy(const struct fixture *fixture, const uint8_t *key, uint32_t seat)
{
    uint8_t *first = fixture->kind->call_copies(fixture->map, key);

    if (first)
        use(fixture, first + (size_t)seat * fixture->map->copy_stride, fixture->map->value_size);
}

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
        for (uint32_t seat = 0; map->copy_stride && seat < SEATS_MAX; seat += SEATS_MAX - 1)
            use_copy(&stage->fixture, copy, seat);
        if (++steps > most)
            fixture_fail("iteration does not end");
    }
}

/* A walk's position and end may be from any time before. */
static void abandon(struct stage *stage)
{
    struct ring_walk walk = {
        .begun = random_below(&stage->random, 2),
        .position = random_below(&stage->random, 4096) * UINT64_C(8),
        .end = random_below(&stage->random, 4096) * UINT64_C(8),
    };

    ring_abandon(stage->fixture.map, random_below(&stage->random, SEATS_MAX), &walk, random_below(&stage->random, 64));
}

__attribute__((noreturn))
static void look(struct stage *stage)
{
    const struct fixture *fixture = &stage->fixture;
    struct thread thread = fixture_thread(3);
    uint8_t buffer[BUFFER];
    uint32_t length;

    for (;;) {
        if (fixture->kind->call_next && !is_outer(fixture->map))
            iterate(stage, &thread);
        if (fixture->kind->call_skip)
            fixture->kind->call_skip(fixture->map, &(struct map_cursor){ 0 }, random_below(&stage->random, 1024));
        if (fixture->kind->call_count)
            fixture->kind->call_count(fixture->map);
        if (fixture->map->kind == BPF_MAP_TYPE_RINGBUF) {
            ring_take(fixture->map, buffer, sizeof(buffer), &length);
            ring_drop(fixture->map);
            abandon(stage);
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
    printf("# %llu calls, %llu with an argument that changes, %llu times garbage, %llu looks\n",
           (unsigned long long)stage->progress->made, (unsigned long long)stage->progress->changing,
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

static void add_ground(struct stage *stage, const struct fixture *fixture)
{
    stage->ground[stage->grounds++] =
        (struct ground){ fixture->memory, fixture->map->size < MEMORY_MAX ? fixture->map->size : MEMORY_MAX };
}

/* The map is what traces go to, or none is. */
static void set_trace(const struct map *map)
{
    int64_t moved = (const uint8_t *)map - (const uint8_t *)&trace_map;

    trace_map = (struct map){ 0 };
    if (!map || map->kind != BPF_MAP_TYPE_RINGBUF)
        return;
    trace_map = *map;
    trace_map.memory += moved;
    trace_map.arena += moved;
}

/* Inner maps for some of the keys that make_key() makes. */
static void fill_outer(const struct stage *stage)
{
    const struct map *map = stage->fixture.map;
    int64_t distance = (const uint8_t *)stage->other.map - (const uint8_t *)map;
    struct thread thread = fixture_thread(0);

    for (uint32_t i = 0; i < map->max_entries; i += 2) {
        uint8_t key[BUFFER] = { (uint8_t)i };

        if (stage->fixture.kind->call_update(map, key, &distance, BPF_ANY, 0, &thread) < 0)
            fixture_fail("a map of maps takes no map");
    }
}

static void stage_make(const struct map_definition *definition, uint64_t calls, uint64_t seed, struct stage *ret)
{
    *ret = (struct stage){ .random = { seed }, .calls = calls, .progress = progress_make() };
    fixture_make(definition, &ret->fixture);
    fixture_make(&other_map, &ret->other);
    add_ground(ret, &ret->other);
    if (is_outer(ret->fixture.map))
        fill_outer(ret);
    else
        add_ground(ret, &ret->fixture);
    set_trace(ret->fixture.map);
}

static void stage_clear(struct stage *stage)
{
    set_trace(NULL);
    fixture_clear(&stage->fixture);
    fixture_clear(&stage->other);
    munmap(stage->progress, sizeof(*stage->progress));
}

static bool subject_run(const struct subject *subject, uint64_t calls, uint64_t seed)
{
    struct stage stage;
    bool passed;

    stage_make(&subject->definition, calls, seed, &stage);
    passed = stage_run(&stage);
    stage_clear(&stage);
    return passed;
}

/* Twice as many elements as there are. */
static bool control_run(uint64_t calls)
{
    struct stage stage;
    struct map *map;
    bool passed;

    stage_make(&subjects[0].definition, calls, 1, &stage);
    map = (struct map *)(uintptr_t)stage.fixture.map;
    mprotect(map, 1, PROT_READ | PROT_WRITE);
    map->max_entries *= 2;
    map->size *= 2;
    fflush(stdout);
    passed = !stage_run(&stage);
    stage_clear(&stage);
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
