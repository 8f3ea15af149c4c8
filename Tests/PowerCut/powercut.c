/*
 * A power cut for tests: an LD_PRELOAD library that keeps, beside the files below $POWERCUT_ROOT, the image of them
 * that the storage would hold if the power failed at this moment.
 *
 *   - A file's bytes become durable when the file is flushed (fsync, fdatasync, or each write with O_SYNC/O_DSYNC).
 *   - A name (create, rename, unlink, mkdir) becomes durable when its directory is flushed. Unless POWERCUT_STRICT=1,
 *     flushing a file also makes its own present name durable, and those of the directories above it, as ext4 does.
 *   - A name whose file was never flushed holds an empty file.
 *   - SQLite's "-shm" files are scratch memory and never survive.
 *
 * Environment: POWERCUT_ROOT and POWERCUT_SHADOW, absolute, on one file system, neither inside the other (without them
 * the library does nothing); POWERCUT_STRICT; POWERCUT_AFTER=N kills the process with SIGKILL just before its N-th
 * operation below the root (counted: writes, truncations, flushes, creations by open, mkdir, rename, unlink).
 * POWERCUT_COUNT=FILE writes the number of operations there when the process ends by itself.
 *
 * Shadow: data/INODE has the durable bytes of a file, dirs/INODE the durable names of a directory, one per line as
 * "type inode name"; pins/INODE is a hard link that keeps the inode of an unlinked file from being used again while the
 * image may still name it. The files below the root when the first process starts count as durable.
 *
 * Nothing here opens a file that the program may have locked: closing any descriptor of a file drops the process's
 * POSIX locks on it, which SQLite lives by. Bytes are read through the program's own descriptor, which is why files below the
 * root that are opened for writing only are opened for reading too. One flock on a fresh descriptor serialises threads
 * and processes; no lock is held across fork.
 *
 * Not seen: sync(2), syncfs(2), msync(2), io_uring, and direct system calls.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX], shadow[PATH_MAX];
static size_t root_length;
static int is_active, is_strict;
static long kill_after;
static const char *count_path;
static atomic_long operations;

#define REAL(name) ((__typeof__(&name))real_##name())
#define DEFINE_REAL(name)                                             \
    static void *real_##name(void) {                                  \
        static _Atomic(void *) found;                                 \
        void *address = atomic_load(&found);                          \
        if (!address) {                                               \
            address = dlsym(RTLD_NEXT, #name);                        \
            if (!address) abort();                                    \
            atomic_store(&found, address);                            \
        }                                                             \
        return address;                                               \
    }
DEFINE_REAL(openat)
DEFINE_REAL(write)
DEFINE_REAL(writev)
DEFINE_REAL(pwrite)
DEFINE_REAL(pwritev)
DEFINE_REAL(ftruncate)
DEFINE_REAL(truncate)
DEFINE_REAL(fallocate)
DEFINE_REAL(posix_fallocate)
DEFINE_REAL(renameat)
DEFINE_REAL(renameat2)
DEFINE_REAL(linkat)
DEFINE_REAL(unlinkat)
DEFINE_REAL(mkdirat)
DEFINE_REAL(fsync)
DEFINE_REAL(fdatasync)

static void die(const char *what) {
    dprintf(2, "powercut: %s: %s\n", what, strerror(errno));
    _exit(99);
}

/* The path below the root ("" for the root itself), or NULL. */
static const char *below(const char *path) {
    if (!is_active || strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] == 0) return path + root_length;
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

/* The absolute path of a descriptor, or NULL for what is no named file below the root. */
static const char *path_of(int descriptor, char *buffer) {
    char link[64];
    if (!is_active || descriptor < 0) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length <= 0) return NULL;
    buffer[length] = 0;
    return below(buffer) ? buffer : NULL;
}

