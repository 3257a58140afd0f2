/* SPDX-License-Identifier: MIT */
/* The texts of the exit codes, and complaints. */
#include "status.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const status_text[STATUS_MAX] = {
    [STATUS_DONE] = "done",
    [STATUS_USAGE] = "the command line is wrong; nothing was asked",
    [STATUS_CONNECTION] = "no conversation with dispatchd, or it broke off",
    [STATUS_REFUSED] = "dispatchd refused; nothing was changed",
    [STATUS_TIMEOUT] = "dispatchd did not answer in time; a change may have been made",
    [STATUS_LOCAL] = "a file or memory of this machine failed dispatchctl",
};

enum status complain(enum status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("dispatchctl: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

void *require(void *pointer)
{
    if (!pointer)
        exit(complain(STATUS_LOCAL, "out of memory"));
    return pointer;
}

void member_add(struct json_object *object, const char *name, struct json_object *value)
{
    if (json_object_object_add(object, name, require(value)) < 0)
        require(NULL);
}
