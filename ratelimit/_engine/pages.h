/* Memory of a mapped file, had before it is used: a write to a hole of a file on a full disk would kill the process. */
#ifndef RATELIMIT_PAGES_H
#define RATELIMIT_PAGES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
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

#endif
