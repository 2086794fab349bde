/* Makes operations on files below a folder go wrong, for all processes of a command together (LD_PRELOAD; faults.py).

   FAULT_FOLDER  only paths below it are counted
   FAULT_TABLE   a file with a struct table, which all processes map: how often each operation came, what was hit first
   FAULT_PLAN    "OPERATION KIND N": the N-th of these goes wrong; "N+": all from then on; OPERATION "any": all that can

   KIND: "kill" before the operation, "torn": half of a write, then a kill; "short": half of a write, which says so; or
   the number of an error. Python, safetensors and the compiler's driver come by here. What C's streams write inside
   the library does not, so an assembler or linker is only seen to open, rename and remove. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN, READ, WRITE, FSYNC, RENAME, TRUNCATE, LINK, UNLINK, MKDIR, CLOSE, OPERATIONS };
static const char *const NAMES[] = {"open", "read", "write", "fsync", "rename", "truncate", "link", "unlink", "mkdir", "close"};
enum { NOTHING, FAIL, SHORT, TORN };

static struct table { uint64_t counts[OPERATIONS], hits, operation; char path[PATH_MAX]; } *table;
static const char *folder;
static char operation[16], kind[16];
static uint64_t nth;
static int onwards;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULT_TABLE"), *plan = getenv("FAULT_PLAN");
  folder = getenv("FAULT_FOLDER");
  int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int (*real_close)(int) = dlsym(RTLD_NEXT, "close");
  if (!file || !folder) return;
  int fd = real_open(file, O_RDWR | O_CLOEXEC);
  void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) real_close(fd);
  if (map == MAP_FAILED) return;
  char plus = 0;
  if (plan && sscanf(plan, "%15s %15s %lu%c", operation, kind, &nth, &plus) < 3) *operation = 0;
  onwards = plus == '+';
  table = map;
}

/* Whether an error is one that an operation can have: only what needs room fails on a full disk, and so on. */
static int apt(int op, int error) {
  if (error == ENOSPC) return op != READ && op != UNLINK && op != CLOSE;
  if (error == EROFS) return op != READ && op != WRITE && op != FSYNC && op != CLOSE;
  return 1;
}

/* What is to become of an operation on a path; it is counted. */
static int due(int op, const char *path) {
  size_t length = strlen(folder);
  if (strncmp(path, folder, length) || (path[length] && path[length] != '/')) return NOTHING;
  uint64_t n = __atomic_add_fetch(&table->counts[op], 1, __ATOMIC_SEQ_CST);
  int any = !strcmp(operation, "any");
  if (!(any ? apt(op, atoi(kind)) : !strcmp(operation, NAMES[op])) || !(onwards ? n >= nth : n == nth)) return NOTHING;
  if (__atomic_fetch_add(&table->hits, 1, __ATOMIC_SEQ_CST) == 0) {
    table->operation = op;
    snprintf(table->path, sizeof table->path, "%s", path);
  }
  if (!strcmp(kind, "short")) return SHORT;
  if (!strcmp(kind, "torn")) return TORN;
  if (!strcmp(kind, "kill")) kill(getpid(), SIGKILL);
  errno = atoi(kind);
  return FAIL;
}

static int due_at(int op, int base, const char *path) {
  char full[2 * PATH_MAX], link[64];
  if (!table || !path) return NOTHING;
  if (*path == '/') return due(op, path);
  int before = errno;
  snprintf(link, sizeof link, base == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", base);
  ssize_t length = readlink(link, full, PATH_MAX);
  errno = before;
  if (length < 0) return NOTHING;
  snprintf(full + length, sizeof full - length, "/%s", path);
  return due(op, full);
}

static int due_of(int op, int fd) {
  char full[PATH_MAX], link[64];
  if (!table) return NOTHING;
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, full, PATH_MAX - 1);
  int mode = length < 0 ? 0 : fcntl(fd, F_GETFL) & O_ACCMODE;
  errno = before;
  if (length < 0 || (op == CLOSE && mode == O_RDONLY)) return NOTHING;
  full[length] = 0;
  return due(op, full);
}

#define CALL(type, name, ...) ((type(*)())dlsym(RTLD_NEXT, name))(__VA_ARGS__)
#define OPENS(name, parameters, base, ...)                                                                   \
  int name parameters {                                                                                      \
    va_list more;                                                                                            \
    va_start(more, flags);                                                                                   \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;                                \
    va_end(more);                                                                                            \
    int writes = flags & (O_CREAT | O_ACCMODE);                                                              \
    return due_at(writes ? OPEN : READ, base, path) ? -1 : CALL(int, #name, __VA_ARGS__, flags, mode);       \
  }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPENS(openat, (int base, const char *path, int flags, ...), base, base, path)
OPENS(openat64, (int base, const char *path, int flags, ...), base, base, path)

ssize_t write(int fd, const void *data, size_t size) {
  int what = due_of(WRITE, fd);
  if (what == FAIL) return -1;
  ssize_t done = CALL(ssize_t, "write", fd, data, what && size > 1 ? size / 2 : size);
  if (what == TORN) kill(getpid(), SIGKILL);
  return done;
}

int close(int fd) {
  int what = due_of(CLOSE, fd), error = errno, done = CALL(int, "close", fd); /* which frees the number even so */
  if (what) errno = error;
  return what ? -1 : done;
}

#define OF_PATH(name, op, parameters, base, path, ...)                                                       \
  int name parameters { return due_at(op, base, path) ? -1 : CALL(int, #name, __VA_ARGS__); }
#define OF_FILE(name, op, parameters, ...)                                                                   \
  int name parameters { return due_of(op, fd) ? -1 : CALL(int, #name, __VA_ARGS__); }
OF_FILE(fsync, FSYNC, (int fd), fd)
OF_FILE(fdatasync, FSYNC, (int fd), fd)
OF_FILE(ftruncate, TRUNCATE, (int fd, off_t size), fd, size)
OF_FILE(ftruncate64, TRUNCATE, (int fd, off64_t size), fd, size)
OF_PATH(truncate, TRUNCATE, (const char *a, off_t size), AT_FDCWD, a, a, size)
OF_PATH(rename, RENAME, (const char *a, const char *b), AT_FDCWD, a, a, b)
OF_PATH(renameat, RENAME, (int x, const char *a, int y, const char *b), x, a, x, a, y, b)
OF_PATH(link, LINK, (const char *a, const char *b), AT_FDCWD, b, a, b)
OF_PATH(linkat, LINK, (int x, const char *a, int y, const char *b, int flags), y, b, x, a, y, b, flags)
OF_PATH(unlink, UNLINK, (const char *a), AT_FDCWD, a, a)
OF_PATH(unlinkat, UNLINK, (int x, const char *a, int flags), x, a, x, a, flags)
OF_PATH(rmdir, UNLINK, (const char *a), AT_FDCWD, a, a)
OF_PATH(mkdir, MKDIR, (const char *a, mode_t mode), AT_FDCWD, a, a, mode)
OF_PATH(mkdirat, MKDIR, (int x, const char *a, mode_t mode), x, a, x, a, mode)
