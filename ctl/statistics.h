/* SPDX-License-Identifier: MIT */
/* The reply of GetStatistics, for people. */
#ifndef CTL_STATISTICS_H
#define CTL_STATISTICS_H

#include "verb.h"

/* Tables, links and programs, then the histograms of links that have one.  quiet: links and their runs alone. */
void statistics_print(const struct verb *verb, struct json_object *reply, bool quiet);

#endif
