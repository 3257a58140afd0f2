/* SPDX-License-Identifier: MIT */
/* Refused: the section says packet, the parameter is another struct. */
#include "packet.h"

struct request {
    __u32 method;
};

PROGRAM(method)(struct request *request, __u32 key)
{
    return request->method;
}
