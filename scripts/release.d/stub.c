/* The native half of a single-file daemon: unpack once, then become the daemon (spec 09 §11.2).
 *
 * This executable carries the daemon's folder behind itself, compressed, and a trailer that describes it. It answers
 * `--version` from the trailer alone; for everything else it makes sure that the folder is unpacked in the user's cache
 * and replaces itself with the runtime in there, so that signals, pid files and supervisors see the daemon itself.
 *
 * Linked statically: it starts in about a millisecond and needs nothing from the host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ftw.h>
#include <dirent.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC "MOMPACK1"
#define UNUSED_SECONDS (30L * 24 * 3600) /* unpacked folders of other builds go after this long without use */
#define CHUNK (256 * 1024)

struct trailer { /* the last bytes of the file; all numbers little-endian, as on every machine we build for */
    char version[64];
    char digest[64]; /* lower-case hex SHA-256 of the packed payload; names the folder */
    uint64_t offset, packed, unpacked;
    char magic[8];
} __attribute__((packed));

static void fail(const char *what, const char *where) {
    fprintf(stderr, "myownmesh: %s %s: %s\n", what, where, strerror(errno));
}

/* A path, or the end: a name that was cut short must never be used. */
static void join(char *into, size_t size, const char *form, ...) {
    va_list parts;
    va_start(parts, form);
    int length = vsnprintf(into, size, form, parts);
    va_end(parts);
    if (length < 0 || (size_t)length >= size) {
        fprintf(stderr, "myownmesh: a path is longer than this system allows\n");
        exit(1);
    }
}

static int read_trailer(int self, struct trailer *t) {
    off_t size = lseek(self, 0, SEEK_END);
    if (size < (off_t)sizeof *t || pread(self, t, sizeof *t, size - (off_t)sizeof *t) != (ssize_t)sizeof *t) return -1;
    if (memcmp(t->magic, MAGIC, 8) != 0 || t->version[63] != 0) return -1;
    return (off_t)(t->offset + t->packed + sizeof *t) == size ? 0 : -1;
}

/* --- unpacking ------------------------------------------------------------------------------------------------- */

struct source {
    int self;
    uint64_t left;
    z_stream z;
    unsigned char in[CHUNK];
};

static int fill(struct source *s, void *into, size_t want) {
    s->z.next_out = into;
    s->z.avail_out = (uInt)want;
    while (s->z.avail_out > 0) {
        if (s->z.avail_in == 0) {
            size_t count = s->left < CHUNK ? (size_t)s->left : CHUNK;
            ssize_t got = count ? read(s->self, s->in, count) : 0;
            if (got <= 0) return -1;
            s->left -= (uint64_t)got;
            s->z.next_in = s->in;
            s->z.avail_in = (uInt)got;
        }
        int state = inflate(&s->z, Z_NO_FLUSH);
        if (state == Z_STREAM_END) return s->z.avail_out == 0 ? 0 : -1;
        if (state != Z_OK) return -1;
    }
    return 0;
}

static int write_all(int file, const unsigned char *data, size_t count) {
    while (count > 0) {
        ssize_t done = write(file, data, count);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return -1;
        data += done;
        count -= (size_t)done;
    }
    return 0;
}

/* One entry: type (0 end, 1 file, 2 folder), mode, length of the path, size of the content; then path and content. */
struct entry {
    uint8_t type;
    uint16_t mode, name;
    uint64_t size;
} __attribute__((packed));

static int unpack_entry(struct source *s, int folder, unsigned char *buffer) {
    struct entry e;
    char name[PATH_MAX];
    if (fill(s, &e, sizeof e) != 0) return -1;
    if (e.type == 0) return 1;
    if (e.name == 0 || e.name >= sizeof name || fill(s, name, e.name) != 0) return -1;
    name[e.name] = 0;
    if (e.type == 2) return mkdirat(folder, name, 0700);
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, e.mode);
    if (file < 0) return -1;
    while (e.size > 0) {
        size_t count = e.size < CHUNK ? (size_t)e.size : CHUNK;
        if (fill(s, buffer, count) != 0 || write_all(file, buffer, count) != 0) {
            close(file);
            return -1;
        }
        e.size -= count;
    }
    return close(file);
}

