/* os_posix.c - the operating system on Linux, macOS and other POSIX systems. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#if !defined(_FILE_OFFSET_BITS)
#define _FILE_OFFSET_BITS 64
#endif
#include "base/os.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#if defined(__linux__)
#include <semaphore.h>
#endif
#include <stdio.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#endif
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if !defined(LM_STATIC_ONLY)
#include <dlfcn.h>
#endif

/* --- files ------------------------------------------------------------------------------------ */

int32_t lm_os_file_open(const char *path, lm_os_file *out)
{
    /* not to be kept waiting by a pipe that nobody writes to; files do not care */
    out->handle = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (out->handle < 0)
        return lm_fail(errno == ENOENT ? LLM_E_NOT_FOUND : LLM_E_IO, "cannot open '%s': %s", path,
                       strerror(errno));
    return LLM_OK;
}

int32_t lm_os_file_dup(int fd, lm_os_file *out)
{
    out->handle = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (out->handle < 0)
        return lm_fail(LLM_E_IO, "cannot use file descriptor %d: %s", fd, strerror(errno));
    return LLM_OK;
}

void lm_os_file_close(lm_os_file *file)
{
    if (file->handle >= 0)
        close((int)file->handle);
    file->handle = -1;
}

int32_t lm_os_file_size(lm_os_file file, uint64_t *out)
{
    struct stat info;
    if (fstat((int)file.handle, &info) != 0)
        return lm_fail(LLM_E_IO, "cannot ask for the file's size: %s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return lm_fail(LLM_E_IO, "not a regular file; open a file, or use callbacks for a stream");
    *out = (uint64_t)info.st_size;
    return LLM_OK;
}

int32_t lm_os_file_read(lm_os_file file, uint64_t offset, void *into, size_t size)
{
    char *at = into;
    while (size > 0) {
        size_t part = size < (1u << 30) ? size : (1u << 30);
        ssize_t got = pread((int)file.handle, at, part, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lm_fail(LLM_E_IO, "cannot read at offset %llu: %s", (unsigned long long)offset,
                           strerror(errno));
        if (got == 0)
            return lm_fail(LLM_E_IO, "the file ends at offset %llu, earlier than it said",
                           (unsigned long long)offset);
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return LLM_OK;
}

int32_t lm_os_map(lm_os_file file, uint64_t size, lm_os_mapping *out)
{
    if (size == 0 || !lm_fits_size(size))
        return lm_fail(LLM_E_IO, "cannot map a file of %llu bytes", (unsigned long long)size);
    void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, (int)file.handle, 0);
    if (data == MAP_FAILED)
        return lm_fail(LLM_E_IO, "cannot map %llu bytes: %s", (unsigned long long)size,
                       strerror(errno));
    lm_os_large_pages(data, (size_t)size); /* for what is not in memory yet */
    *out = (lm_os_mapping){data, size, 0};
    return LLM_OK;
}

void lm_os_unmap(lm_os_mapping *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, (size_t)map->size);
    map->data = NULL;
}

void lm_os_fetch(const void *data, uint64_t size)
{
    long page = sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)data, from = page > 0 ? first - first % (uintptr_t)page : first;
    posix_madvise((void *)from, (size_t)(size + (first - from)), POSIX_MADV_WILLNEED);
}

void lm_os_large_pages(void *data, size_t size)
{
#if defined(MADV_HUGEPAGE)
    long page = sysconf(_SC_PAGESIZE);
    uintptr_t step = page > 0 ? (uintptr_t)page : 1, first = (uintptr_t)data, end = first + size;
    first = (first + step - 1) / step * step;
    end -= end % step;
    if (first < end)
        madvise((void *)first, (size_t)(end - first), MADV_HUGEPAGE);
#else
    (void)data, (void)size;
#endif
}

