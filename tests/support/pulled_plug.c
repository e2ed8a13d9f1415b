/* Preloaded into a process, it is killed right behind the rename that gives the file whose path ends with PLUG its name for
   the PLUG_AT-th time: what is on the disk then is there, and whatever should follow never happened. Linux only. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void look(const char *to) {
    static long renames;
    const char *end = getenv("PLUG"), *at = getenv("PLUG_AT");
    size_t length = end ? strlen(end) : 0, whole = strlen(to);
    if (!end || !at || whole < length || strcmp(to + whole - length, end))
        return;
    if (__atomic_add_fetch(&renames, 1, __ATOMIC_SEQ_CST) == atol(at))
        kill(getpid(), SIGKILL);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    int failed = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
    if (!failed)
        look(to);
    return failed;
}

int rename(const char *from, const char *to) {
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
