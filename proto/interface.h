/* SPDX-License-Identifier: MIT */
/*
 * An interface: the tables that a .varlink file becomes.
 *
 * The files are embedded in the program and parsed once at start-up.  From the same tables come the validation of
 * what peers send (parameters.h), the dispatching and introspection (server.h) and the tests of each bad parameter,
 * so none of them can differ from the file that people read.
 *
 *      tables      what a file declares
 *      parsing     text to tables
 *      looking up  by name
 *
 * An interface is never changed after it was made: any number of threads may use it.  No function is safe in a
 * signal handler.
 * Language: https://varlink.org/Interface-Definition
 */
#ifndef DISPATCHD_INTERFACE_H
#define DISPATCHD_INTERFACE_H

/* ---- tables -------------------------------------------------------------------------------------------- */

enum interface_kind {
    INTERFACE_BOOL,
    INTERFACE_INT,          /* 64 bits, signed */
    INTERFACE_FLOAT,        /* any JSON number that is finite */
    INTERFACE_STRING,
    INTERFACE_OBJECT,       /* any JSON object, not looked into */
    INTERFACE_ENUM,         /* (a, b): a string that is one of values */
    INTERFACE_STRUCT,       /* (a: int, b: string): an object with exactly these fields */
    INTERFACE_ARRAY,        /* []T: element */
    INTERFACE_MAP,          /* [string]T: element */
    INTERFACE_OPTIONAL,     /* ?T: element, null, or absent */
    INTERFACE_NAMED,        /* T: element is the declared type's */
};

struct interface_type {
    enum interface_kind kind;
    const struct interface_type *element;   /* array, map, optional, named; else NULL */
    const struct interface_field *fields;   /* struct: the first; NULL if it has none */
    const struct interface_value *values;   /* enum: the first */
    const char *name;                       /* named: of the declared type */
};

/* Lists, in the order of the file. */
struct interface_field {
    const struct interface_field *next;
    const char *name;
    const struct interface_type *type;
};

struct interface_value {
    const struct interface_value *next;
    const char *name;
};

/* A type, a method or an error.  An error has input only; a type has type only. */
struct interface_member {
    const struct interface_member *next;
    const char *name;
    const struct interface_type *type;      /* struct or enum */
    const struct interface_type *input;     /* struct: parameters of a method or an error */
    const struct interface_type *output;    /* struct: what a method returns */
};

struct interface {
    const char *name;
    const char *text;                       /* the file, verbatim */
    const struct interface_member *types;
    const struct interface_member *methods;
    const struct interface_member *errors;
};

/* The embedded files. */
extern const char interface_text_control[];     /* io.dispatchd.Control */
extern const char interface_text_worker[];      /* io.dispatchd.Worker */
extern const char interface_text_service[];     /* org.varlink.service */

/* ---- parsing ------------------------------------------------------------------------------------------- */

/* Where and why a text is not an interface definition. */
struct interface_mistake {
    unsigned line;          /* from 1 */
    const char *reason;     /* static text */
};

/*
 * Parse a file.  -EBADMSG: it is not an interface definition, *reterr (may be NULL) says why; -ENOMEM.
 * The caller frees *ret.  Texts of any content are safe: nesting is bounded at 16.
 */
int interface_parse(const char *text, struct interface **ret, struct interface_mistake *reterr);

/* NULL is fine; returns NULL. */
struct interface *interface_free(struct interface *interface);

/* ---- looking up ---------------------------------------------------------------------------------------- */

/* By name ("Attach", "wait", "live"); NULL if there is none. */
const struct interface_member *interface_method(const struct interface *interface, const char *name);
const struct interface_member *interface_error(const struct interface *interface, const char *name);
const struct interface_field *interface_field(const struct interface_type *structure, const char *name);
const struct interface_value *interface_value(const struct interface_type *enumeration, const char *name);

/* By fully qualified name ("io.dispatchd.Control.Attach"); NULL also if the name is of another interface. */
const struct interface_member *interface_qualified_method(const struct interface *interface, const char *name);
const struct interface_member *interface_qualified_error(const struct interface *interface, const char *name);

#endif
