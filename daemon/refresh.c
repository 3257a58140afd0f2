/* SPDX-License-Identifier: MIT */
#include "refresh.h"

#include "change.h"
#include "grace_driver.h"
#include "util.h"

static void over(struct grace_waiter *waiter)
{
    struct daemon *daemon = CONTAINER_OF(waiter, struct daemon, refreshing);

    image_refresh_end(daemon->image);
    daemon->is_refreshing = false;
    changes_rebuild(daemon);
    refresh(daemon);                    /* for what was released meanwhile */
}

void refresh(struct daemon *daemon)
{
    if (daemon->is_refreshing || !image_refresh_begin(daemon->image))
        return;
    daemon->is_refreshing = true;
    daemon->refreshing.over = over;
    grace_driver_wait(daemon->grace, &daemon->refreshing);
}
