/* SPDX-License-Identifier: MIT */
#include "measurement.h"

#include <errno.h>
#include <stdlib.h>

#include "child.h"
#include "measurer.h"
#include "planning.h"
#include "table_code.h"
#include "translation.h"
#include "translator.h"
#include "util.h"

#define SECONDS 5               /* of a processor */

struct measurement {
    LIST_ENTRY(measurement) entry;
    struct daemon *daemon;
    struct child *child;
    void (*done)(struct daemon *daemon, void *userdata, double nanoseconds);
    void *userdata;
};

static void measurement_free(struct measurement *measurement)
{
    LIST_REMOVE(measurement, entry);
    child_free(measurement->child);
    free(measurement);
}

static void on_done(void *userdata, const char *failure, const void *answer, size_t size)
{
    struct measurement *measurement = userdata;
    struct wire_reader reader = { .at = answer, .left = failure ? 0 : size };
    uint64_t outcome = wire_number(&reader, UINT64_MAX), picoseconds = wire_number(&reader, UINT32_MAX);
    bool good = outcome == 0 && wire_complete(&reader);

    measurement->done(measurement->daemon, measurement->userdata, good ? (double)picoseconds / 1000 : -1);
    measurement_free(measurement);
}

/* Cases with one program have one stub. */
static void put_cases(struct wire_writer *request, const struct dispatcher *dispatcher, struct measurer_case *cases)
{
    for (size_t i = 0; i < dispatcher->count; i++)
        cases[i] = (struct measurer_case){
            .first = dispatcher->cases[i].first, .last = dispatcher->cases[i].last,
            .weight = dispatcher->cases[i].weight,
            .target = (uint32_t)(dispatcher->cases[i].target->code / IMAGE_GRANULE) % MEASURER_TARGETS,
        };
    wire_put_bytes(request, cases, dispatcher->count * sizeof(*cases));
}

static int make_request(const struct daemon *daemon, const struct table *table, struct wire_writer *request)
{
    _cleanup_(table_dispatcher_done) struct table_dispatcher code = { 0 };
    _cleanup_free_ struct measurer_case *cases = calloc(table->links + 1, sizeof(*cases));
    const uint32_t *key;
    size_t keys = planning_sample(table, &key);
    int r;

    if (keys == 0)
        return -ENODATA;
    r = cases ? table_dispatcher(&daemon->registry, table, &code) : -ENOMEM;
    if (r < 0)
        return r;
    wire_put_bytes(request, &table->plan, sizeof(table->plan));
    put_cases(request, &code.dispatcher, cases);
    wire_put_bytes(request, key, keys * sizeof(*key));
    return request->failed ? -ENOMEM : 0;
}

static bool too_many(const struct daemon *daemon)
{
    const struct measurement *measurement;
    int count = 0;

    LIST_FOREACH(measurement, &daemon->measurements, entry)
        count++;
    return count >= MEASUREMENTS_MAX;
}

int measurement_start(struct daemon *daemon, const struct table *table,
                      void (*done)(struct daemon *daemon, void *userdata, double nanoseconds), void *userdata)
{
    struct measurement *measurement = too_many(daemon) ? NULL : calloc(1, sizeof(*measurement));
    const struct child_options options = {
        .base = daemon->base, .executable = translations_executable(daemon->translations), .stage = TRANSLATOR_MEASURE,
        .seconds = SECONDS, .done = on_done, .userdata = measurement,
    };
    struct wire_writer request = { 0 };
    int r;

    if (!measurement)
        return too_many(daemon) ? -EBUSY : -ENOMEM;
    *measurement = (struct measurement){ .daemon = daemon, .done = done, .userdata = userdata };
    LIST_INSERT_HEAD(&daemon->measurements, measurement, entry);
    r = make_request(daemon, table, &request);
    if (r >= 0)
        r = child_start(&options, request.bytes, request.size, &measurement->child);
    else
        free(request.bytes);
    if (r < 0)
        measurement_free(measurement);
    return r;
}

void measurements_forget(struct daemon *daemon, void (*forget)(void *userdata))
{
    struct measurement *measurement;

    while ((measurement = LIST_FIRST(&daemon->measurements))) {
        forget(measurement->userdata);
        measurement_free(measurement);
    }
}
