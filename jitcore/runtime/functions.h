/* SPDX-License-Identifier: MIT */
/*
 * The runtime's functions: all that programs in the image call, as the kernel's helpers of the same name do, one for
 * each kind of map.  This table is the one place: the assembler makes of it the offsets at the beginning of the blob
 * (runtime.S), the compiler finds a helper's code by it, the daemon and tests call the functions as they are.
 *
 * They take up to five arguments as eBPF passes them (R1 to R5 are the C calling convention's first five), and those
 * marked THREAD get the calling thread's words as the sixth.
 */
#ifndef JITCORE_RUNTIME_FUNCTIONS_H
#define JITCORE_RUNTIME_FUNCTIONS_H

/* Does it need the thread? */
#define PLAIN 0
#define THREAD 1

#define RUNTIME_FUNCTIONS(_)            \
    _(array_lookup, PLAIN)              \
    _(array_update, THREAD)             \
    _(array_delete, PLAIN)              \
    _(array_next, PLAIN)                \
    _(hash_lookup, PLAIN)               \
    _(hash_update, THREAD)              \
    _(hash_delete, THREAD)              \
    _(hash_next, PLAIN)                 \
    _(lru_lookup, PLAIN)                \
    _(lru_update, THREAD)               \
    _(lru_delete, THREAD)               \
    _(seat_array_lookup, THREAD)        \
    _(seat_array_update, THREAD)        \
    _(seat_array_next, THREAD)          \
    _(seat_hash_lookup, THREAD)         \
    _(seat_hash_update, THREAD)         \
    _(seat_hash_delete, THREAD)         \
    _(seat_hash_next, THREAD)           \
    _(trie_lookup, PLAIN)               \
    _(trie_update, THREAD)              \
    _(trie_delete, THREAD)              \
    _(trie_next, PLAIN)                 \
    _(queue_push, THREAD)               \
    _(queue_pop, THREAD)                \
    _(queue_peek, PLAIN)                \
    _(stack_push, THREAD)               \
    _(stack_pop, THREAD)                \
    _(stack_peek, PLAIN)                \
    _(ring_reserve, THREAD)             \
    _(ring_submit, PLAIN)               \
    _(ring_discard, PLAIN)              \
    _(ring_output, THREAD)              \
    _(ring_query, PLAIN)                \
    _(map_array_lookup, PLAIN)          \
    _(map_hash_lookup, PLAIN)           \
    _(text_compare, PLAIN)              \
    _(trace_print, THREAD)              \
    _(random_number, THREAD)            \
    _(process_thread, THREAD)

#ifndef __ASSEMBLER__
#define RUNTIME_ENUMERATOR(name, thread) RUNTIME_##name,
enum runtime_function { RUNTIME_NONE, RUNTIME_FUNCTIONS(RUNTIME_ENUMERATOR) RUNTIME_FUNCTIONS_END };
#endif

#endif
