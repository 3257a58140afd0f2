/* SPDX-License-Identifier: MIT */
/* What is still to be looked at. */

#include "worklist.h"

#include <errno.h>
#include <stdlib.h>

int worklist_init(struct worklist *worklist, uint32_t count)
{
    *worklist = (struct worklist){
        .item = calloc(count, sizeof(*worklist->item)),
        .waiting = calloc(count, sizeof(*worklist->waiting)),
    };
    if (worklist->item && worklist->waiting)
        return 0;
    worklist_clear(worklist);
    return -ENOMEM;
}

void worklist_clear(struct worklist *worklist)
{
    free(worklist->item);
    free(worklist->waiting);
    *worklist = (struct worklist){ 0 };
}

void worklist_put(struct worklist *worklist, uint32_t number)
{
    if (worklist->waiting[number])
        return;
    worklist->waiting[number] = true;
    worklist->item[worklist->items++] = number;
}

bool worklist_take(struct worklist *worklist, uint32_t *ret)
{
    if (worklist->items == 0)
        return false;
    *ret = worklist->item[--worklist->items];
    worklist->waiting[*ret] = false;
    return true;
}
