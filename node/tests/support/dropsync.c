/* A file layer that forgets everything after the last sync: a shared library for LD_PRELOAD.
 *
 * It watches the files below $DROPSYNC_DIR and keeps in $DROPSYNC_SHADOW what a disk is bound to hold after a power loss:
 *   - the bytes of a file as of its last successful fsync or fdatasync, nothing written later;
 *   - the names in a directory as of the last fsync of that directory: a file created, renamed or removed since then is not created,
 *     renamed or removed. (File systems often keep more. A program that needs more than this is wrong by POSIX.)
 * sync_file_range and plain write-back promise nothing and change nothing. What existed at the start counts as durable.
 * sync(), syncfs() and msync() are not counted either, nor is O_SYNC: a program that relies on them loses data here.
 *
 * Shadow format, read by dropsync.rs: every file and directory has a number; `<n>.data` holds a file's durable bytes (missing: empty),
 * `<n>.dir` a directory's durable names, one per line: `f <n> <name>` or `d <n> <name>`. The watched directory is 1.
 *
 * Failures: while the file $DROPSYNC_FAIL exists, a sync of a watched regular file answers EIO and drops the unsynced bytes for good, as
 * Linux does: the next sync of that file succeeds without them.
 *
 * Crash points: with $DROPSYNC_KILL_AT = n the process is killed (SIGKILL) in its n-th sync, before that sync has done anything.
 *
 * Only this process is watched: the environment is cleaned so that children are left alone. Files opened with fopen are seen when
 * synced by descriptor. Writes through mmap are not seen.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define CLEAN INT64_MAX

struct node {
  dev_t dev;
  ino_t ino;
  unsigned long number;
  int64_t dirty; /* first byte not yet in the shadow; CLEAN if all is */
  struct node *next;
};

static struct node *table[4096];
static unsigned long last_number;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], shadow[PATH_MAX], fail_flag[PATH_MAX];
static size_t root_length;
static unsigned long syncs, kill_at;
static int active;

/* The layer's own file work goes straight to the kernel. */
static int raw_open(const char *path, int flags, mode_t mode) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}
static void raw_close(int fd) { syscall(SYS_close, fd); }

static void die(const char *what, const char *path) {
  dprintf(2, "dropsync: %s %s: %s\n", what, path, strerror(errno));
  _exit(97);
}

static struct node **slot(dev_t dev, ino_t ino) {
  struct node **at = &table[(ino * 31 + dev) % 4096];
  while (*at && ((*at)->ino != ino || (*at)->dev != dev)) at = &(*at)->next;
  return at;
}

/* The node of a file; made if `make`, with nothing in its shadow yet. */
static struct node *node_of(const struct stat *st, int make) {
  struct node **at = slot(st->st_dev, st->st_ino);
  if (!*at && make) {
    struct node *fresh = calloc(1, sizeof *fresh);
    if (!fresh) die("out of memory for", root);
    fresh->dev = st->st_dev;
    fresh->ino = st->st_ino;
    fresh->number = ++last_number;
    fresh->dirty = 0;
    *at = fresh;
  }
  return *at;
}

/* Inode numbers are used again: what is gone must not lend its bytes to a newcomer. */
static void forget(const struct stat *st) {
  struct node **at = slot(st->st_dev, st->st_ino);
  if (*at) {
    struct node *gone = *at;
    *at = gone->next;
    free(gone);
  }
}

static void dirty_from(struct node *node, int64_t offset) {
  if (node && offset < node->dirty) node->dirty = offset < 0 ? 0 : offset;
}

