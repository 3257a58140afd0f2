/* SPDX-License-Identifier: MIT */
/*
 * Replies for people: values, tables, lists of facts.  Names come from workers, whom nobody trusts, so control
 * characters never reach the terminal.
 */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H

struct json_object;

struct column {
    const char *title;
    const char *member;     /* of each row */
    unsigned cut;           /* show at most so many characters; 0: all */
};

/*
 * A value as one word or sentence: yes or no, lists joined by commas, "-" for nothing, control characters as '?'.
 * NULL is a value (nothing).  The caller frees it.
 */
char *value_text(struct json_object *value);

/* Rows (an array of objects) under titles, aligned; numbers to the right.  `columns` ends with a NULL title. */
void print_table(const struct column *columns, struct json_object *rows);

/* The first column alone, one a line, without a title. */
void print_ids(const struct column *columns, struct json_object *rows);

/* Members of an object, one a line. */
void print_facts(struct json_object *object);

/* The object as JSON, on one line. */
void print_json(struct json_object *object);

#endif
