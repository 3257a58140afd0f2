/* SPDX-License-Identifier: MIT */
#include "settle.h"

#include <stdlib.h>
#include <string.h>

#include "grace_driver.h"
#include "log.h"
#include "refresh.h"
#include "util.h"

/*
 * A grace period has passed.  It began after the last step; if a change came meanwhile, it may have begun before that
 * change, so it does not count and another one is waited for.  That is also what keeps a table that changes all the
 * time from being settled in vain.
 */
static void step(struct grace_waiter *waiter)
{
    struct table *table = CONTAINER_OF(waiter, struct table, settling);
    int r;

    table->is_settling = false;
    if (table->removed) {
        table_free(table);
        return;
    }
    if (table->changes == table->settled_changes) {
        r = entry_settle(table->entry);
        if (r < 0) {
            log_line(LOG_CRIT, "table \"%s\": its slot was overwritten (%s); restart builds the image anew",
                     table->name, strerror(-r));
            abort();
        }
    }
    refresh(table->daemon);
    settle(table->daemon, table);
}

void settle(struct daemon *daemon, struct table *table)
{
    if (table->is_settling || !entry_unsettled(table->entry))
        return;
    table->daemon = daemon;
    table->is_settling = true;
    table->settled_changes = table->changes;
    table->settling.over = step;
    grace_driver_wait(daemon->grace, &table->settling);
}

void settle_remove(struct table *table)
{
    table->removed = true;
    if (!table->is_settling)
        table_free(table);
}
