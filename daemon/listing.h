/* SPDX-License-Identifier: MIT */
/*
 * Answers that are lists, perhaps long ones: their rows are made in turns (long_call.h), LISTING_TURN_ROWS a turn at most.  A
 * client that asks for `more` gets the rows of each turn as an answer.  Any other gets one answer, of LISTING_ROWS_MAX rows at most
 * (writing it is one turn, too): beyond that the error AnswerTooLong.
 *
 * What is listed may change between turns.  Each kind goes through it in an order in which nothing moves (ids, names), and
 * remembers where it was by value: so what is there all the time is shown exactly once, and what comes or goes meanwhile
 * perhaps.  A row is of the moment when it is made.
 */
#ifndef DAEMON_LISTING_H
#define DAEMON_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "long_call.h"

struct daemon;
struct json_object;
struct listing;

#define LISTING_TURN_ROWS 256
#define LISTING_ROWS_MAX 1024           /* so that one answer is written in some ms */
#define LISTING_LISTS_MAX 4

struct listing_kind {
    const char *list[LISTING_LISTS_MAX + 1];            /* members of each answer; ends with NULL */
    /* Add rows while listing_goes_on().  true: those were all. */
    bool (*fill)(struct listing *listing);
    void (*add_members)(struct listing *listing);       /* to each answer, beside the lists; NULL: there are none */
    void (*done)(struct listing *listing);              /* give back what it holds besides; NULL: nothing */
};

/* The first member of what a kind needs besides. */
struct listing {
    struct long_call work;
    struct daemon *daemon;
    const struct listing_kind *kind;
    struct json_object *answer;         /* that is being made */
    size_t rows;                        /* of it */
    size_t turn_rows;
};

/* `listing` is from malloc(3), and taken over; what is in front of the kind's own members is set here. */
void listing_start(struct daemon *daemon, struct listing *listing, const struct listing_kind *kind, struct call *call);

bool listing_goes_on(const struct listing *listing);

/* Takes the row over. */
void listing_add(struct listing *listing, const char *list, struct json_object *row);

#endif
