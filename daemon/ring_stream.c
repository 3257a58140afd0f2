/* SPDX-License-Identifier: MIT */
/* See ring_stream.h. */
#include "ring_stream.h"

#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>

#include "call.h"
#include "element.h"
#include "map_access.h"
#include "runtime/ring.h"
#include "runtime/trace.h"
#include "shared_map.h"
#include "util.h"
#include "view.h"

#define LOOK_MS 10
#define BATCH_RECORDS 256
#define BATCH_BYTES (256u << 10)
#define QUEUED_MAX (1u << 20)           /* bytes that a reader may leave untaken */

struct ring_reader {
    LIST_ENTRY(ring_reader) entry;
    struct call *call;
    bool follows, hex;
    uint64_t left;                      /* where it does not: bytes until it has seen as much as the ring holds */
    uint64_t skipped;                   /* records that it was too slow for */
    uint64_t told_lost, told_skipped;   /* what it knows already; at first it has to be told something */
};

struct ring_stream {
    LIST_ENTRY(ring_stream) entry;
    struct daemon *daemon;
    struct shared_map *map;             /* a reference */
    struct event *look;                 /* a timer */
    LIST_HEAD(, ring_reader) readers;
    uint8_t record[RING_RECORD_MAX];
};

/* Records, in the form of answers. */
struct batch {
    struct json_object *shown;          /* by their type; of the trace: lines */
    struct json_object *hex;            /* the same records; NULL: no reader wants them so */
    size_t count, bytes;
    bool more;                          /* there are perhaps more */
};

/* ---- life ------------------------------------------------------------------------------------------------ */

static void reader_free(struct ring_reader *reader)
{
    LIST_REMOVE(reader, entry);
    call_put(reader->call);
    free(reader);
}

static void stream_free(struct ring_stream *stream)
{
    while (!LIST_EMPTY(&stream->readers)) {
        call_close(LIST_FIRST(&stream->readers)->call);
        reader_free(LIST_FIRST(&stream->readers));
    }
    if (stream->look)
        event_free(stream->look);
    LIST_REMOVE(stream, entry);
    shared_map_put(stream->map);
    free(stream);
}

static void on_look(evutil_socket_t unused, short events, void *userdata);

static struct ring_stream *stream_new(struct daemon *daemon, struct shared_map *map)
{
    struct ring_stream *stream = malloc(sizeof(*stream));

    if (!stream)
        return NULL;
    memset(stream, 0, offsetof(struct ring_stream, record));
    stream->daemon = daemon;
    stream->look = evtimer_new(daemon->base, on_look, stream);
    if (!stream->look) {
        free(stream);
        return NULL;
    }
    stream->map = shared_map_get(map);
    LIST_INSERT_HEAD(&daemon->ring_streams, stream, entry);
    return stream;
}

/* That of the ring, which is made where there is none.  NULL: no memory. */
static struct ring_stream *stream_of(struct daemon *daemon, struct shared_map *map)
{
    struct ring_stream *stream;

    LIST_FOREACH(stream, &daemon->ring_streams, entry)
        if (stream->map == map)
            return stream;
    return stream_new(daemon, map);
}

void ring_streams_forget(struct daemon *daemon)
{
    while (!LIST_EMPTY(&daemon->ring_streams))
        stream_free(LIST_FIRST(&daemon->ring_streams));
}

/* ---- records --------------------------------------------------------------------------------------------- */

static bool is_trace(const struct ring_stream *stream)
{
    return stream->map == stream->daemon->trace;
}

static struct json_object *show_hex(const uint8_t *record, uint32_t length)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "value_hex", element_show_hex(record, length));
    return object;
}

static struct json_object *show_record(const struct shared_map *map, const uint8_t *record, uint32_t length)
{
    struct json_object *object;

    if (!map->value || length != map->definition.value_size || length == 0)
        return show_hex(record, length);
    object = json_object_new_object();
    json_object_object_add(object, "value", element_show(map->value, record));
    return object;
}

/* As true as the worker that wrote it; NULL: not even the beginning of a line. */
static struct json_object *show_line(const uint8_t *record, uint32_t length)
{
    struct trace_record line = { 0 };
    struct json_object *object;

    if (length < offsetof(struct trace_record, text) || length > sizeof(line))
        return NULL;
    memcpy(&line, record, length);
    object = json_object_new_object();
    view_add_int(object, "pid", line.process);
    view_add_int(object, "thread", line.thread);
    json_object_object_add(object, "text",
                           element_show_text((const uint8_t *)line.text, length - offsetof(struct trace_record, text)));
    return object;
}

static struct batch batch_new(const struct ring_stream *stream)
{
    struct batch batch = { .shown = json_object_new_array() };
    const struct ring_reader *reader;

    LIST_FOREACH(reader, &stream->readers, entry)
        if (reader->hex && !batch.hex)
            batch.hex = json_object_new_array();
    return batch;
}

static void batch_clear(struct batch *batch)
{
    json_object_put(batch->shown);
    json_object_put(batch->hex);
}

static void add_record(const struct ring_stream *stream, struct batch *batch, uint32_t length)
{
    struct json_object *shown = is_trace(stream) ? show_line(stream->record, length) :
                                                   show_record(stream->map, stream->record, length);

    batch->bytes += length;
    if (!shown)
        return;
    json_object_array_add(batch->shown, shown);
    if (batch->hex)
        json_object_array_add(batch->hex, show_hex(stream->record, length));
    batch->count++;
}

