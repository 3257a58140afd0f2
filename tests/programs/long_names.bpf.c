/* SPDX-License-Identifier: MIT */
/* Refused: two programs whose names are equal once they are cut off. */
#include "packet.h"

PROGRAM(a_name_that_has_sixty_three_bytes_before_it_says_what_it_is_for_one)(struct packet *packet, __u32 key)
{
    return 1;
}

PROGRAM(a_name_that_has_sixty_three_bytes_before_it_says_what_it_is_for_two)(struct packet *packet, __u32 key)
{
    return 2;
}
