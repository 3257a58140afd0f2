/* SPDX-License-Identifier: MIT */
/* The description of struct packet, as a hook declares it. */
#ifndef TESTS_PROGRAMS_PACKET_CONTEXT_H
#define TESTS_PROGRAMS_PACKET_CONTEXT_H

#include "context.h"

/* The caller's: context_free().  -ENOMEM. */
int packet_context(struct context **ret);

#endif