/* Take one record, or get past what is none; false: there is no more now. */
static bool take_record(struct ring_stream *stream, struct batch *batch)
{
    const struct map *view = stream->map->view;
    uint32_t length;
    int r;

    r = ring_take(view, stream->record, sizeof(stream->record), &length);
    if (r == -EMSGSIZE)
        return ring_drop(view) == 0;
    if (r == -EBUSY)
        return map_access_discard_abandoned(stream->daemon, stream->map);
    if (r < 0)
        return r == -EINTR || r == -EBADMSG;
    add_record(stream, batch, length);
    return true;
}

static void take_batch(struct ring_stream *stream, struct batch *batch)
{
    for (unsigned i = 0; batch->more && i < BATCH_RECORDS && batch->bytes < BATCH_BYTES; i++)
        batch->more = take_record(stream, batch);
}

/* ---- readers --------------------------------------------------------------------------------------------- */

static struct json_object *make_answer(const struct ring_stream *stream, const struct ring_reader *reader,
                                       const struct batch *batch)
{
    struct json_object *answer = json_object_new_object();

    json_object_object_add(answer, is_trace(stream) ? "lines" : "records",
                           json_object_get(reader->hex ? batch->hex : batch->shown));
    view_add_int(answer, "lost", ring_lost(stream->map->view));
    view_add_int(answer, "skipped", reader->skipped);
    return answer;
}

static bool is_slow(const struct ring_reader *reader)
{
    return call_queued(reader->call) > QUEUED_MAX;
}

/* Can nothing come any more, as no program has the ring? */
static bool is_removed(const struct ring_stream *stream)
{
    return !is_trace(stream) && registry_map(&stream->daemon->registry, stream->map->name) != stream->map;
}

/* Has it seen all that was there when it came?  Who fills the ring meanwhile does not keep it from being done. */
static bool is_done(const struct ring_stream *stream, struct ring_reader *reader, const struct batch *batch)
{
    reader->left -= batch->bytes < reader->left ? batch->bytes : reader->left;
    if (reader->follows)
        return !batch->more && is_removed(stream);
    return !batch->more || reader->left == 0;
}

/* Returns whether it was the last one for this reader. */
static bool give_batch(const struct ring_stream *stream, struct ring_reader *reader, const struct batch *batch)
{
    uint64_t lost = ring_lost(stream->map->view);

    if (is_slow(reader)) {
        reader->skipped += batch->count;
        return false;
    }
    if (is_done(stream, reader, batch)) {
        call_reply(reader->call, make_answer(stream, reader, batch));
        return true;
    }
    if (batch->count > 0 || lost != reader->told_lost || reader->skipped != reader->told_skipped)
        call_reply_continues(reader->call, make_answer(stream, reader, batch));
    reader->told_lost = lost;
    reader->told_skipped = reader->skipped;
    return false;
}

static void give_all(struct ring_stream *stream, const struct batch *batch)
{
    struct ring_reader *reader, *next;

    for (reader = LIST_FIRST(&stream->readers); reader; reader = next) {
        next = LIST_NEXT(reader, entry);
        if (call_is_deserted(reader->call))
            call_close(reader->call);
        else if (!give_batch(stream, reader, batch))
            continue;
        reader_free(reader);
    }
}

/* Does anybody take what is taken out? */
static bool is_awaited(const struct ring_stream *stream)
{
    const struct ring_reader *reader;

    LIST_FOREACH(reader, &stream->readers, entry)
        if (!is_slow(reader))
            return true;
    return false;
}

static void look_after(struct ring_stream *stream, unsigned ms)
{
    const struct timeval delay = { .tv_usec = (suseconds_t)ms * 1000 };

    event_add(stream->look, &delay);
}

static void on_look(evutil_socket_t unused, short events, void *userdata)
{
    struct ring_stream *stream = userdata;
    struct batch batch = batch_new(stream);

    (void)unused, (void)events;
    batch.more = is_awaited(stream);
    take_batch(stream, &batch);
    give_all(stream, &batch);
    batch_clear(&batch);
    if (LIST_EMPTY(&stream->readers))
        stream_free(stream);
    else
        look_after(stream, batch.more ? 0 : LOOK_MS);
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

static int check_ring(const struct shared_map *map, struct refusal *refusal)
{
    if (map->definition.kind == BPF_MAP_TYPE_RINGBUF)
        return 0;
    return refuse(refusal, -EOPNOTSUPP, "MapUnsuited", "sss", "map", map->name, "kind",
                  map_kind_find(map->definition.kind)->name, "operation", "read");
}

int ring_stream_start(struct daemon *daemon, struct shared_map *map, struct call *call, unsigned flags,
                      struct refusal *refusal)
{
    _cleanup_free_ struct ring_reader *reader = calloc(1, sizeof(*reader));
    struct ring_stream *stream;
    int r;

    r = check_ring(map, refusal);
    if (r < 0)
        return r;
    stream = reader ? stream_of(daemon, map) : NULL;
    if (!stream)
        return refuse_memory(refusal);
    reader->call = call_get(call);
    reader->follows = flags & RING_FOLLOW;
    reader->hex = flags & RING_HEX;
    reader->left = map->definition.max_entries;
    reader->told_lost = UINT64_MAX;
    if (LIST_EMPTY(&stream->readers))
        look_after(stream, 0);
    LIST_INSERT_HEAD(&stream->readers, reader, entry);
    reader = NULL;
    return 0;
}
