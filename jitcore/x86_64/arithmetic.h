/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic of eBPF (RFC 9669 section 4) in x86-64, and where eBPF's registers live.
 *
 * R1 to R5 are System V's first argument registers, so a dispatcher jumps straight to a program; R6
 * to R9 are registers that the convention preserves, as eBPF's does.  RSP is the stack pointer, R12
 * is program.c's, and R9 to R11 of x86-64 are free at each instruction for what one translation
 * needs in between.
 */
#ifndef JITCORE_X86_64_ARITHMETIC_H
#define JITCORE_X86_64_ARITHMETIC_H

#include "../instruction.h"
#include "encode.h"

static inline enum x86_register x86_64_register(unsigned bpf)
{
    static const uint8_t registers[INSTRUCTION_REGISTERS] = {
        RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP,
    };

    return (enum x86_register)registers[bpf];
}

/* One instruction of class ALU or ALU64. */
void x86_64_emit_arithmetic(struct emitter *emitter, struct instruction instruction);

#endif