static int below_root(const char *path) {
  return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static int fd_below_root(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below_root(path);
}

/* Brings the shadow of a file up to its present bytes. */
static void save_file(int fd, struct node *node) {
  char path[PATH_MAX + 32], link[64];
  static char buffer[1 << 16];
  struct stat st;
  if (fstat(fd, &st) != 0) die("cannot stat", root);
  snprintf(path, sizeof path, "%s/%lu.data", shadow, node->number);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int from = raw_open(link, O_RDONLY, 0); /* the caller's may be write-only */
  int to = raw_open(path, O_WRONLY | O_CREAT, 0600);
  if (from < 0) die("cannot read", link);
  if (to < 0) die("cannot write", path);
  int64_t at = node->dirty == CLEAN ? st.st_size : node->dirty;
  while (at < st.st_size) {
    size_t want = sizeof buffer;
    if ((int64_t)want > st.st_size - at) want = (size_t)(st.st_size - at);
    long got = syscall(SYS_pread64, from, buffer, want, at);
    if (got <= 0) break; /* cut short meanwhile */
    for (long done = 0; done < got;) {
      long put = syscall(SYS_pwrite64, to, buffer + done, got - done, at + done);
      if (put <= 0) die("cannot write", path);
      done += put;
    }
    at += got;
  }
  if (syscall(SYS_ftruncate, to, st.st_size) != 0) die("cannot cut", path);
  raw_close(from);
  raw_close(to);
  node->dirty = CLEAN;
}

/* Writes down the names in a directory. */
static void save_dir(const char *dir, struct node *node, int everything) {
  char list[PATH_MAX + 32], fresh[PATH_MAX + 48], path[PATH_MAX + 300];
  snprintf(list, sizeof list, "%s/%lu.dir", shadow, node->number);
  snprintf(fresh, sizeof fresh, "%s.new", list);
  int out = raw_open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (out < 0) die("cannot write", fresh);
  DIR *names = opendir(dir);
  if (!names) die("cannot list", dir);
  for (struct dirent *entry; (entry = readdir(names));) {
    struct stat st;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    if (lstat(path, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) continue;
    struct node *child = node_of(&st, 1);
    dprintf(out, "%c %lu %s\n", S_ISDIR(st.st_mode) ? 'd' : 'f', child->number, entry->d_name);
    if (everything && S_ISDIR(st.st_mode)) save_dir(path, child, 1);
    if (everything && S_ISREG(st.st_mode)) {
      int fd = raw_open(path, O_RDONLY, 0);
      if (fd < 0) die("cannot read", path);
      save_file(fd, child);
      raw_close(fd);
    }
  }
  closedir(names);
  raw_close(out);
  /* One step, so that a kill leaves the old names or the new ones. */
  if (syscall(SYS_renameat, AT_FDCWD, fresh, AT_FDCWD, list) != 0) die("cannot rename", fresh);
}

#define REAL(result, name, ...)                                            \
  static result (*real_##name)(__VA_ARGS__);                               \
  if (!real_##name) real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
  const char *dir = getenv("DROPSYNC_DIR"), *to = getenv("DROPSYNC_SHADOW"), *fail = getenv("DROPSYNC_FAIL");
  if (!dir || !to) return;
  if (!realpath(dir, root)) die("cannot find", dir);
  if (!realpath(to, shadow)) die("cannot find", to);
  root_length = strlen(root);
  if (below_root(shadow)) die("the shadow must lie outside of", root);
  if (getenv("DROPSYNC_KILL_AT")) kill_at = strtoul(getenv("DROPSYNC_KILL_AT"), NULL, 10);
  if (fail) snprintf(fail_flag, sizeof fail_flag, "%s", fail);
  unsetenv("LD_PRELOAD");
  unsetenv("DROPSYNC_DIR");
  unsetenv("DROPSYNC_SHADOW");
  unsetenv("DROPSYNC_FAIL");
  unsetenv("DROPSYNC_KILL_AT");
  struct stat st;
  if (stat(root, &st) != 0) die("cannot find", root);
  save_dir(root, node_of(&st, 1), 1);
  active = 1;
}

/* Children of fork share the shadow's files but not its memory: they are not watched. */
__attribute__((constructor)) static void at_fork(void) {
  extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));
  extern void dropsync_off(void);
  pthread_atfork(NULL, NULL, dropsync_off);
}
void dropsync_off(void) { active = 0; }

/* After an open: a file that was not there before is new whatever its inode number says, and a truncated one is dirty throughout. */
static void opened(int fd, int flags, int existed) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !fd_below_root(fd)) return;
  if (!existed) forget(&st);
  struct node *node = node_of(&st, 1);
  if (flags & O_TRUNC) dirty_from(node, 0);
}

