/* SPDX-License-Identifier: MIT */
/*
 * Lookups and updates by dispatchd's maps, by liburcu's hash table, by a table behind a robust mutex,
 * by plain arrays.
 */
#include "map_ways.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <urcu.h>
#include <urcu/rculfhash.h>

#include "jitcore/context.h"
#include "jitcore/runtime/hash.h"
#include "jitcore/runtime/queue.h"
#include "jitcore/runtime/ring.h"
#include "kernels/kernel.h"
#include "maps.h"
#include "measure.h"
#include "tests/maps/fixture.h"
#include "translated.h"
#include "util.h"

/* What is hidden from the compiler is checked for each key, as programs do. */
#define HIDE(variable) __asm__ volatile("" : "+r"(variable))

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("no memory");
    return memory;
}

/* The finaliser of murmur3: what both of the other hash tables take for a hash. */
static uint64_t mix(uint64_t key)
{
    key = (key ^ key >> 33) * 0xff51afd7ed558ccd;
    key = (key ^ key >> 33) * 0xc4ceb9fe1a85ec53;
    return key ^ key >> 33;
}

static uint32_t power_of_two(uint32_t least)
{
    uint32_t power = 1;

    while (power < least)
        power *= 2;
    return power;
}

/* The keys from `first` on, as many as a program takes at once. */
static struct kernel batch(const struct bench_process *process, uint32_t first)
{
    uint32_t left = process->count - first, count = left < BATCH ? left : BATCH;
    const uint8_t *keys = (const uint8_t *)(process->keys + first);

    return (struct kernel){ keys, keys + count * sizeof(*process->keys), 0 };
}

/* ---- dispatchd: programs of bench/maps.bpf.c ---- */

struct map_program {
    const char *name, *map;     /* of the program, and of the map that it works on */
    struct fixture fixture;     /* the map that it is given instead: shared by all processes */
    struct translated translated;
};

static struct map_program lookups = { .name = "hash_lookups", .map = "hash" };
static struct map_program updates = { .name = "hash_updates", .map = "hash" };
static struct map_program array_lookups = { .name = "array_lookups", .map = "array" };
static struct map_program counter_adds = { .name = "counter_adds", .map = "counters" };

/* The program's descriptor becomes the fixture's, but for the distances, which begin at itself. */
static void give_map(struct map_program *program)
{
    const struct bytecode *bytecode = program->translated.bytecode;
    const struct fixture *fixture = &program->fixture;

    for (uint32_t i = 0; i < bytecode->regions; i++)
        if (strcmp(bytecode->region[i].name, program->map) == 0) {
            struct map *map = program->translated.machine.arena.map[i];

            *map = *fixture->map;
            map->memory = fixture->memory - (uint8_t *)map;
            map->arena = (uint8_t *)fixture->head - (uint8_t *)map;
            return;
        }
    die("%s has no map %s", program->name, program->map);
}

static void program_make(struct map_program *program, const struct map_definition *definition)
{
    struct context *context = kernel_context();

    translated_new(bytecode_load(BENCH_MAPS, program->name), context, &program->translated);
    fixture_make(definition, &program->fixture);
    give_map(program);
    context_free(context);
}

/* On all keys, a batch after the other.  Returns what was refused. */
static uint32_t program_run(struct map_program *program, struct bench_process *process)
{
    uint32_t refused = 0;

    for (uint32_t i = 0; i < process->count; i += BATCH) {
        struct kernel kernel = batch(process, i);

        refused += program->translated.run(&kernel, 0);
        process->sum += kernel.result;
    }
    return refused;
}

static void program_begin(struct map_program *program, struct bench_process *process)
{
    *program->translated.machine.arena.thread = fixture_thread(process->index);
}