/* The absolute path that a path argument names, its directory resolved; NULL when that fails or lies elsewhere. */
static const char *absolute(int directory, const char *path, char *buffer) {
    char joined[PATH_MAX], parent[PATH_MAX];
    if (!is_active || !path || !*path) return NULL;
    if (path[0] == '/') {
        if (snprintf(joined, sizeof joined, "%s", path) >= (int)sizeof joined) return NULL;
    } else {
        char base[PATH_MAX];
        if (directory == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length <= 0) return NULL;
            base[length] = 0;
        }
        if (snprintf(joined, sizeof joined, "%s/%s", base, path) >= (int)sizeof joined) return NULL;
    }
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = 0;
    char *slash = strrchr(joined, '/');
    const char *leaf = slash + 1;
    if (slash == joined) return NULL;
    *slash = 0;
    if (!realpath(joined, parent)) return NULL;
    if (snprintf(buffer, PATH_MAX, "%s/%s", parent, leaf) >= PATH_MAX) return NULL;
    return below(buffer) ? buffer : NULL;
}

/* Counts one operation below the root; the chosen one is never reached. */
static void tick(void) {
    long number = atomic_fetch_add(&operations, 1) + 1;
    if (kill_after > 0 && number >= kill_after) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static int lock_shadow(void) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/lock", shadow);
    int descriptor = REAL(openat)(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) die("cannot open the shadow's lock");
    while (flock(descriptor, LOCK_EX) != 0)
        if (errno != EINTR) die("cannot lock the shadow");
    return descriptor;
}

static int begin(const char *kind, unsigned long inode, char *temporary, char *final) {
    snprintf(final, PATH_MAX + 64, "%s/%s/%lu", shadow, kind, inode);
    snprintf(temporary, PATH_MAX + 64, "%s/%s/.new-%lu", shadow, kind, inode);
    int descriptor = REAL(openat)(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) die("cannot write to the shadow");
    return descriptor;
}

static void put(int descriptor, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = REAL(write)(descriptor, bytes, count);
        if (done < 0 && errno != EINTR) die("cannot write to the shadow");
        if (done > 0) {
            bytes += done;
            count -= (size_t)done;
        }
    }
}

static void finish(int descriptor, const char *temporary, const char *final) {
    close(descriptor);
    if (REAL(renameat)(AT_FDCWD, temporary, AT_FDCWD, final) != 0) die("cannot rename in the shadow");
}

