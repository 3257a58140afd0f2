/* SPDX-License-Identifier: MIT */
#include "grace_driver.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "util.h"

#define DELAY_FIRST 50          /* microseconds: about one grace period with busy workers */
#define DELAY_LAST 5000         /* while a reader is stopped inside a guard */

struct grace_driver {
    struct grace *grace;
    struct event *timer;
    long delay;                 /* microseconds, of the timer that is pending */
};

static void arm(struct grace_driver *driver, long delay)
{
    struct timeval wait = { 0, delay };

    driver->delay = delay;
    evtimer_add(driver->timer, &wait);
}

static void on_timer(evutil_socket_t descriptor, short events, void *userdata)
{
    struct grace_driver *driver = userdata;
    long next = 2 * driver->delay;
    uint64_t completed = grace_completed(driver->grace);

    (void)descriptor;
    (void)events;
    if (!grace_poll(driver->grace))
        return;
    if (grace_completed(driver->grace) != completed || next == 0)
        next = DELAY_FIRST;
    arm(driver, next < DELAY_LAST ? next : DELAY_LAST);
}

int grace_driver_new(struct event_base *base, struct grace *grace, struct grace_driver **ret)
{
    struct grace_driver *driver = calloc(1, sizeof(*driver));

    if (!driver)
        return -ENOMEM;
    driver->grace = grace;
    driver->timer = evtimer_new(base, on_timer, driver);
    if (!driver->timer) {
        grace_driver_free(driver);
        return -ENOMEM;
    }
    *ret = driver;
    return 0;
}

struct grace_driver *grace_driver_free(struct grace_driver *driver)
{
    if (!driver)
        return NULL;
    if (driver->timer)
        event_free(driver->timer);
    free(driver);
    return NULL;
}

void grace_driver_wait(struct grace_driver *driver, struct grace_waiter *waiter)
{
    grace_wait(driver->grace, waiter);
    if (!evtimer_pending(driver->timer, NULL))
        arm(driver, 0);
}

struct grace *grace_driver_grace(struct grace_driver *driver)
{
    return driver->grace;
}
