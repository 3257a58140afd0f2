/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int log_maximum = LOG_INFO;
static bool log_prefix;

void log_open(int maximum_priority)
{
    log_maximum = maximum_priority;
    log_prefix = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(int priority, const char *format, ...)
{
    int saved = errno;
    char text[2048];
    va_list arguments;

    if (priority > log_maximum)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (log_prefix)
        fprintf(stderr, "<%d>%s\n", priority, text);
    else
        fprintf(stderr, "dispatchd: %s\n", text);
    errno = saved;
}
