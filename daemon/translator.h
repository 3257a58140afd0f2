/* SPDX-License-Identifier: MIT */
/*
 * The translators: what the daemon's executable does when it is executed again, in a sandbox, for one request on
 * descriptor 0.
 *
 *      read        an object and its settings -> one program in canonical form, and the data beside it
 *      compile     canonical form and a context -> proven, and machine code
 *      measure     a table's plan and keys -> what a call costs; outside the sandbox: measurer.h
 *
 * Requests and answers are made of wire.h, in the order in which translator.c puts and translation.c reads them, and
 * the other way round.  An answer begins with its outcome: 0, or an errno and what there is to say about it.
 */
#ifndef DAEMON_TRANSLATOR_H
#define DAEMON_TRANSLATOR_H

#include <stddef.h>
#include <stdint.h>

/* The hidden option, followed by a stage and by the seconds that it may take. */
#define TRANSLATOR_OPTION "--translator"
#define TRANSLATOR_READ "read"
#define TRANSLATOR_COMPILE "compile"
#define TRANSLATOR_MEASURE "measure"

/* The rule of a failure to enter the sandbox. */
#define TRANSLATOR_SANDBOX "sandbox"

/* What an answer says of a region: nothing; its size and contents; its size, name, definitions and types. */
enum translator_region { TRANSLATOR_REGION_NONE, TRANSLATOR_REGION_DATA, TRANSLATOR_REGION_MAP };

#define TRANSLATOR_TEXT_MAX 8192        /* bytes of one text of a failure */
#define TRANSLATOR_LOG_MAX ((size_t)1 << 20)    /* bytes; what came before is left out */

/* Serve.  Never returns. */
_Noreturn void translator_main(int argc, char **argv);

#endif
