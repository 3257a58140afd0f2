/* SPDX-License-Identifier: MIT */
/*
 * Placement: a translated program becomes one of the registry's kind, its code in the image, its data in the arena,
 * with its maps.
 */
#ifndef DAEMON_PLACEMENT_H
#define DAEMON_PLACEMENT_H

#include "daemon.h"
#include "refusal.h"
#include "translation.h"

/*
 * A program as the translation says, placed nowhere yet.  The result is the caller's, with one reference. -ENOMEM.
 * uid: who pays for its data and for maps that it brings.
 */
int placement_program(struct daemon *daemon, const char *name, const struct translation *translation,
                      struct json_object *settings, uid_t uid, struct program **ret);

/*
 * Give it its maps: those that there are, and those that are missing, which are in the registry afterwards, placed
 * nowhere yet (bit i of *ret_created: program->map[i]).  Errors of shared_map_want(); then nothing has changed.
 */
int placement_maps(struct daemon *daemon, const struct translation *translation, struct program *program,
                   uint64_t *ret_created, struct refusal *refusal);

/* Take those that it created out of the registry again. */
void placement_withdraw(struct program *program, uint64_t created);

/*
 * Place it, in bytes that were never executed: a slot may lead to them at once.  Its data has its initial contents, its
 * maps have what they have.  -ENOSPC and others with `refusal`: ImageFull, ArenaFull, QuotaExceeded.  On error it has
 * no place, and maps may have got theirs.
 */
int placement(struct daemon *daemon, const struct translation *translation, struct program *program,
              struct refusal *refusal);

#endif
