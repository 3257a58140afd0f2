/* SPDX-License-Identifier: MIT */
/* What bench/maps and its programs agree on. */
#ifndef BENCH_MAPS_H
#define BENCH_MAPS_H

#define BATCH 256               /* keys that one run of a program is given, at most */

/* Of the arrays: the place of a key, which is a number times an odd constant. */
#define ARRAY_ENTRIES 8192
#define ARRAY_INDEX(key) ((unsigned)((key) >> 51))

#endif
