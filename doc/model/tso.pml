/* SPDX-License-Identifier: MIT */
/*
 * tso.pml - x86-TSO store buffers of the readers; included by the other models.
 *
 * The includer defines READERS and TO_MEMORY(r, x), which carries out the store x of reader r.  A buffer empties in
 * order, at any moment.  It holds BUFFER stores, 1 or 2; one more waits.  Two are a leave and the next enter: while both
 * are pending, memory still shows the thread as active, so 1 loses no way to be overlooked.
 */
#ifndef BUFFER
#define BUFFER 2
#endif
byte pending[READERS];
byte first[READERS], second[READERS];

#define MAY_STORE(r) (pending[r] < BUFFER)

inline store(r, x)              /* needs MAY_STORE(r) */
{
    if
    :: pending[r] == 0 -> first[r] = x
    :: else -> second[r] = x
    fi;
    pending[r]++
}

inline retire_store(r)          /* needs pending[r] > 0 */
{
    TO_MEMORY(r, first[r]); first[r] = second[r]; second[r] = 0; pending[r]--
}

/* What a full fence, a locked instruction or the membarrier's interrupt does to this thread. */
inline empty_buffer(r) { d_step { do :: pending[r] > 0 -> retire_store(r) :: else -> break od } }

/* One reader after the other, with anything in between. */
inline membarrier()
{
    empty_buffer(0);
#if READERS == 2
    empty_buffer(1);
#endif
}

proctype StoreBuffers()
{
end:
    do
    :: atomic { pending[0] > 0 -> retire_store(0) }
#if READERS == 2
    :: atomic { pending[1] > 0 -> retire_store(1) }
#endif
    od
}
