/* SPDX-License-Identifier: MIT */
/* The reply of Explain, for people. */
#ifndef CTL_PLAN_H
#define CTL_PLAN_H

#include "verb.h"

/* Why the shape, what each shape would cost, and what was sampled.  quiet: the shape alone. */
void plan_print(const struct verb *verb, struct json_object *reply, bool quiet);

#endif