static void hash_make(struct map_program *program, const uint64_t *keys, uint32_t count)
{
    struct map_definition definition = {
        .kind = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 8, .max_entries = count,
    };
    struct thread thread = fixture_thread(PROCESSES_MAX);

    program_make(program, &definition);
    for (uint32_t i = 0; i < count; i++)
        if (hash_update(program->fixture.map, &keys[i], &keys[i], BPF_NOEXIST, 0, &thread) != 0)
            die("the map does not take key %u of %u", i, count);
}

static void lookups_make(const uint64_t *keys, uint32_t count)
{
    hash_make(&lookups, keys, count);
}

static void lookups_begin(struct bench_process *process)
{
    program_begin(&lookups, process);
}

static void lookups_run(struct bench_process *process)
{
    program_run(&lookups, process);
}

static void updates_make(const uint64_t *keys, uint32_t count)
{
    hash_make(&updates, keys, count);
}

static void updates_begin(struct bench_process *process)
{
    program_begin(&updates, process);
}

static void updates_run(struct bench_process *process)
{
    process->refused += program_run(&updates, process);
}

/* ---- a full lru_hash: the function that programs call, as each time another key is needed ---- */

static struct fixture full;

static void full_make(const uint64_t *keys, uint32_t count)
{
    struct map_definition definition = {
        .kind = BPF_MAP_TYPE_LRU_HASH, .key_size = 8, .value_size = 8, .max_entries = count,
    };
    struct thread thread = fixture_thread(PROCESSES_MAX);

    fixture_make(&definition, &full);
    for (uint32_t i = 0; i < count; i++)
        if (lru_update(full.map, &keys[i], &keys[i], BPF_ANY, 0, &thread) != 0)
            die("the map does not take key %u of %u", i, count);
}

/* Keys that no process has inserted before, and hardly any of which the table began with. */
static void full_run(struct bench_process *process)
{
    struct thread thread = fixture_thread(process->index);

    for (uint32_t i = 0; i < process->count; i++) {
        uint64_t key = (uint64_t)(process->index + 1) << 56 | process->sum++;

        process->refused += lru_update(full.map, &key, &key, BPF_ANY, 0, &thread) != 0;
    }
}

/* ---- queues and rings of 64 bytes a value: likewise the functions that programs call ---- */

struct bench_value {
    uint64_t word[8];
};

static struct fixture queue, ring;

static void queue_make(const uint64_t *keys, uint32_t count)
{
    struct map_definition definition = {
        .kind = BPF_MAP_TYPE_QUEUE, .value_size = sizeof(struct bench_value), .max_entries = 2 * PROCESSES_MAX,
    };

    fixture_make(&definition, &queue);
}

/* Each pushes before it pops, so what is refused is refused by the lock. */
static void queue_run(struct bench_process *process)
{
    struct thread thread = fixture_thread(process->index);
    struct bench_value value = { { process->index } };

    for (uint32_t i = 0; i < process->count; i++) {
        long pushed = queue_push(queue.map, &value, BPF_EXIST, 0, 0, &thread);
        long popped = queue_pop(queue.map, &value, 0, 0, 0, &thread);

        process->refused += pushed != 0 || popped != 0;
    }
}

static void ring_make(const uint64_t *keys, uint32_t count)
{
    struct map_definition definition = { .kind = BPF_MAP_TYPE_RINGBUF, .max_entries = 1 << 20 };

    fixture_make(&definition, &ring);
}

/* Who finds it full empties it, without a look at what is in it. */
static void ring_run(struct bench_process *process)
{
    struct ring_memory *memory = (void *)ring.memory;
    struct thread thread = fixture_thread(process->index);
    struct bench_value value = { { process->index } };

    for (uint32_t i = 0; i < process->count; i++) {
        long r = ring_output(ring.map, &value, sizeof(value), 0, 0, &thread);

        if (r == -EAGAIN) {
            WRITE_AFTER(memory->consumer, ring_query(ring.map, BPF_RB_PROD_POS));
            r = ring_output(ring.map, &value, sizeof(value), 0, 0, &thread);
        }
        process->refused += r != 0;
    }
}