/* --- when is a folder whole? -------------------------------------------------------------------------------------
 *
 * A mark must not outlive the content that it vouches for: after a power loss the mark may be on disk and the content not.
 * Flushing the file system first can take longer than a supervisor waits, so the mark names this boot and counts until the
 * next one; a helper flushes in the background and then leaves a second mark, which counts for ever.
 */

static int boot_id(char id[36]) {
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, id, 36);
    if (file >= 0) close(file);
    return got == 36 ? 0 : -1;
}

static int mark_flushed(int folder) {
    if (syncfs(folder) != 0) return -1;
    int mark = openat(folder, ".flushed", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return mark < 0 ? -1 : close(mark);
}

static int mark_complete(int folder) {
    char id[36];
    int known = boot_id(id) == 0;
    int mark = openat(folder, ".complete", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (mark < 0) return -1;
    int state = known ? write_all(mark, (unsigned char *)id, sizeof id) : mark_flushed(folder);
    return close(mark) == 0 ? state : -1;
}

static int still_counts(const char *mark, const char *folder) {
    char path[PATH_MAX], id[36], noted[36];
    join(path, sizeof path, "%s/.flushed", folder);
    if (access(path, F_OK) == 0) return 1;
    int file = open(mark, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, noted, sizeof noted);
    if (file >= 0) close(file);
    return got == 36 && boot_id(id) == 0 && memcmp(id, noted, 36) == 0;
}

/* The helper is nobody's child and holds nothing of ours: no pipe of a supervisor, no lock. */
static void flush_in_background(const char *folder) {
    pid_t first = fork();
    if (first < 0) return;
    if (first > 0) {
        while (waitpid(first, NULL, 0) < 0 && errno == EINTR) continue;
        return;
    }
    if (setsid() < 0 || fork() != 0) _exit(0);
    for (int file = 0, most = (int)sysconf(_SC_OPEN_MAX); file < (most > 0 && most < 65536 ? most : 65536); file++) close(file);
    int into = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (into >= 0) mark_flushed(into);
    _exit(0);
}

static int unpack_into(int self, const struct trailer *t, int folder) {
    struct source *s = calloc(1, sizeof *s);
    unsigned char *buffer = malloc(CHUNK);
    int state = -1;
    if (s != NULL && buffer != NULL && lseek(self, (off_t)t->offset, SEEK_SET) >= 0 && inflateInit(&s->z) == Z_OK) {
        s->self = self;
        s->left = t->packed;
        while ((state = unpack_entry(s, folder, buffer)) == 0) continue;
        inflateEnd(&s->z);
    }
    free(buffer);
    free(s);
    return state == 1 ? mark_complete(folder) : -1;
}

static int drop_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void drop(const char *path) { nftw(path, drop_one, 16, FTW_DEPTH | FTW_PHYS); }

/* A folder that somebody else owns or can write to is never run from, nor is anything below it. */
static int private(const char *folder) {
    struct stat info;
    if (lstat(folder, &info) != 0 || !S_ISDIR(info.st_mode)) return 0;
    return info.st_uid == geteuid() && (info.st_mode & 0022) == 0;
}

/* Is the folder whole, ours, and closed to others? */
static int ready(const char *folder) {
    char mark[PATH_MAX];
    struct stat info;
    if (!private(folder)) return 0;
    join(mark, sizeof mark, "%s/.complete", folder);
    if (stat(mark, &info) != 0 || !still_counts(mark, folder)) return 0;
    if (time(NULL) - info.st_mtime > 24 * 3600) utimensat(AT_FDCWD, mark, NULL, 0); /* still in use */
    return 1;
}

/* Folders of other builds, and of unpackings that were killed. */
static void sweep(const char *base, const char *digest) {
    DIR *listing = opendir(base);
    struct dirent *found;
    while (listing != NULL && (found = readdir(listing)) != NULL) {
        char path[PATH_MAX], mark[PATH_MAX + 16];
        struct stat info;
        size_t length = strlen(found->d_name);
        if (found->d_name[0] == '.' && strncmp(found->d_name, ".new-", 5) != 0) continue;
        if (strncmp(found->d_name, digest, 64) == 0 || (length != 64 && found->d_name[0] != '.')) continue;
        join(path, sizeof path, "%s/%s", base, found->d_name);
        join(mark, sizeof mark, "%s/.complete", path);
        if (stat(found->d_name[0] == '.' ? path : mark, &info) == 0 && time(NULL) - info.st_mtime > UNUSED_SECONDS)
            drop(path);
    }
    if (listing != NULL) closedir(listing);
}

static int make_folders(char *path) {
    for (char *at = path + 1; *at != 0; at++) {
        if (*at != '/') continue;
        *at = 0;
        int state = mkdir(path, 0700);
        *at = '/';
        if (state != 0 && errno != EEXIST) return -1;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

/* Leaves the path of the unpacked folder in `folder`. `shared`: the root lies where everybody can make folders. */
static int prepare(int self, const struct trailer *t, const char *root, int shared, char *folder, size_t size) {
    char base[PATH_MAX], lock[PATH_MAX], fresh[PATH_MAX] = "";
    join(base, sizeof base, "%s/myownmesh", root);
    join(folder, size, "%s/%.64s", base, t->digest);
    if (make_folders(base) != 0) return -1;
    if (!private(base) || (shared && !private(root))) {
        errno = EPERM;
        return -1;
    }
    if (ready(folder)) return 0;
    join(lock, sizeof lock, "%s/.lock-%.64s", base, t->digest);
    int held = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* the kernel frees it with this process */
    if (held < 0 || flock(held, LOCK_EX) != 0) {
        if (held >= 0) close(held);
        return -1;
    }
    int state = 0;
    if (!ready(folder)) { /* nobody else finished it while we waited */
        join(fresh, sizeof fresh, "%s/.new-%.64s", base, t->digest);
        drop(fresh);
        drop(folder);
        state = mkdir(fresh, 0700);
        int into = state == 0 ? open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        state = into >= 0 ? unpack_into(self, t, into) : -1;
        if (into >= 0) close(into);
        if (state == 0) state = rename(fresh, folder);
        int why = errno;
        if (state != 0) drop(fresh);
        errno = why;
        sweep(base, t->digest);
    }
    close(held);
    if (state == 0 && fresh[0] != 0) flush_in_background(folder);
    return state;
}

/* --- becoming the daemon --------------------------------------------------------------------------------------- */

static void become(const char *folder, const char *self_path, int argc, char **argv) {
    char runtime[PATH_MAX];
    char **args = calloc((size_t)argc + 2, sizeof *args);
    if (args == NULL) return;
    join(runtime, sizeof runtime, "%s/myownmesh", folder);
    args[0] = (char *)self_path; /* the runtime tells its programs where the single file is */
    for (int at = 1; at < argc; at++) args[at] = argv[at];
    execv(runtime, args);
    free(args);
}

int main(int argc, char **argv) {
    struct trailer t;
    char self_path[PATH_MAX];
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t length = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
    if (self < 0 || length < 0) {
        fail("cannot read", "/proc/self/exe");
        return 1;
    }
    self_path[length] = 0;
    if (read_trailer(self, &t) != 0) {
        fprintf(stderr, "myownmesh: %s is damaged; stage or install it again\n", self_path);
        return 1;
    }
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        printf("myownmesh %s\n", t.version);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    char roots[5][PATH_MAX];
    int count = 0;
    const char *named = getenv("MYOWNMESH_RUNTIME_DIR"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *state = getenv("MYOWNMESH_HOME"), *temp = getenv("TMPDIR");
    if (named != NULL && *named == '/') join(roots[count++], PATH_MAX, "%s", named);
    if (cache != NULL && *cache == '/') join(roots[count++], PATH_MAX, "%s", cache);
    else if (home != NULL && *home == '/') join(roots[count++], PATH_MAX, "%s/.cache", home);
    if (state != NULL && *state == '/') join(roots[count++], PATH_MAX, "%s/runtime", state);
    else if (home != NULL && *home == '/') join(roots[count++], PATH_MAX, "%s/.myownmesh/runtime", home);
    join(roots[count++], PATH_MAX, "%s/myownmesh-%u", temp != NULL && *temp == '/' ? temp : "/tmp", geteuid());
    for (int at = 0; at < count; at++) {
        char folder[PATH_MAX];
        if (prepare(self, &t, roots[at], at == count - 1, folder, sizeof folder) != 0) {
            fail("cannot unpack into", roots[at]);
            continue;
        }
        become(folder, self_path, argc, argv); /* returns only when that place cannot run programs */
        fail("cannot run from", folder);
    }
    fprintf(stderr, "myownmesh: no place to run from; set MYOWNMESH_RUNTIME_DIR to a folder that allows programs\n");
    return 1;
}
