/* SPDX-License-Identifier: MIT */
/*
 * In a file of its own, so that no caller sees what a target does.
 * Targets are numbered in octal: native_00 to native_77.
 */
#include "native.h"

#define EIGHT_OF_EIGHT(macro) EIGHT(macro, 0) EIGHT(macro, 1) EIGHT(macro, 2) EIGHT(macro, 3) \
    EIGHT(macro, 4) EIGHT(macro, 5) EIGHT(macro, 6) EIGHT(macro, 7)
#define EIGHT(macro, high) macro(high, 0) macro(high, 1) macro(high, 2) macro(high, 3) \
    macro(high, 4) macro(high, 5) macro(high, 6) macro(high, 7)

#define DEFINE(high, low)                                                \
    uint32_t native_##high##low(void *context, uint32_t key);            \
    uint32_t native_##high##low(void *context, uint32_t key)             \
    {                                                                    \
        return TARGET_VERDICT(0##high##low);                             \
    }
EIGHT_OF_EIGHT(DEFINE)

#define NAME(high, low) native_##high##low,
dd_entry *const native_targets[TARGETS] = { EIGHT_OF_EIGHT(NAME) };

/*
 * The call pushes a return address that nobody ever reaches architecturally: it is overwritten with the target before
 * the return that jumps there.  A processor that speculates on the return lands in the loop.
 */
__asm__(".pushsection .text\n"
        ".p2align 6\n"
        ".globl native_retpoline\n"
        ".hidden native_retpoline\n"
        ".type native_retpoline, @function\n"
        "native_retpoline:\n"
        "   call 2f\n"
        "1: pause\n"
        "   lfence\n"
        "   jmp 1b\n"
        "   .p2align 4\n"
        "2: mov %rdx, (%rsp)\n"
        "   ret\n"
        ".size native_retpoline, . - native_retpoline\n"
        ".popsection\n");
