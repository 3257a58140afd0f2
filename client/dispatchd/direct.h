/* SPDX-License-Identifier: MIT */
/*
 * Hooks without indirect branches.  Part of dispatchd.h, which includes it.
 *
 * Where DD_NO_INDIRECT is defined before that, a hook is called through a slot of code in its own module: a direct
 * call of a jump. The library replaces the slots' pages, which are a section of their own, by sealed copies that
 * jump to the current window.
 *
 *      slot    +0      jmp target, and int3; or, where the target is out of reach, mov r11, target
 *              +10     return thunk: jumps to r11.  It never changes: a thread may be interrupted in front of it
 *              +28     distance from here to the slots of slow paths
 *
 * Each module has two more slots, common to its hooks, for the slow paths of the guard (a new epoch, nested calls, a
 * thread's first call).  They lead to the library: first as the linker reaches functions of shared libraries, and from
 * the registration of the module's first hook on directly.
 *
 * All calls of such a hook are in the module that defines it.  The default of a static call is then a function
 * whose definition other modules cannot replace: static, or hidden where the module is a shared library; in C++ it
 * has C linkage and is not static.
 *
 * What is behind the call has none either: while such a worker is there, the tables it calls so are decision trees, and
 * its process reaches natives by return thunks.  Where the library calls the C library, it does so by the linker's
 * indirect jumps: in a thread's first hook, in its first after a fork, in one that finds a guard left by longjmp(),
 * when a native is first used, when the daemon takes back places of natives that nothing refers to, and for programs'
 * clocks and processor numbers.  So does your module where it calls the library by name: DD_GUARDED, dd_table_call().
 */
#ifndef DISPATCHD_DIRECT_H
#define DISPATCHD_DIRECT_H

#include <stdint.h>

#define DD_DIRECT_SIZE 32u      /* bytes of a slot */
#define DD_DIRECT_SLOW 28u      /* where in it the distance to the slots of slow paths is: 4 bytes, signed */

struct dd_direct {
    uint8_t code[DD_DIRECT_SIZE];
};

#ifdef DD_NO_INDIRECT

#if !defined(__x86_64__)
#error "DD_NO_INDIRECT: x86-64 only"
#endif

__asm__(".pushsection dd_direct, \"ax\", @progbits\n\t"
        ".balign 4096\n\t"
        ".popsection");

/* A slot from +5 to +28. */
#define DD_DIRECT_THUNK_            \
    ".fill 5, 1, 0xcc\n\t"          \
    "call 2f\n"                     \
    "1:\tpause\n\t"                \
    "lfence\n\t"                   \
    "jmp 1b\n"                      \
    "2:\tmov %r11, (%rsp)\n\t"     \
    "ret\n\t"                      \
    ".byte 0xcc\n\t"

#define DD_DIRECT_SLOW_(name, function)     \
    ".globl " name "\n\t"                  \
    ".hidden " name "\n\t"                 \
    ".type " name ", @function\n"          \
    name ":\n\t"                           \
    "jmp " function "@PLT\n\t"             \
    DD_DIRECT_THUNK_                        \
    ".fill 4, 1, 0xcc\n\t"

/* Once in a module, whichever of its files have it; .ifndef: link-time optimisation makes one file of several. */
__asm__(".ifndef dd_direct_enter_\n\t"
        ".pushsection dd_direct, \"axG\", @progbits, dd_direct_enter_, comdat\n\t"
        ".balign 64, 0xcc\n\t"
        DD_DIRECT_SLOW_("dd_direct_enter_", "dd_hook_enter_slowly")
        DD_DIRECT_SLOW_("dd_direct_leave_", "dd_hook_leave_slowly")
        ".popsection\n\t"
        ".endif");

__attribute__((visibility("hidden"))) struct dd_guard dd_direct_enter_(char **ret_base);
__attribute__((visibility("hidden"))) void dd_direct_leave_(struct dd_guard *guard);

#define DD_ENTER_SLOWLY_ dd_direct_enter_
#define DD_LEAVE_SLOWLY_ dd_direct_leave_
#define DD_SYMBOL_(function) #function

#define DD_DIRECT_DECLARE_(hook, type)                                                                  \
    DD_C_LINKAGE_ __attribute__((visibility("hidden"))) type hook##_direct_;                            \
    DD_C_LINKAGE_ __attribute__((visibility("hidden"))) type hook##_fallback_;

#define DD_DIRECT_(hook, function, symbol)                                      \
    DD_C_LINKAGE_ const struct dd_direct hook##_slot_ __asm__(#hook "_direct_") \
        __attribute__((visibility("hidden")));                                  \
    __asm__(".pushsection dd_direct, \"ax\", @progbits\n\t"                     \
            ".balign 32, 0xcc\n\t"                                              \
            ".globl " #hook "_direct_\n\t"                                      \
            ".hidden " #hook "_direct_\n\t"                                     \
            ".type " #hook "_direct_, @function\n"                              \
            #hook "_direct_:\n\t"                                               \
            ".byte 0xe9\n\t"                                                    \
            ".long " symbol " - . - 4\n\t"                                      \
            DD_DIRECT_THUNK_                                                    \
            ".long dd_direct_enter_ - .\n\t"                                   \
            ".popsection\n\t"                                                   \
            ".pushsection .text\n\t"                                            \
            ".globl " #hook "_fallback_\n\t"                                    \
            ".hidden " #hook "_fallback_\n\t"                                   \
            ".type " #hook "_fallback_, @function\n"                            \
            #hook "_fallback_:\n\t"                                             \
            "jmp " symbol "\n\t"                                                \
            ".popsection");

#define DD_DIRECT_SLOT_(hook) &hook##_slot_

#else

#define DD_ENTER_SLOWLY_ dd_hook_enter_slowly
#define DD_LEAVE_SLOWLY_ dd_hook_leave_slowly
#define DD_SYMBOL_(function)
#define DD_DIRECT_DECLARE_(hook, type)
#define DD_DIRECT_(hook, function, symbol)
#define DD_DIRECT_SLOT_(hook) 0

#endif

#ifdef __cplusplus
#define DD_C_LINKAGE_ extern "C"
#else
#define DD_C_LINKAGE_ extern
#endif

#endif
