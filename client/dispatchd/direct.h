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
 *
 * All calls of such a hook are in the module that defines it.  The default of a static call is then a function
 * whose definition other modules cannot replace: static, or hidden where the module is a shared library; in C++ it
 * has C linkage and is not static.
 *
 * What is behind the call has none either: while such a worker is there, the tables it calls so are decision trees, and
 * its process reaches natives by return thunks.  The library's own slow paths (a thread's first call, nested calls) are
 * reached as your linker reaches functions of shared libraries.
 */
#ifndef DISPATCHD_DIRECT_H
#define DISPATCHD_DIRECT_H

#include <stdint.h>

#define DD_DIRECT_SIZE 32u      /* bytes of a slot */

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
            ".fill 5, 1, 0xcc\n\t"                                              \
            "call 2f\n"                                                         \
            "1:\tpause\n\t"                                                     \
            "lfence\n\t"                                                        \
            "jmp 1b\n"                                                          \
            "2:\tmov %r11, (%rsp)\n\t"                                          \
            "ret\n\t"                                                           \
            ".balign 32, 0xcc\n\t"                                              \
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