/* The bytes of the file behind `descriptor` become durable. */
static void keep_data(int descriptor, const struct stat *status) {
    char temporary[PATH_MAX + 64], final[PATH_MAX + 64], buffer[1 << 16];
    int source = descriptor;
    if ((fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        /* Not opened through this library (stdio's own open): only a new descriptor can read it. */
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        source = REAL(openat)(AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
        if (source < 0) die("cannot read a file that is flushed");
    }
    int target = begin("data", status->st_ino, temporary, final);
    off_t offset = 0;
    while (offset < status->st_size) {
        ssize_t copied = copy_file_range(source, &offset, target, NULL, (size_t)(status->st_size - offset), 0);
        if (copied <= 0) break;
    }
    for (;;) {
        ssize_t count = pread(source, buffer, sizeof buffer, offset);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) die("cannot read a file that is flushed");
        if (count == 0) break;
        put(target, buffer, (size_t)count);
        offset += count;
    }
    if (source != descriptor) close(source);
    finish(target, temporary, final);
}

static char type_of(mode_t mode) { return S_ISDIR(mode) ? 'd' : S_ISREG(mode) ? 'f' : 0; }

static int is_scratch(const char *name) {
    size_t length = strlen(name);
    return length >= 4 && strcmp(name + length - 4, "-shm") == 0;
}

/* All names in a directory become durable. */
static void keep_names(const char *path) {
    char temporary[PATH_MAX + 64], final[PATH_MAX + 64], line[NAME_MAX + 64];
    struct stat status;
    if (stat(path, &status) != 0) return;
    DIR *directory = opendir(path);
    if (!directory) die("cannot list a directory that is flushed");
    int target = begin("dirs", status.st_ino, temporary, final);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || is_scratch(entry->d_name)) continue;
        struct stat item;
        if (fstatat(dirfd(directory), entry->d_name, &item, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (!type_of(item.st_mode)) continue;
        int count = snprintf(
            line, sizeof line, "%c %lu %s\n", type_of(item.st_mode), (unsigned long)item.st_ino, entry->d_name);
        put(target, line, (size_t)count);
    }
    closedir(directory);
    finish(target, temporary, final);
}

/* One name becomes durable in the image of its directory; other names there stay as they were. */
static void keep_name(const char *parent, const char *name, const struct stat *item) {
    char temporary[PATH_MAX + 64], final[PATH_MAX + 64], line[NAME_MAX + 64];
    struct stat status;
    if (stat(parent, &status) != 0 || is_scratch(name)) return;
    int target = begin("dirs", status.st_ino, temporary, final);
    FILE *old = fopen(final, "re");
    while (old && fgets(line, sizeof line, old)) {
        unsigned long inode;
        int at = 0;
        char type;
        if (sscanf(line, "%c %lu %n", &type, &inode, &at) < 2 || at == 0) continue;
        char *has = line + at;
        has[strcspn(has, "\n")] = 0;
        /* The file's earlier name goes with the flush of the file: a rename is one change. */
        if (!strcmp(has, name) || (inode == item->st_ino && type == type_of(item->st_mode))) continue;
        has[strlen(has)] = '\n';
        put(target, line, strlen(line));
    }
    if (old) fclose(old);
    int count = snprintf(line, sizeof line, "%c %lu %s\n", type_of(item->st_mode), (unsigned long)item->st_ino, name);
    put(target, line, (size_t)count);
    finish(target, temporary, final);
}

static void keep_own_names(const char *path) {
    char here[PATH_MAX];
    snprintf(here, sizeof here, "%s", path);
    while (strlen(here) > root_length) {
        struct stat item;
        if (lstat(here, &item) != 0) return; /* unlinked meanwhile: it has no name to keep */
        char *slash = strrchr(here, '/');
        *slash = 0;
        keep_name(here, slash + 1, &item);
    }
}

static void flush(int descriptor, const char *path) {
    struct stat status;
    int saved = errno;
    if (fstat(descriptor, &status) == 0) {
        int lock = lock_shadow();
        if (S_ISDIR(status.st_mode)) {
            keep_names(path);
            if (!is_strict) keep_own_names(path);
        } else if (S_ISREG(status.st_mode) && !is_scratch(path)) {
            keep_data(descriptor, &status);
            if (!is_strict && status.st_nlink > 0) keep_own_names(path);
        }
        close(lock);
    }
    errno = saved;
}

/* Keeps the inode of a file that is about to lose a name, so that its number stays its own. */
static void pin(const char *path) {
    char link[PATH_MAX + 64];
    struct stat status;
    int saved = errno;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && !is_scratch(path)) {
        snprintf(link, sizeof link, "%s/pins/%lu", shadow, (unsigned long)status.st_ino);
        if (REAL(linkat)(AT_FDCWD, path, AT_FDCWD, link, 0) != 0 && errno != EEXIST && errno != ENOENT)
            die("cannot pin an inode (are root and shadow on one file system?)");
    }
    errno = saved;
}

/* The files that exist when the first process starts are durable. */
static void keep_tree(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) die("cannot list the root");
    for (struct dirent *entry; (entry = readdir(directory));) {
        char item[PATH_MAX];
        struct stat status;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || is_scratch(entry->d_name)) continue;
        if (snprintf(item, sizeof item, "%s/%s", path, entry->d_name) >= (int)sizeof item) continue;
        if (lstat(item, &status) != 0) continue;
        if (S_ISDIR(status.st_mode)) keep_tree(item);
        if (!S_ISREG(status.st_mode)) continue;
        int descriptor = REAL(openat)(AT_FDCWD, item, O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) die("cannot read a file below the root");
        keep_data(descriptor, &status);
        close(descriptor);
    }
    closedir(directory);
    keep_names(path);
}

