/* SPDX-License-Identifier: MIT */
/*
 * What a port (the key) is used for, by binary search in a sorted table of constants: the service's number, 0 if
 * unknown; status says how many entries were looked at.
 *
 * expect: key=20 -> 1 status=6
 * expect: key=51820 -> 15 status=5
 * expect: key=443 -> 7 status=5
 * expect: key=80 -> 7 status=2
 * expect: key=8080 -> 7 status=5
 * expect: key=0 -> 0 status=6
 * expect: key=19 -> 0 status=6
 * expect: key=65536 -> 0 status=5
 * expect: key=65535 -> 0 status=5
 * expect: key=21 -> 1 status=5
 * expect: key=24 -> 0 status=5
 * expect: key=4294967295 -> 0 status=5
 * expect: key=6379 -> 18 status=4
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

static const struct service {
    __u16 port;
    __u16 number;
} services[] = {
    { 20, 1 },   { 21, 1 },   { 22, 2 },   { 23, 3 },   { 25, 4 },    { 53, 5 },    { 67, 6 },    { 68, 6 },
    { 80, 7 },   { 110, 8 },  { 123, 9 },  { 143, 10 }, { 161, 11 },  { 179, 12 },  { 389, 13 },  { 443, 7 },
    { 465, 4 },  { 514, 14 }, { 587, 4 },  { 636, 13 }, { 853, 5 },   { 993, 10 },  { 995, 8 },   { 1194, 15 },
    { 3306, 16 }, { 5432, 17 }, { 6379, 18 }, { 8080, 7 }, { 8443, 7 }, { 9092, 19 }, { 11211, 20 }, { 51820, 15 },
};

#define COUNT (sizeof(services) / sizeof(services[0]))

SEC("table/packet")
__u32 ports(struct packet *packet, __u32 key)
{
    __u32 low = 0, high = COUNT, steps = 0;

    for (int i = 0; i < 6 && low < high; i++) {
        __u32 middle = (low + high) / 2;

        if (middle >= COUNT)
            return 0;
        steps++;
        if (services[middle].port == key) {
            packet->status = steps;
            return services[middle].number;
        }
        if (services[middle].port < key)
            low = middle + 1;
        else
            high = middle;
    }
    packet->status = steps;
    return 0;
}
