/* SPDX-License-Identifier: MIT */
/* Placement: a translated program becomes one of the registry's kind, its code in the image, its data in the arena. */
#ifndef DAEMON_PLACEMENT_H
#define DAEMON_PLACEMENT_H

#include "daemon.h"
#include "refusal.h"
#include "translation.h"

/* A program as the translation says, placed nowhere yet.  The result is the caller's, with one reference. -ENOMEM. */
int placement_program(struct daemon *daemon, const char *name, const struct translation *translation,
                      struct json_object *settings, struct program **ret);

/*
 * Place it, in bytes that were never executed: a slot may lead to them at once.  Its data has its initial contents.
 * -ENOSPC and others with `refusal`: ImageFull, ArenaFull.  On error nothing changed.
 */
int placement(struct daemon *daemon, const struct translation *translation, struct program *program,
              struct refusal *refusal);

#endif
