/* SPDX-License-Identifier: MIT */
/* The context of the test programs, for them and for the test that runs them. */
#ifndef TESTS_PROGRAMS_PACKET_H
#define TESTS_PROGRAMS_PACKET_H

#include <linux/types.h>

struct packet {
    const unsigned char *data;          /* the packet */
    const unsigned char *data_end;
    __u64 offset;                       /* read */
    __u32 size;                         /* read */
    __u32 status;                       /* read and write */
    __u64 value;                        /* read and write */
    __u16 small;                        /* read and write */
    __u8 tiny;                          /* read and write */
    __u8 undeclared;
};

#ifdef __bpf__
#define PROGRAM(name) __attribute__((section("table/packet"), used)) __u32 name
#else                                   /* compiled for the host, to compare with */
#define PROGRAM(name) static __u32 name
#endif

#define NOINLINE __attribute__((noinline))

#endif
