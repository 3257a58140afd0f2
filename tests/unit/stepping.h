/* SPDX-License-Identifier: MIT */
/*
 * A process that is looked at between any two of its instructions.  What its shared memory holds then is what is left
 * if it is killed there: so one run says what every kill leaves.
 */
#ifndef TESTS_UNIT_STEPPING_H
#define TESTS_UNIT_STEPPING_H

#include <stdbool.h>

/* Can processes be stepped here?  Not where NO_STEPPING is set (in valgrind), and not where ptrace is forbidden. */
bool stepping_works(void);

/*
 * Call act(argument) in a child process, one instruction at a time, and look(argument) here before each of them and
 * after the last.  Returns how many there were; fails the test when the child ends in any other way.
 */
unsigned stepping_run(void (*act)(void *argument), void (*look)(void *argument), void *argument);

/*
 * A reader that is overtaken: for each of the instructions of read(argument) (if they are hundreds; else for some of
 * them), in a child process, meddle(argument) here once before it; begin(argument) comes before each such run, and
 * check(argument) after it.  What the child shall tell, it leaves in shared memory.  Returns how many runs there were.
 */
struct overtaking {
    void (*begin)(void *argument);
    void (*read)(void *argument);
    void (*meddle)(void *argument);
    void (*check)(void *argument);
    void *argument;
};

unsigned stepping_overtake(const struct overtaking *overtaking);

#endif