__attribute__((constructor)) static void start(void) {
    const char *root_name = getenv("POWERCUT_ROOT"), *shadow_name = getenv("POWERCUT_SHADOW");
    if (!root_name || !shadow_name) return;
    if (!realpath(root_name, root)) die("POWERCUT_ROOT is missing");
    if (!realpath(shadow_name, shadow)) die("POWERCUT_SHADOW is missing");
    root_length = strlen(root);
    is_strict = getenv("POWERCUT_STRICT") && !strcmp(getenv("POWERCUT_STRICT"), "1");
    kill_after = getenv("POWERCUT_AFTER") ? atol(getenv("POWERCUT_AFTER")) : 0;
    count_path = getenv("POWERCUT_COUNT");
    const char *kinds[] = {"data", "dirs", "pins"};
    int lock = lock_shadow();
    char path[PATH_MAX + 64];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", shadow, kinds[i]);
        if (REAL(mkdirat)(AT_FDCWD, path, 0700) != 0 && errno != EEXIST) die("cannot write to the shadow");
    }
    snprintf(path, sizeof path, "%s/started", shadow);
    if (access(path, F_OK) != 0) {
        keep_tree(root);
        int descriptor = REAL(openat)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        struct stat status;
        char line[32];
        if (descriptor < 0 || stat(root, &status) != 0) die("cannot write to the shadow");
        put(descriptor, line, (size_t)snprintf(line, sizeof line, "%lu\n", (unsigned long)status.st_ino));
        close(descriptor);
    }
    close(lock);
    is_active = 1;
}

__attribute__((destructor)) static void end(void) {
    if (!is_active || !count_path) return;
    char line[32];
    int descriptor = REAL(openat)(AT_FDCWD, count_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) return;
    put(descriptor, line, (size_t)snprintf(line, sizeof line, "%ld\n", atomic_load(&operations)));
    close(descriptor);
}

/* ---- what the program calls ---- */

static int open_any(int directory, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *known = absolute(directory, path, buffer);
    if (!known) return REAL(openat)(directory, path, flags, mode);
    if (flags & (O_CREAT | O_TRUNC)) tick();
    if ((flags & O_ACCMODE) == O_WRONLY && (flags & O_PATH) == 0) {
        int descriptor = REAL(openat)(directory, path, (flags & ~O_ACCMODE) | O_RDWR, mode);
        if (descriptor >= 0 || (errno != EACCES && errno != ENXIO)) return descriptor;
    }
    return REAL(openat)(directory, path, flags, mode);
}

#define MODE_ARGUMENT                                     \
    mode_t mode = 0;                                      \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list list;                                     \
        va_start(list, flags);                            \
        mode = va_arg(list, mode_t);                      \
        va_end(list);                                     \
    }

int open(const char *path, int flags, ...) { MODE_ARGUMENT return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) {
    MODE_ARGUMENT return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int directory, const char *path, int flags, ...) {
    MODE_ARGUMENT return open_any(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
    MODE_ARGUMENT return open_any(directory, path, flags | O_LARGEFILE, mode);
}
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags | O_LARGEFILE, 0); }
int __openat_2(int directory, const char *path, int flags) { return open_any(directory, path, flags, 0); }
int __openat64_2(int directory, const char *path, int flags) {
    return open_any(directory, path, flags | O_LARGEFILE, 0);
}
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) {
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode);
}

/* A change of a file's bytes through a descriptor; with O_SYNC or O_DSYNC it is a flush as well. */
#define CHANGE(descriptor, type, call)                                    \
    char buffer[PATH_MAX];                                                \
    const char *known = path_of(descriptor, buffer);                      \
    if (known) tick();                                                    \
    type result = call;                                                   \
    if (known && result >= 0 && (fcntl(descriptor, F_GETFL) & O_DSYNC)) flush(descriptor, known); \
    return result;

