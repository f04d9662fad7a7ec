/* Memory of a table: a file's is had before it is used, since a write to a hole on a full disk would kill the process;
   that of a process is given back. */
#ifndef RATELIMIT_PAGES_H
#define RATELIMIT_PAGES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RATELIMIT_POPULATE_WRITE 23 /* MADV_POPULATE_WRITE of Linux 5.14, which older headers do not have */

/* False if no memory is left. A kernel that cannot be asked reports EINVAL: there, a table has all of its memory from the
   start (see _storage/memory.py). */
static inline int pages_reserve(void *start, size_t size) {
#ifdef __linux__
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)start / page * page;
    uintptr_t end = ((uintptr_t)start + size + page - 1) / page * page;
    int failed;
    do
        failed = madvise((void *)first, end - first, RATELIMIT_POPULATE_WRITE);
    while (failed && (errno == EINTR || errno == EAGAIN));
    return !failed || errno == EINVAL;
#else
    return 1;
#endif
}

/* Make private memory zero, and give whole pages of it back where the kernel then provides zeros. */
static inline void pages_release(void *start, size_t size) {
#ifdef __linux__
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), end = (uintptr_t)start + size;
    uintptr_t first = ((uintptr_t)start + page - 1) / page * page, last = end / page * page;
    if (first < last && !madvise((void *)first, last - first, MADV_DONTNEED)) {
        memset(start, 0, first - (uintptr_t)start);
        memset((void *)last, 0, end - last);
        return;
    }
#endif
    memset(start, 0, size);
}

#endif
