/* SPDX-License-Identifier: MIT */
/* The daemon's named errors as sentences for people. */
#ifndef CTL_REFUSAL_H
#define CTL_REFUSAL_H

struct json_object;

/* One sentence that names the object, the reason and the next step.  An error that is not known here is shown with its
 * name and parameters.  The caller frees it. */
char *refusal_text(const char *error, struct json_object *parameters);

#endif
