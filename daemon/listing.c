/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>

#include "call.h"
#include "daemon.h"
#include "refusal.h"
#include "service.h"

static void begin_answer(struct listing *listing)
{
    listing->answer = json_object_new_object();
    listing->rows = 0;
    for (const char *const *list = listing->kind->list; *list; list++)
        json_object_object_add(listing->answer, *list, json_object_new_array());
    if (listing->kind->add_members)
        listing->kind->add_members(listing);
}

bool listing_goes_on(const struct listing *listing)
{
    return listing->turn_rows < LISTING_TURN_ROWS && long_call_goes_on(&listing->work);
}

void listing_add(struct listing *listing, const char *list, struct json_object *row)
{
    json_object_array_add(json_object_object_get(listing->answer, list), row);
    listing->turn_rows++;
    listing->rows++;
}

static void refuse_length(struct listing *listing)
{
    struct refusal refusal = { 0 };

    refuse(&refusal, -E2BIG, "AnswerTooLong", "i", "maximum", (int64_t)LISTING_ROWS_MAX);
    service_refuse(listing->work.call, CONTROL_INTERFACE, &refusal);
}

static bool turn(struct long_call *work)
{
    struct listing *listing = (struct listing *)work;
    bool all;

    listing->turn_rows = 0;
    all = listing->kind->fill(listing);
    if (!call_wants_more(work->call) && listing->rows > LISTING_ROWS_MAX) {
        refuse_length(listing);
        return false;
    }
    if (all) {
        call_reply(work->call, json_object_get(listing->answer));
    } else if (call_wants_more(work->call) && listing->rows > 0) {
        call_reply_continues(work->call, listing->answer);
        begin_answer(listing);
    }
    return !all;
}

static void listing_free(struct long_call *work)
{
    struct listing *listing = (struct listing *)work;

    if (listing->kind->done)
        listing->kind->done(listing);
    json_object_put(listing->answer);
    free(listing);
}

void listing_start(struct daemon *daemon, struct listing *listing, const struct listing_kind *kind, struct call *call)
{
    static const struct long_call_kind work = { turn, listing_free };

    listing->daemon = daemon;
    listing->kind = kind;
    begin_answer(listing);
    long_call_start(daemon->long_calls, &listing->work, &work, call);
}