static void sync_directory_of(const char *path)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : (size_t)(slash - path) + (slash == path);
    if (length >= sizeof directory)
        return;
    memcpy(directory, slash == NULL ? "." : path, length);
    directory[length] = '\0';
    int fd = open(directory, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

int32_t lm_os_output_open(const char *path, lm_os_output *out)
{
    out->file.handle = -1;
    if (path[0] == '\0')
        return lm_fail(LLM_E_INVALID, "an empty path to write to");
    struct stat there; /* renaming over a device or a pipe would put a file in its place */
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return lm_fail(LLM_E_IO, "'%s' is no regular file and will not be replaced", path);
    /* several may write to one path at once, and a process that died may have left its file behind */
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        int length = snprintf(out->temporary, sizeof out->temporary, "%s.%ld-%u.tmp", path,
                              (long)getpid(), attempt);
        if (length < 0 || (size_t)length >= sizeof out->temporary)
            return lm_fail(LLM_E_INVALID, "the path '%s' is too long", path);
        out->file.handle = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->file.handle >= 0 || errno != EEXIST)
            break;
    }
    if (out->file.handle < 0)
        return lm_fail(LLM_E_IO, "cannot create '%s': %s", out->temporary, strerror(errno));
    memcpy(out->path, path, strlen(path) + 1);
    return LLM_OK;
}

int32_t lm_os_output_write(lm_os_output *output, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        ssize_t put = write((int)output->file.handle, from, size < (1u << 30) ? size : (1u << 30));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return lm_fail(LLM_E_IO, "cannot write '%s': %s", output->temporary, strerror(errno));
        from += put;
        size -= (size_t)put;
    }
    return LLM_OK;
}

void lm_os_output_abandon(lm_os_output *output)
{
    if (output->file.handle < 0)
        return;
    lm_os_file_close(&output->file);
    unlink(output->temporary);
}

int32_t lm_os_output_commit(lm_os_output *output)
{
    int fd = (int)output->file.handle;
    int32_t rc = LLM_OK;
    if (fsync(fd) != 0)
        rc = lm_fail(LLM_E_IO, "cannot flush '%s': %s", output->temporary, strerror(errno));
    output->file.handle = -1;
    if (close(fd) != 0 && rc == LLM_OK)
        rc = lm_fail(LLM_E_IO, "cannot close '%s': %s", output->temporary, strerror(errno));
    if (rc == LLM_OK && rename(output->temporary, output->path) != 0)
        rc = lm_fail(LLM_E_IO, "cannot rename '%s' to '%s': %s", output->temporary, output->path,
                     strerror(errno));
    if (rc < 0) {
        unlink(output->temporary);
        return rc;
    }
    sync_directory_of(output->path);
    return LLM_OK;
}

/* --- time, processor, memory ------------------------------------------------------------------ */

uint64_t lm_os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t lm_os_thread_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint32_t lm_os_cpu_count(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count = online < 1 ? 1 : (uint32_t)online;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        count = lm_min_u32(count, (uint32_t)CPU_COUNT(&set));
    uint32_t quota = lm_os_cgroup_cpus("");
    if (quota > 0)
        count = lm_min_u32(count, quota);
#endif
    return count;
}

void lm_os_hwcap(uint64_t words[2])
{
#if defined(__linux__)
    words[0] = getauxval(AT_HWCAP);
    words[1] = getauxval(AT_HWCAP2);
#else
    words[0] = words[1] = 0;
#endif
}

bool lm_os_allow_tiles(void)
{
#if defined(__linux__) && defined(__x86_64__)
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}

uint64_t lm_os_memory_total(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages < 0 || size < 0 ? 0 : (uint64_t)pages * (uint64_t)size;
}

uint64_t lm_os_memory_free(void)
{
#if defined(_SC_AVPHYS_PAGES)
    long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages < 0 || size < 0 ? 0 : (uint64_t)pages * (uint64_t)size;
#else
    return 0;
#endif
}

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct thread_impl {
    pthread_t handle;
    void (*fn)(void *arg);
    void *arg;
} thread_impl;

static void *thread_main(void *arg)
{
    thread_impl *impl = arg;
    impl->fn(impl->arg);
    return NULL;
}

int32_t lm_os_thread_start(lm_allocator *a, void (*fn)(void *arg), void *arg, lm_os_thread *out)
{
    thread_impl *impl = LM_NEW(a, thread_impl);
    if (impl == NULL)
        return LLM_E_MEMORY;
    impl->fn = fn;
    impl->arg = arg;
    int error = pthread_create(&impl->handle, NULL, thread_main, impl);
    if (error != 0) {
        LM_DELETE(a, impl);
        return lm_fail(LLM_E_MEMORY, "cannot start a thread: %s", strerror(error));
    }
    out->impl = impl;
    return LLM_OK;
}

