/* Preloaded into a process, it takes from every file system what LACKS names: modes, links, locks, sync. Linux only. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int lacking(const char *what) {
    const char *text = getenv("LACKS");
    return text && strstr(text, what);
}

static int refused(int error) {
    errno = error;
    return -1;
}

int chmod(const char *path, mode_t mode) {
    return lacking("modes") ? refused(EPERM) : (int)syscall(SYS_fchmodat, -100, path, mode);
}

int fchmod(int file, mode_t mode) {
    return lacking("modes") ? refused(EPERM) : (int)syscall(SYS_fchmod, file, mode);
}

int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    (void)flags;
    return lacking("modes") ? refused(EPERM) : (int)syscall(SYS_fchmodat, folder, path, mode);
}

int link(const char *from, const char *to) {
    return lacking("links") ? refused(EPERM) : (int)syscall(SYS_linkat, -100, from, -100, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    return lacking("links") ? refused(EPERM) : (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

int symlink(const char *from, const char *to) {
    return lacking("links") ? refused(EPERM) : (int)syscall(SYS_symlinkat, from, -100, to);
}

int flock(int file, int operation) {
    return lacking("locks") ? refused(ENOLCK) : (int)syscall(SYS_flock, file, operation);
}

int fsync(int file) {
    return lacking("sync") ? refused(EINVAL) : (int)syscall(SYS_fsync, file);
}
