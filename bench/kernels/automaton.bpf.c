/* SPDX-License-Identifier: MIT */
/* The text through a table of states: lines, names and values of headers are counted. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define TEXT_MAX 512
#define CLASSES 8               /* of characters; 5 are in use */

enum state { BEGIN, NAME, SPACE, VALUE, RETURN, STATES = 8 };

static const __u8 next[STATES][CLASSES] = {
    /*           other  colon  space  return newline */
    [BEGIN]  = { NAME,  NAME,  NAME,  RETURN, BEGIN },
    [NAME]   = { NAME,  SPACE, NAME,  RETURN, BEGIN },
    [SPACE]  = { VALUE, VALUE, SPACE, RETURN, BEGIN },
    [VALUE]  = { VALUE, VALUE, VALUE, RETURN, BEGIN },
    [RETURN] = { VALUE, VALUE, VALUE, RETURN, BEGIN },
};

static __always_inline __u32 class_of(__u8 byte)
{
    return byte == ':' ? 1 : byte == ' ' ? 2 : byte == '\r' ? 3 : byte == '\n' ? 4 : 0;
}

SEC("table/kernel")
__u32 automaton(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 state = BEGIN, lines = 0, values = 0;

    for (int i = 0; i < TEXT_MAX && at + 1 <= end; i++, at++) {
        state = next[state & (STATES - 1)][class_of(*at)];
        lines += state == BEGIN;
        values += state == VALUE;
    }
    return lines << 16 | values;
}