void lm_os_thread_join(lm_allocator *a, lm_os_thread *thread)
{
    thread_impl *impl = thread->impl;
    if (impl == NULL)
        return;
    pthread_join(impl->handle, NULL);
    LM_DELETE(a, impl);
    thread->impl = NULL;
}

void lm_os_thread_yield(void)
{
    sched_yield();
}

void lm_os_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

int32_t lm_os_mutex_init(lm_allocator *a, lm_os_mutex *out)
{
    pthread_mutex_t *impl = LM_NEW(a, pthread_mutex_t);
    if (impl == NULL)
        return LLM_E_MEMORY;
    if (pthread_mutex_init(impl, NULL) != 0) {
        LM_DELETE(a, impl);
        return lm_fail(LLM_E_MEMORY, "cannot make a mutex");
    }
    out->impl = impl;
    return LLM_OK;
}

void lm_os_mutex_finish(lm_allocator *a, lm_os_mutex *mutex)
{
    pthread_mutex_t *impl = mutex->impl;
    if (impl == NULL)
        return;
    pthread_mutex_destroy(impl);
    LM_DELETE(a, impl);
    mutex->impl = NULL;
}

void lm_os_mutex_lock(lm_os_mutex *mutex)
{
    pthread_mutex_lock(mutex->impl);
}

void lm_os_mutex_unlock(lm_os_mutex *mutex)
{
    pthread_mutex_unlock(mutex->impl);
}

int32_t lm_os_cond_init(lm_allocator *a, lm_os_cond *out)
{
    pthread_cond_t *impl = LM_NEW(a, pthread_cond_t);
    if (impl == NULL)
        return LLM_E_MEMORY;
    if (pthread_cond_init(impl, NULL) != 0) {
        LM_DELETE(a, impl);
        return lm_fail(LLM_E_MEMORY, "cannot make a condition variable");
    }
    out->impl = impl;
    return LLM_OK;
}

void lm_os_cond_finish(lm_allocator *a, lm_os_cond *cond)
{
    pthread_cond_t *impl = cond->impl;
    if (impl == NULL)
        return;
    pthread_cond_destroy(impl);
    LM_DELETE(a, impl);
    cond->impl = NULL;
}

void lm_os_cond_wait(lm_os_cond *cond, lm_os_mutex *mutex)
{
    pthread_cond_wait(cond->impl, mutex->impl);
}

void lm_os_cond_wake_one(lm_os_cond *cond)
{
    pthread_cond_signal(cond->impl);
}

void lm_os_cond_wake_all(lm_os_cond *cond)
{
    pthread_cond_broadcast(cond->impl);
}

static struct timespec time_after(uint64_t ns)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    ns += (uint64_t)end.tv_nsec;
    end.tv_sec += (time_t)(ns / 1000000000u);
    end.tv_nsec = (long)(ns % 1000000000u);
    return end;
}

#if defined(__linux__)
int32_t lm_os_sem_init(lm_allocator *a, lm_os_sem *out)
{
    sem_t *impl = LM_NEW(a, sem_t);
    if (impl == NULL)
        return LLM_E_MEMORY;
    sem_init(impl, 0, 0);
    out->impl = impl;
    return LLM_OK;
}

void lm_os_sem_finish(lm_allocator *a, lm_os_sem *sem)
{
    sem_t *impl = sem->impl;
    if (impl == NULL)
        return;
    sem_destroy(impl);
    LM_DELETE(a, impl);
    sem->impl = NULL;
}

void lm_os_sem_post(lm_os_sem *sem)
{
    sem_post(sem->impl);
}

void lm_os_sem_wait(lm_os_sem *sem)
{
    while (sem_wait(sem->impl) != 0)
        ;
}

void lm_os_sem_wait_for(lm_os_sem *sem, uint64_t ns)
{
    struct timespec end = time_after(ns);
    while (sem_timedwait(sem->impl, &end) != 0 && errno == EINTR)
        ;
}
#else
/* macOS has no unnamed semaphores. */
typedef struct counted {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint32_t count;
} counted;

