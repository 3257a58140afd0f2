/* SPDX-License-Identifier: MIT */
/* Replies about maps, for people. */
#ifndef CTL_MAP_H
#define CTL_MAP_H

#include "verb.h"

/* quiet: of a value, the value alone; of elements, keys alone. */
void map_print(const struct verb *verb, struct json_object *reply, bool quiet);         /* ShowMap, CreateMap */
void map_print_list(const struct verb *verb, struct json_object *reply, bool quiet);
void map_print_element(const struct verb *verb, struct json_object *reply, bool quiet);
void map_print_elements(const struct verb *verb, struct json_object *reply, bool quiet);
void map_print_removed(const struct verb *verb, struct json_object *reply, bool quiet);

/* One answer of a stream: records, or lines.  What was lost since the answer before is said on standard error. */
void map_print_records(const struct verb *verb, struct json_object *reply, bool quiet);

#endif