ssize_t write(int descriptor, const void *bytes, size_t count) {
    CHANGE(descriptor, ssize_t, REAL(write)(descriptor, bytes, count))
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    CHANGE(descriptor, ssize_t, REAL(writev)(descriptor, parts, count))
}
ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    CHANGE(descriptor, ssize_t, REAL(pwrite)(descriptor, bytes, count, offset))
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
    CHANGE(descriptor, ssize_t, REAL(pwrite)(descriptor, bytes, count, offset))
}
ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
    CHANGE(descriptor, ssize_t, REAL(pwritev)(descriptor, parts, count, offset))
}
ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset) {
    CHANGE(descriptor, ssize_t, REAL(pwritev)(descriptor, parts, count, offset))
}
int ftruncate(int descriptor, off_t length) { CHANGE(descriptor, int, REAL(ftruncate)(descriptor, length)) }
int ftruncate64(int descriptor, off64_t length) { CHANGE(descriptor, int, REAL(ftruncate)(descriptor, length)) }
int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    CHANGE(descriptor, int, REAL(fallocate)(descriptor, mode, offset, length))
}
int fallocate64(int descriptor, int mode, off64_t offset, off64_t length) {
    CHANGE(descriptor, int, REAL(fallocate)(descriptor, mode, offset, length))
}
int posix_fallocate(int descriptor, off_t offset, off_t length) {
    CHANGE(descriptor, int, REAL(posix_fallocate)(descriptor, offset, length))
}
int posix_fallocate64(int descriptor, off64_t offset, off64_t length) {
    CHANGE(descriptor, int, REAL(posix_fallocate)(descriptor, offset, length))
}
int truncate(const char *path, off_t length) {
    char buffer[PATH_MAX];
    if (absolute(AT_FDCWD, path, buffer)) tick();
    return REAL(truncate)(path, length);
}
int truncate64(const char *path, off64_t length) { return truncate(path, length); }

/* The real flush is left out below the root: nothing depends on the storage, and tests stay fast. */
static int flush_any(int descriptor, int is_data_only) {
    char buffer[PATH_MAX];
    const char *known = path_of(descriptor, buffer);
    if (!known) return is_data_only ? REAL(fdatasync)(descriptor) : REAL(fsync)(descriptor);
    tick();
    flush(descriptor, known);
    return 0;
}
int fsync(int descriptor) { return flush_any(descriptor, 0); }
int fdatasync(int descriptor) { return flush_any(descriptor, 1); }

static int rename_any(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    char one[PATH_MAX], two[PATH_MAX];
    const char *source = absolute(from_directory, from, one), *target = absolute(to_directory, to, two);
    if (source || target) tick();
    if (target) pin(target);
    if (source && !target) pin(source);
    if (flags) return REAL(renameat2)(from_directory, from, to_directory, to, flags);
    return REAL(renameat)(from_directory, from, to_directory, to);
}
int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return rename_any(from_directory, from, to_directory, to, 0);
}
int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    return rename_any(from_directory, from, to_directory, to, flags);
}
int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    char buffer[PATH_MAX];
    if (absolute(to_directory, to, buffer)) tick();
    return REAL(linkat)(from_directory, from, to_directory, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int directory, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *known = absolute(directory, path, buffer);
    if (known) {
        tick();
        if (!(flags & AT_REMOVEDIR)) pin(known);
    }
    return REAL(unlinkat)(directory, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int result = unlinkat(AT_FDCWD, path, 0);
    return result != 0 && errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : result;
}

int mkdirat(int directory, const char *path, mode_t mode) {
    char buffer[PATH_MAX], image[PATH_MAX + 64];
    const char *known = absolute(directory, path, buffer);
    if (known) tick();
    int result = REAL(mkdirat)(directory, path, mode);
    struct stat status;
    if (known && result == 0 && lstat(known, &status) == 0) {
        /* The inode may be that of a directory removed before, whose image is not the new one's. */
        int saved = errno;
        snprintf(image, sizeof image, "%s/dirs/%lu", shadow, (unsigned long)status.st_ino);
        REAL(unlinkat)(AT_FDCWD, image, 0);
        errno = saved;
    }
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