int32_t lm_os_sem_init(lm_allocator *a, lm_os_sem *out)
{
    counted *impl = LM_NEW(a, counted);
    if (impl == NULL)
        return LLM_E_MEMORY;
    if (pthread_mutex_init(&impl->mutex, NULL) != 0 || pthread_cond_init(&impl->cond, NULL) != 0) {
        LM_DELETE(a, impl);
        return lm_fail(LLM_E_MEMORY, "cannot make a semaphore");
    }
    out->impl = impl;
    return LLM_OK;
}

void lm_os_sem_finish(lm_allocator *a, lm_os_sem *sem)
{
    counted *impl = sem->impl;
    if (impl == NULL)
        return;
    pthread_cond_destroy(&impl->cond);
    pthread_mutex_destroy(&impl->mutex);
    LM_DELETE(a, impl);
    sem->impl = NULL;
}

void lm_os_sem_post(lm_os_sem *sem)
{
    counted *impl = sem->impl;
    pthread_mutex_lock(&impl->mutex);
    impl->count++;
    pthread_cond_signal(&impl->cond);
    pthread_mutex_unlock(&impl->mutex);
}

void lm_os_sem_wait(lm_os_sem *sem)
{
    counted *impl = sem->impl;
    pthread_mutex_lock(&impl->mutex);
    while (impl->count == 0)
        pthread_cond_wait(&impl->cond, &impl->mutex);
    impl->count--;
    pthread_mutex_unlock(&impl->mutex);
}

void lm_os_sem_wait_for(lm_os_sem *sem, uint64_t ns)
{
    counted *impl = sem->impl;
    struct timespec end = time_after(ns);
    int error = 0;
    pthread_mutex_lock(&impl->mutex);
    while (impl->count == 0 && error == 0)
        error = pthread_cond_timedwait(&impl->cond, &impl->mutex, &end);
    if (impl->count > 0)
        impl->count--;
    pthread_mutex_unlock(&impl->mutex);
}
#endif

/* --- shared objects --------------------------------------------------------------------------- */

#if !defined(LM_STATIC_ONLY)
#if defined(__APPLE__)
#define LIBRARY_SUFFIX ".dylib"
#else
#define LIBRARY_SUFFIX ".so"
#endif

/* The folder of the file that this code was loaded from, with its last slash; "" when unknown. */
static void own_folder(char *out, size_t size)
{
    Dl_info info;
    int32_t (*here)(const char *, const char *, void **) = lm_os_module_open;
    void *address;
    memcpy(&address, &here, sizeof address);
    out[0] = '\0';
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash + 1 - info.dli_fname);
    if (length < size) {
        memcpy(out, info.dli_fname, length);
        out[length] = '\0';
    }
}

int32_t lm_os_module_open(const char *folder, const char *name, void **out)
{
    char own[LM_OS_PATH_BYTES], path[LM_OS_PATH_BYTES];
    *out = NULL;
    if (folder == NULL)
        own_folder(own, sizeof own);
    if (folder == NULL && own[0] == '\0') /* a bare name would be looked for anywhere */
        return lm_fail(LLM_E_NOT_FOUND, "no module '%s': the library's own folder is not known",
                       name);
    int used = snprintf(path, sizeof path, "%s%slibllm-%s" LIBRARY_SUFFIX,
                        folder == NULL ? own : folder, folder == NULL ? "" : "/", name);
    if (used < 0 || (size_t)used >= sizeof path)
        return lm_fail(LLM_E_INVALID, "the path of module '%s' is too long", name);
    if (access(path, F_OK) != 0)
        return lm_fail(LLM_E_NOT_FOUND, "no module '%s': %s", path, strerror(errno));
    *out = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return *out != NULL ? LLM_OK
                        : lm_fail(LLM_E_UNSUPPORTED, "cannot load a module: %s", dlerror());
}

int32_t lm_os_library_open(const char *name, void **out)
{
    *out = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return *out != NULL ? LLM_OK
                        : lm_fail(LLM_E_NOT_FOUND, "cannot load '%s': %s", name, dlerror());
}

void lm_os_library_close(void *library)
{
    if (library != NULL)
        dlclose(library);
}

void *lm_os_library_symbol(void *library, const char *name)
{
    return dlsym(library, name);
}
#endif
