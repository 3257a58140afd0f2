/* SPDX-License-Identifier: MIT */
/* See sockets.h. */
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

#define SYSTEM_SOCKET "/run/dispatchd/worker"
#define PATH_BYTES 4096

/* ---- life ---------------------------------------------------------------------------------------------- */

static int add(struct sockets *sockets, unsigned n, const char *path)
{
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return -ENAMETOOLONG;
    sockets->path[n] = strdup(path);
    return sockets->path[n] ? 0 : -ENOMEM;
}

static int add_usual(struct sockets *sockets)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    char user[PATH_BYTES];
    unsigned n = 0;
    int r = 0;

    if (runtime && snprintf(user, sizeof user, "%s/dispatchd/worker", runtime) < (int)sizeof user)
        r = add(sockets, n++, user);
    return r < 0 ? r : add(sockets, n, SYSTEM_SOCKET);
}

int sockets_find(const char *given, struct sockets *ret)
{
    struct sockets found = { { NULL }, 0 };
    int r;

    if (!given)
        given = secure_getenv("DISPATCHD_WORKER_SOCKET");
    r = given ? add(&found, 0, given) : add_usual(&found);
    if (r < 0)
        sockets_free(&found);
    else
        *ret = found;
    return r;
}

void sockets_free(struct sockets *sockets)
{
    for (unsigned i = 0; i < SOCKETS_MAX; i++)
        free(TAKE_POINTER(sockets->path[i]));
}

void sockets_stay(struct sockets *sockets)
{
    char *joined = TAKE_POINTER(sockets->path[sockets->connected]);

    sockets_free(sockets);
    sockets->path[0] = joined;
    sockets->connected = 0;
}

/* ---- connecting ---------------------------------------------------------------------------------------- */

/* A complaint behind those that are there. */
static void complain(char *complaint, size_t size, const char *path, const char *reason)
{
    size_t length = strlen(complaint);

    snprintf(complaint + length, size - length, "%s%s: %s", length ? "; " : "", path, reason);
}

/* Compared at each connection: a process may have changed its user. */
static int check_listener(const struct conversation *conversation, char *reason, size_t size)
{
    uid_t listener, own = geteuid();
    int r;

    r = conversation_listener(conversation, &listener);
    if (r < 0) {
        snprintf(reason, size, "%s", strerror(-r));
        return r;
    }
    if (listener == 0 || listener == own)
        return 0;
    snprintf(reason, size, "user %u listens, but this process, of user %u, trusts only root and itself: "
             "start dispatchd as one of them", (unsigned)listener, (unsigned)own);
    return -EPERM;
}

static int connect_to(struct conversation *conversation, const char *path, char *complaint, size_t size)
{
    char reason[160];
    int r;

    r = conversation_connect(conversation, path);
    if (r < 0) {
        complain(complaint, size, path, strerror(-r));
        return r;
    }
    r = check_listener(conversation, reason, sizeof reason);
    if (r < 0) {
        conversation_end(conversation);
        complain(complaint, size, path, reason);
    }
    return r;
}

int sockets_connect(struct sockets *sockets, struct conversation *conversation, char *complaint, size_t size)
{
    int r = -ENOENT;

    for (unsigned i = 0; i < SOCKETS_MAX && sockets->path[i] && r < 0; i++) {
        r = connect_to(conversation, sockets->path[i], complaint, size);
        sockets->connected = i;
    }
    return r;
}
