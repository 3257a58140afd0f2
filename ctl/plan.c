/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <json-c/json.h>
#include <stdio.h>

#include "print.h"
#include "status.h"
#include "util.h"

static const struct column cost_columns[] = {
    { "SHAPE", "shape", 0 },
    { "EXPECTED-NS", "expected", 0 },
    { 0 },
};

static const struct column frequency_columns[] = {
    { "KEYS", "keys", 0 },
    { "SAMPLES", "samples", 0 },
    { "SHARE", "share", 0 },
    { 0 },
};

/* A number with so many digits behind the point, and what it is of. */
static void set_number(struct json_object *row, const char *name, double value, int digits, const char *unit)
{
    char text[32];

    snprintf(text, sizeof(text), "%.*f%s", digits, value, unit);
    member_add(row, name, json_object_new_string(text));
}

static double number_of(struct json_object *object, const char *name)
{
    return json_object_get_double(json_object_object_get(object, name));
}

static void show_rows(struct json_object *rows, const struct column *columns)
{
    if (json_object_array_length(rows) == 0)
        return;
    putchar('\n');
    print_table(columns, rows);
}

static void show_costs(struct json_object *costs)
{
    for (size_t i = 0; i < json_object_array_length(costs); i++) {
        struct json_object *row = json_object_array_get_idx(costs, i);

        set_number(row, "expected", number_of(row, "expected_ns"), 2, "");
    }
    show_rows(costs, cost_columns);
}

static void show_frequencies(struct json_object *frequencies, double sampled)
{
    for (size_t i = 0; sampled > 0 && i < json_object_array_length(frequencies); i++) {
        struct json_object *row = json_object_array_get_idx(frequencies, i);

        set_number(row, "share", 100 * number_of(row, "samples") / sampled, 1, " %");
    }
    show_rows(frequencies, frequency_columns);
}

static void show_sample(struct json_object *reply)
{
    double sampled = number_of(reply, "sampled");

    if (sampled == 0) {
        puts("sampled keys  none yet");
        return;
    }
    printf("sampled keys  %.0f: as hard to predict as %.1f that come equally often; %.1f %% have no entry\n", sampled,
           number_of(reply, "distinct"), 100 * number_of(reply, "misses"));
    printf("expected      %.2f ns a call, without what the program takes\n", number_of(reply, "expected_ns"));
    if (json_object_object_get(reply, "measured_ns"))
        printf("measured      %.2f ns\n", number_of(reply, "measured_ns"));
}

void plan_print(const struct verb *verb, struct json_object *reply, bool quiet)
{
    static const struct {
        const char *title, *member;
    } fact[] = {
        { "shape", "shape" }, { "because", "reason" }, { "hot keys", "hot_keys" }, { "policy", "policy" },
    };

    (void)verb;
    for (size_t i = 0; i < ARRAY_LENGTH(fact); i++) {
        _cleanup_free_ char *text = value_text(json_object_object_get(reply, fact[i].member));

        if (quiet) {
            puts(text);
            return;
        }
        printf("%-12s  %s\n", fact[i].title, text);
    }
    show_sample(reply);
    show_costs(json_object_object_get(reply, "costs"));
    show_frequencies(json_object_object_get(reply, "frequencies"), number_of(reply, "sampled"));
}