/* ---- arrays ---- */

/* Its code has the array's place in it: each process looks into a copy of its own. */
static void array_lookups_make(const uint64_t *keys, uint32_t count)
{
    struct map_definition definition = {
        .kind = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = ARRAY_ENTRIES,
    };

    program_make(&array_lookups, &definition);
}

static void array_lookups_run(struct bench_process *process)
{
    program_run(&array_lookups, process);
}

static void counter_adds_make(const uint64_t *keys, uint32_t count)
{
    struct map_definition definition = {
        .kind = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4, .value_size = 8, .max_entries = ARRAY_ENTRIES,
    };

    program_make(&counter_adds, &definition);
}

static void counter_adds_begin(struct bench_process *process)
{
    program_begin(&counter_adds, process);
}

static void counter_adds_run(struct bench_process *process)
{
    program_run(&counter_adds, process);
}

/* ---- liburcu ---- */

struct urcu_element {
    struct cds_lfht_node node;
    uint64_t key, value;
};

static struct cds_lfht *urcu_table;

static void urcu_make(const uint64_t *keys, uint32_t count)
{
    struct urcu_element *elements = calloc(count, sizeof(*elements));

    urcu_table = cds_lfht_new(power_of_two(count), power_of_two(count), power_of_two(count), 0, NULL);
    if (!elements || !urcu_table)
        die("no memory");
    rcu_register_thread();
    rcu_read_lock();
    for (uint32_t i = 0; i < count; i++) {
        elements[i].key = elements[i].value = keys[i];
        cds_lfht_add(urcu_table, mix(keys[i]), &elements[i].node);
    }
    rcu_read_unlock();
    rcu_unregister_thread();
}

static void urcu_begin(struct bench_process *process)
{
    rcu_register_thread();
}

static int urcu_match(struct cds_lfht_node *node, const void *key)
{
    return CONTAINER_OF(node, struct urcu_element, node)->key == *(const uint64_t *)key;
}

/* In one critical section, as programs run in one guard. */
static void urcu_lookups(struct bench_process *process)
{
    rcu_read_lock();
    for (uint32_t i = 0; i < process->count; i++) {
        struct cds_lfht_iter iterator;
        struct cds_lfht_node *node;

        cds_lfht_lookup(urcu_table, mix(process->keys[i]), urcu_match, &process->keys[i], &iterator);
        node = cds_lfht_iter_get_node(&iterator);
        if (node)
            process->sum += CONTAINER_OF(node, struct urcu_element, node)->value;
    }
    rcu_read_unlock();
}

/* ---- a table in shared memory, behind a robust mutex ---- */

struct mutex_element {
    uint32_t next;              /* 1 + index, 0: the last */
    uint64_t key, value;
};

struct mutex_table {
    pthread_mutex_t mutex;
    uint32_t mask;
    uint32_t *head;             /* 1 + index, 0: empty */
    struct mutex_element *element;
};

static struct mutex_table *mutex_table;

static void mutex_make(const uint64_t *keys, uint32_t count)
{
    uint32_t buckets = power_of_two(count);
    struct mutex_table *table = shared(sizeof(*table));
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&table->mutex, &attributes);
    table->mask = buckets - 1;
    table->head = shared(buckets * sizeof(*table->head));
    table->element = shared(count * sizeof(*table->element));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *head = &table->head[mix(keys[i]) & table->mask];

        table->element[i] = (struct mutex_element){ *head, keys[i], keys[i] };
        *head = i + 1;
    }
    mutex_table = table;
}

static void mutex_update(struct mutex_table *table, uint64_t key, uint64_t value)
{
    uint32_t bucket = (uint32_t)mix(key) & table->mask;

    if (pthread_mutex_lock(&table->mutex) == EOWNERDEAD)
        pthread_mutex_consistent(&table->mutex);
    for (uint32_t at = table->head[bucket]; at; at = table->element[at - 1].next)
        if (table->element[at - 1].key == key) {
            table->element[at - 1].value = value;
            break;
        }
    pthread_mutex_unlock(&table->mutex);
}