static int exists_at(int dirfd, const char *path) {
  struct stat st;
  return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int do_openat(int dirfd, const char *path, int flags, mode_t mode) {
  int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
  if (!active || !writes) return (int)syscall(SYS_openat, dirfd, path, flags, mode);
  pthread_mutex_lock(&mutex);
  int existed = exists_at(dirfd, path);
  int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
  int error = errno;
  opened(fd, flags, existed);
  pthread_mutex_unlock(&mutex);
  errno = error;
  return fd;
}

#define MODE_ARGUMENT(flags)                       \
  mode_t mode = 0;                                 \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {         \
    va_list arguments;                             \
    va_start(arguments, flags);                    \
    mode = (mode_t)va_arg(arguments, unsigned);    \
    va_end(arguments);                             \
  }

int open(const char *path, int flags, ...) { MODE_ARGUMENT(flags) return do_openat(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_ARGUMENT(flags) return do_openat(AT_FDCWD, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { MODE_ARGUMENT(flags) return do_openat(dirfd, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { MODE_ARGUMENT(flags) return do_openat(dirfd, path, flags, mode); }
int __open_2(const char *path, int flags) { return do_openat(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return do_openat(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return do_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return do_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Notes that bytes from `offset` on changed; -1: the ones just written at the descriptor's position.
 * Files are known by inode, so dup, fork and close need no care. */
static void wrote(int fd, int64_t offset, ssize_t count) {
  struct stat st;
  int error = errno;
  if (active && count > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
    if (offset < 0) offset = (int64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - count;
    pthread_mutex_lock(&mutex);
    dirty_from(node_of(&st, 0), offset);
    pthread_mutex_unlock(&mutex);
  }
  errno = error;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  ssize_t done = syscall(SYS_write, fd, bytes, count);
  wrote(fd, -1, done);
  return done;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  ssize_t done = syscall(SYS_writev, fd, parts, count);
  wrote(fd, -1, done);
  return done;
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, offset);
  wrote(fd, offset, done);
  return done;
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
  ssize_t done = real_pwritev64(fd, parts, count, offset);
  wrote(fd, offset, done);
  return done;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count, unsigned flags) {
  ssize_t done = syscall(SYS_copy_file_range, in, in_at, out, out_at, count, flags);
  wrote(out, out_at ? *out_at - (done > 0 ? done : 0) : -1, done);
  return done;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t count) {
  ssize_t done = syscall(SYS_sendfile, out, in, at, count);
  wrote(out, -1, done);
  return done;
}
ssize_t sendfile(int out, int in, off_t *at, size_t count) { return sendfile64(out, in, at, count); }

/* A new size is data: bytes from the smaller of both sizes on. */
int ftruncate64(int fd, off64_t size) {
  struct stat before;
  int known = fstat(fd, &before) == 0;
  int result = (int)syscall(SYS_ftruncate, fd, size);
  if (result == 0 && known) wrote(fd, before.st_size < size ? before.st_size : size, 1);
  return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int truncate64(const char *path, off64_t size) {
  int fd = do_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return -1;
  int result = ftruncate64(fd, size), error = errno;
  raw_close(fd);
  errno = error;
  return result;
}
int truncate(const char *path, off_t size) { return truncate64(path, size); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  int result = (int)syscall(SYS_fallocate, fd, mode, offset, length);
  if (result == 0 && mode != 1 /* FALLOC_FL_KEEP_SIZE alone changes no byte */) wrote(fd, offset, 1);
  return result;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
  return fallocate64(fd, 0, offset, length) == 0 ? 0 : errno;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

/* Names change at once and become durable with their directory. A name that goes takes its node along once it was the last. */
static void leaving(int dirfd, const char *path, struct stat *st, int *last) {
  *last = fstatat(dirfd, path, st, AT_SYMLINK_NOFOLLOW) == 0 && (S_ISDIR(st->st_mode) || st->st_nlink == 1);
}

static int do_unlinkat(int dirfd, const char *path, int flags) {
  if (!active) return (int)syscall(SYS_unlinkat, dirfd, path, flags);
  struct stat st;
  int last;
  pthread_mutex_lock(&mutex);
  leaving(dirfd, path, &st, &last);
  int result = (int)syscall(SYS_unlinkat, dirfd, path, flags), error = errno;
  if (result == 0 && last) forget(&st);
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int unlinkat(int dirfd, const char *path, int flags) { return do_unlinkat(dirfd, path, flags); }
int unlink(const char *path) { return do_unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return do_unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  int result = unlink(path);
  return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  if (!active) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
  struct stat old, moved;
  int last;
  pthread_mutex_lock(&mutex);
  leaving(to_dir, to, &old, &last);
  int known = fstatat(from_dir, from, &moved, AT_SYMLINK_NOFOLLOW) == 0;
  int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), error = errno;
  /* Neither an exchange nor a rename onto another name of the same file removes anything. */
  if (result == 0 && last && flags == 0 && !(known && moved.st_ino == old.st_ino)) forget(&old);
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* A directory's inode number may be an old one as well. */
static int do_mkdirat(int dirfd, const char *path, mode_t mode) {
  int result = (int)syscall(SYS_mkdirat, dirfd, path, mode), error = errno;
  struct stat st;
  if (active && result == 0 && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
    pthread_mutex_lock(&mutex);
    forget(&st);
    pthread_mutex_unlock(&mutex);
  }
  errno = error;
  return result;
}
int mkdirat(int dirfd, const char *path, mode_t mode) { return do_mkdirat(dirfd, path, mode); }
int mkdir(const char *path, mode_t mode) { return do_mkdirat(AT_FDCWD, path, mode); }

static int do_sync(long call, int fd) {
  struct stat st;
  if (!active || fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) || !fd_below_root(fd))
    return (int)syscall(call, fd);
  pthread_mutex_lock(&mutex);
  if (++syncs == kill_at) kill(getpid(), SIGKILL);
  struct node *node = node_of(&st, 1);
  int result = 0, error = errno;
  if (S_ISREG(st.st_mode)) {
    /* The shadow is the disk: the real one need not be troubled, which keeps tests fast. */
    if (fail_flag[0] && syscall(SYS_faccessat, AT_FDCWD, fail_flag, F_OK) == 0) {
      node->dirty = CLEAN; /* pages marked clean, bytes never written */
      result = -1;
      error = EIO;
    } else {
      save_file(fd, node);
    }
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    save_dir(link, node, 0);
  }
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int fsync(int fd) { return do_sync(SYS_fsync, fd); }
int fdatasync(int fd) { return do_sync(SYS_fdatasync, fd); }
