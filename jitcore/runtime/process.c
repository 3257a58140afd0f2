/* SPDX-License-Identifier: MIT */
#include "process.h"

uint64_t process_thread(uint64_t unused_1, uint64_t unused_2, uint64_t unused_3, uint64_t unused_4, uint64_t unused_5,
                        struct thread *thread)
{
    return (uint64_t)thread->process << 32 | thread->id;
}