static void mutex_updates(struct bench_process *process)
{
    for (uint32_t i = 0; i < process->count; i++)
        mutex_update(mutex_table, process->keys[i], process->sum);
}

/* ---- plain arrays ---- */

static uint64_t *plain, *own[PROCESSES_MAX];

static void plain_make(const uint64_t *keys, uint32_t count)
{
    plain = shared(ARRAY_ENTRIES * sizeof(*plain));
}

static void own_make(const uint64_t *keys, uint32_t count)
{
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        own[i] = shared(ARRAY_ENTRIES * sizeof(*own[i]));
}

/* The same loops as those of the programs, keys and all: what differs is how an element is found. */

static inline uint64_t plain_look_up(uint64_t number, uint32_t entries)
{
    uint32_t key = ARRAY_INDEX(number);

    return key < entries ? plain[key] : 0;
}

__attribute__((noinline))
static void plain_batch(struct kernel *kernel)
{
    const uint64_t *at = (const void *)kernel->data;
    uint32_t entries = ARRAY_ENTRIES;
    uint64_t sum = 0;

    HIDE(entries);
    for (uint32_t i = 0; i < BATCH / 4 && (const uint8_t *)(at + 4) <= kernel->data_end; i++, at += 4) {
        sum += plain_look_up(at[0], entries);
        sum += plain_look_up(at[1], entries);
        sum += plain_look_up(at[2], entries);
        sum += plain_look_up(at[3], entries);
    }
    kernel->result = sum;
}

static inline void own_count(uint64_t *values, uint64_t number, uint32_t entries)
{
    uint32_t key = ARRAY_INDEX(number);

    if (key < entries)
        values[key]++;
}

__attribute__((noinline))
static void own_batch(struct kernel *kernel, uint64_t *values)
{
    const uint64_t *at = (const void *)kernel->data;
    uint32_t entries = ARRAY_ENTRIES;

    HIDE(entries);
    for (uint32_t i = 0; i < BATCH / 4 && (const uint8_t *)(at + 4) <= kernel->data_end; i++, at += 4) {
        own_count(values, at[0], entries);
        own_count(values, at[1], entries);
        own_count(values, at[2], entries);
        own_count(values, at[3], entries);
    }
}

static void plain_lookups(struct bench_process *process)
{
    for (uint32_t i = 0; i < process->count; i += BATCH) {
        struct kernel kernel = batch(process, i);

        plain_batch(&kernel);
        process->sum += kernel.result;
    }
}

static void own_adds(struct bench_process *process)
{
    for (uint32_t i = 0; i < process->count; i += BATCH) {
        struct kernel kernel = batch(process, i);

        own_batch(&kernel, own[process->index]);
    }
}

const struct bench_way bench_ways[] = {
    { "hash_lookup", "dispatchd", false, lookups_make, lookups_begin, lookups_run },
    { "hash_lookup", "rculfhash", false, urcu_make, urcu_begin, urcu_lookups },
    { "array_lookup", "dispatchd", false, array_lookups_make, NULL, array_lookups_run },
    { "array_lookup", "c_array", false, plain_make, NULL, plain_lookups },
    { "hash_update", "dispatchd", true, updates_make, updates_begin, updates_run },
    { "hash_update", "mutex", true, mutex_make, NULL, mutex_updates },
    { "percpu_add", "dispatchd", false, counter_adds_make, counter_adds_begin, counter_adds_run },
    { "percpu_add", "c_array", false, own_make, NULL, own_adds },
    { "lru_insert_full", "dispatchd", true, full_make, NULL, full_run },
    { "queue_push_pop", "dispatchd", true, queue_make, NULL, queue_run },
    { "ring_output", "dispatchd", true, ring_make, NULL, ring_run },
    { 0 },
};
