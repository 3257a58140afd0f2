/* SPDX-License-Identifier: MIT */
/* The model of ring buffers: the records from the oldest that was not taken. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "block.h"
#include "model.h"
#include "runtime/ring.h"

#define RECORDS_MAX 1024
#define LENGTH_MAX 512          /* bytes of a record here */

enum state { OPEN, SUBMITTED, DISCARDED };

struct record {
    enum state state;
    uint32_t length;
    uint8_t byte;               /* of which it is full */
    uint8_t *data;              /* while it is open */
};

struct model {
    const struct map *map;
    uint32_t first, end;        /* of the records that were not taken */
    struct record record[RECORDS_MAX];
};

/* Bytes that the records need at most; a record that does not fit leaves what is left at the end of the ring unused. */
static uint64_t needed(const struct model *model, uint32_t more)
{
    uint64_t bytes = 2 * (LENGTH_MAX + 16ull) + more + 16ull;

    for (uint32_t i = model->first; i < model->end; i++)
        bytes += 16ull + model->record[i].length;
    return bytes;
}

/* There must be room where there certainly is, and none where there certainly is not; between the two, either. */
static void check_room(struct model *model, uint32_t length, bool got)
{
    uint64_t held = length;

    for (uint32_t i = model->first; i < model->end; i++)
        held += model->record[i].length;
    if (!got && needed(model, length) <= model->map->max_entries)
        fixture_fail("ringbuf: no room for %u bytes", length);
    if (got && held > model->map->max_entries)
        fixture_fail("ringbuf: %llu bytes in %u", (unsigned long long)held, model->map->max_entries);
}

static struct record make(struct trial *trial, enum state state)
{
    return (struct record){
        .state = state, .length = random_below(&trial->random, LENGTH_MAX + 1),
        .byte = (uint8_t)random_next(&trial->random),
    };
}

static void reserve(struct trial *trial, struct model *model, struct thread *thread)
{
    struct record record = make(trial, OPEN);

    record.data = ring_reserve(model->map, record.length, 0, 0, 0, thread);
    check_room(model, record.length, record.data);
    if (!record.data)
        return;
    if (record.data < trial->fixture.memory + model->map->elements_at ||
        record.data + record.length > trial->fixture.memory + model->map->size)
        fixture_fail("ringbuf: a record is outside");
    memset(record.data, record.byte, record.length);
    model->record[model->end++] = record;
}

static void finish(struct trial *trial, struct model *model)
{
    struct record *record = &model->record[model->first + random_below(&trial->random, model->end - model->first)];
    bool submit = random_percent(&trial->random, 70);

    if (record->state != OPEN)
        return;
    record->state = submit ? SUBMITTED : DISCARDED;
    if (submit)
        ring_submit(record->data, 0, model->map);
    else
        ring_discard(record->data, BPF_RB_NO_WAKEUP, model->map);
}

static void output(struct trial *trial, struct model *model, struct thread *thread)
{
    struct record record = make(trial, SUBMITTED);
    uint8_t data[LENGTH_MAX];
    long r;

    memset(data, record.byte, sizeof(data));
    r = ring_output(model->map, data, record.length, 0, 0, thread);
    if (r != 0 && r != -EAGAIN)
        fixture_fail("ringbuf: output returns %ld", r);
    check_room(model, record.length, r == 0);
    if (r == 0)
        model->record[model->end++] = record;
}

static void take(struct model *model)
{
    uint8_t buffer[LENGTH_MAX], expected[LENGTH_MAX];
    const struct record *record;
    uint32_t length = 0;
    int wanted, got;

    while (model->first < model->end && model->record[model->first].state == DISCARDED)
        model->first++;
    record = &model->record[model->first];
    wanted = model->first == model->end ? -EAGAIN : record->state == OPEN ? -EBUSY : 0;
    got = ring_take(model->map, buffer, sizeof(buffer), &length);
    if (got != wanted)
        fixture_fail("ringbuf: a take returns %d, not %d", got, wanted);
    if (got != 0)
        return;
    memset(expected, record->byte, sizeof(expected));
    if (length != record->length || memcmp(buffer, expected, length) != 0)
        fixture_fail("ringbuf: a record of %u bytes, not %u, or other ones", length, record->length);
    model->first++;
}

void model_ring(struct trial *trial, unsigned steps)
{
    static struct model model;

    memset(&model, 0, sizeof(model));
    model.map = trial->fixture.map;
    for (unsigned i = 0; i < steps && model.end < RECORDS_MAX; i++) {
        struct thread *thread = &trial->thread[random_below(&trial->random, MODEL_THREADS)];

        switch (random_below(&trial->random, 5)) {
        case 0:
            reserve(trial, &model, thread);
            break;
        case 1:
            output(trial, &model, thread);
            break;
        case 2:
            take(&model);
            break;
        default:
            if (model.end > model.first)
                finish(trial, &model);
        }
    }
    if (ring_query(model.map, BPF_RB_RING_SIZE) != model.map->max_entries)
        fixture_fail("ringbuf: its size is another");
}
