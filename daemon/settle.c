/* SPDX-License-Identifier: MIT */
#include "settle.h"

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

    table->is_settling = false;
    if (table->removed) {
        table_free(table);
        return;
    }
    if (table->changes == table->settled_changes) {
        if (entry_settle(table->entry) < 0)
            settle_overwritten(table);
    }
    refresh(table->daemon);
    settle(table->daemon, table);
}

void settle(struct daemon *daemon, struct table *table)
{
    if (table->is_settling || table->overwritten || !entry_unsettled(table->entry))
        return;
    table->daemon = daemon;
    table->is_settling = true;
    table->settled_changes = table->changes;
    table->settling.over = step;
    grace_driver_wait(daemon->grace, &table->settling);
}

void settle_overwritten(struct table *table)
{
    if (!table->overwritten)
        log_line(LOG_CRIT, "table \"%s\": its slot was overwritten; it is not changed any more until a restart, which builds"
                 " the image anew", table->name);
    table->overwritten = true;
}

void settle_remove(struct table *table)
{
    table->removed = true;
    if (!table->is_settling)
        table_free(table);
}
