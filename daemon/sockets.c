/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "startup.h"
#include "util.h"

__attribute__((format(printf, 4, 5)))
static int fail(struct sockets *sockets, int r, int failure, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sockets->text, sizeof(sockets->text), format, arguments);
    va_end(arguments);
    sockets->failed = r == -EACCES || r == -EPERM || r == -EROFS ? STARTUP_PERMISSION : failure;
    return r;
}

/* What to do about a directory that cannot be made. */
static const char *hint(int error)
{
    if (error == EACCES || error == EPERM || error == EROFS)
        return "start dispatchd as root, or with --user, or give another --runtime-dir";
    return error == ENOENT ? "make the directory above it first, or give another --runtime-dir"
                           : "give another --runtime-dir";
}

/* One daemon a directory: the lock outlives no process, so it needs no cleaning up. */
static int lock_directory(struct sockets *sockets, const char *directory)
{
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return fail(sockets, -errno, STARTUP_SOCKET, "cannot make directory %s: %s: %s", directory, strerror(errno),
                    hint(errno));
    sockets->lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sockets->lock < 0)
        return fail(sockets, -errno, STARTUP_SOCKET, "cannot open directory %s: %s", directory, strerror(errno));
    if (flock(sockets->lock, LOCK_EX | LOCK_NB) < 0)
        return fail(sockets, -EADDRINUSE, STARTUP_SOCKET,
                    "another dispatchd serves %s: stop it, or give another --runtime-dir", directory);
    return 0;
}

static int bind_socket(struct sockets *sockets, const char *directory, const char *name, mode_t mode, int *ret)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int descriptor = -EBADF;

    if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name) >=
        sizeof(address.sun_path))
        return fail(sockets, -ENAMETOOLONG, STARTUP_SOCKET,
                    "the path %s/%s is over %zu bytes: give a shorter --runtime-dir",
                    directory, name, sizeof(address.sun_path) - 1);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return fail(sockets, -errno, STARTUP_SOCKET, "no socket: %s", strerror(errno));
    /* We hold the directory's lock, so a socket that is there has no daemon any more. */
    unlink(address.sun_path);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(address.sun_path, mode) < 0 ||
        listen(descriptor, SOMAXCONN) < 0)
        return fail(sockets, -errno, STARTUP_SOCKET, "cannot listen on %s: %s", address.sun_path, strerror(errno));
    *ret = TAKE_DESCRIPTOR(descriptor);
    return 0;
}

static void clear_names(char ***names)
{
    for (char **name = *names; name && *name; name++)
        free(*name);
    free(*names);
}

/* Where a descriptor of that name belongs. */
static int *place_of(struct sockets *sockets, const char *name)
{
    if (!strcmp(name, "control"))
        return &sockets->control;
    if (!strcmp(name, "worker"))
        return &sockets->worker;
    return !strcmp(name, "arena") ? &sockets->arena : NULL;
}

/* 1: systemd passed both sockets; 0: it passed none, as it was not to open any. */
static int take_from_systemd(struct sockets *sockets)
{
    _cleanup_(clear_names) char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names), kept = 0;

    if (n < 0)
        return fail(sockets, n, STARTUP_SOCKET, "systemd passed unusable descriptors: %s", strerror(-n));
    for (int i = 0; i < n; i++) {
        int *place = place_of(sockets, names[i]);

        if (place && *place < 0)
            *place = SD_LISTEN_FDS_START + i;
        kept += place == &sockets->arena;
    }
    if (kept == n)
        return 0;
    if (sockets->control < 0 || sockets->worker < 0)
        return fail(sockets, -EINVAL, STARTUP_SOCKET,
                    "systemd passed no socket \"%s\": set FileDescriptorName= in its unit",
                    sockets->control < 0 ? "control" : "worker");
    return 1;
}

int sockets_open(const char *directory, struct sockets *ret)
{
    int r;

    *ret = (struct sockets){ .control = -EBADF, .worker = -EBADF, .arena = -EBADF, .lock = -EBADF };
    r = take_from_systemd(ret);
    if (r == 0)
        r = lock_directory(ret, directory);
    else if (r > 0)
        return 0;
    if (r >= 0)
        r = bind_socket(ret, directory, "control", 0660, &ret->control);
    if (r >= 0)
        r = bind_socket(ret, directory, "worker", 0666, &ret->worker);
    if (r < 0)
        sockets_close(ret);
    return r;
}

void sockets_close(struct sockets *sockets)
{
    close_descriptor(&sockets->control);
    close_descriptor(&sockets->worker);
    close_descriptor(&sockets->arena);
    close_descriptor(&sockets->lock);
    sockets->control = sockets->worker = sockets->arena = sockets->lock = -EBADF;
}
