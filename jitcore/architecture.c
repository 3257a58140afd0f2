/* SPDX-License-Identifier: MIT */
/* The back ends, and which of them this host runs. */

#include "architecture.h"

#include <string.h>

#include "x86_64/x86_64.h"

static const struct architecture *const architectures[] = { &architecture_x86_64, &architecture_x86_64_v3 };

const struct architecture *architecture_find(const char *name)
{
    for (size_t i = 0; i < sizeof(architectures) / sizeof(architectures[0]); i++)
        if (strcmp(architectures[i]->name, name) == 0)
            return architectures[i];
    return NULL;
}

const struct architecture *architecture_native(void)
{
#if defined(__x86_64__)
    return x86_64_v3_supported() ? &architecture_x86_64_v3 : &architecture_x86_64;
#else
    return NULL;
#endif
}
