/* SPDX-License-Identifier: MIT */
#include "explanation.h"

#include <json-c/json.h>
#include <stdlib.h>

#include "call.h"
#include "measurement.h"
#include "planning.h"

/* A client that waits until its table is measured. */
struct explanation {
    struct call *call;
    struct json_object *reply;
};

void explanation_forget(void *userdata)
{
    struct explanation *explanation = userdata;

    json_object_put(explanation->reply);
    call_put(explanation->call);
    free(explanation);
}

/* nanoseconds below 0: it could not be measured. */
static void on_measured(struct daemon *daemon, void *userdata, double nanoseconds)
{
    struct explanation *explanation = userdata;

    (void)daemon;
    if (nanoseconds >= 0)
        json_object_object_add(explanation->reply, "measured_ns", json_object_new_double(nanoseconds));
    call_reply(explanation->call, json_object_get(explanation->reply));
    explanation_forget(explanation);
}

void explanation_reply(struct daemon *daemon, struct call *call, const struct table *table)
{
    struct explanation *explanation = malloc(sizeof(*explanation));
    struct json_object *reply = planning_view(daemon, table);

    if (!explanation) {
        call_reply(call, reply);
        return;
    }
    *explanation = (struct explanation){ call_get(call), reply };
    if (measurement_start(daemon, table, on_measured, explanation) < 0)
        on_measured(daemon, explanation, -1);
}
