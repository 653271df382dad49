/* os - every call to the operating system. One implementation per system: os_posix.c (with the
 * few Linux and macOS differences inside), os_windows.c. Nothing here knows about models. */
#ifndef LM_BASE_OS_H
#define LM_BASE_OS_H

#include "base/alloc.h"

#include <stdbool.h>
#include <stddef.h>

/* --- files ------------------------------------------------------------------------------------ */

typedef struct lm_os_file {
    intptr_t handle; /* -1: none */
} lm_os_file;

typedef struct lm_os_mapping {
    const void *data;
    uint64_t size;
    intptr_t handle; /* private to the implementation */
} lm_os_mapping;

int32_t lm_os_file_open(const char *path, lm_os_file *out); /* for reading */
int32_t lm_os_file_dup(int fd, lm_os_file *out);            /* the caller keeps its own fd */
void lm_os_file_close(lm_os_file *file);
int32_t lm_os_file_size(lm_os_file file, uint64_t *out); /* regular files only */
int32_t lm_os_file_read(lm_os_file file, uint64_t offset, void *into,
                        size_t size); /* all or fail */

/* Maps the whole file read-only. Truncation by others while mapped is a documented limit. */
int32_t lm_os_map(lm_os_file file, uint64_t size, lm_os_mapping *out);
void lm_os_unmap(lm_os_mapping *map);
/* A part of a mapping will be read soon: the system may begin to fetch it. */
void lm_os_fetch(const void *data, uint64_t size);

/* A file written in pieces, as a whole or not at all: the pieces go to a temporary beside it, which
 * is flushed and renamed over it at the end. */
#define LM_OS_PATH_BYTES 4096

typedef struct lm_os_output {
    lm_os_file file;
    char path[LM_OS_PATH_BYTES], temporary[LM_OS_PATH_BYTES];
} lm_os_output;

int32_t lm_os_output_open(const char *path, lm_os_output *out);
int32_t lm_os_output_write(lm_os_output *output, const void *data, size_t size);
/* Closes the output, whatever comes of it. */
int32_t lm_os_output_commit(lm_os_output *output);
/* Closes and removes the temporary; nothing after a commit. */
void lm_os_output_abandon(lm_os_output *output);
/* All of it in one call. */
int32_t lm_os_file_replace(const char *path, const void *data, size_t size);

/* --- time, processor, memory ------------------------------------------------------------------ */

uint64_t lm_os_now_ns(void);    /* monotonic */
uint64_t lm_os_thread_ns(void); /* processor time that this thread has had; as time where unknown */
uint32_t lm_os_cpu_count(void); /* respects affinity and, on Linux, the cgroup quota; at least 1 */
/* What the system says of the processor's abilities where the processor cannot be asked itself:
 * AT_HWCAP and AT_HWCAP2 on Linux, else zeros. */
void lm_os_hwcap(uint64_t words[2]);
/* Asks the system to let this process use matrix registers (x86-64, Linux); false: it may not. */
bool lm_os_allow_tiles(void);
/* The least quota of the control groups (version 1 or 2) that the process is in, in whole processors;
 * 0: none. `root` stands before the paths of the system's own files: "" but in tests. Linux only. */
uint32_t lm_os_cgroup_cpus(const char *root);
uint64_t lm_os_memory_total(void); /* 0: unknown */
uint64_t lm_os_memory_free(void);
/* Wishes for large pages under memory, not touched yet, that will be read in whole again and again. */
void lm_os_large_pages(void *data, size_t size);
/* From here to `off`, pages that this thread is the first to touch, of files or not, are dealt out to all
 * memory nodes in turn; false: there is one node, or somebody chose a policy. Linux only. */
bool lm_os_spread_on(void);
void lm_os_spread_off(bool on); /* what `on` returned */

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct lm_os_thread {
    void *impl;
} lm_os_thread;
typedef struct lm_os_mutex {
    void *impl;
} lm_os_mutex;
typedef struct lm_os_cond {
    void *impl;
} lm_os_cond;
typedef struct lm_os_sem {
    void *impl;
} lm_os_sem;

int32_t lm_os_thread_start(lm_allocator *a, void (*fn)(void *arg), void *arg, lm_os_thread *out);
void lm_os_thread_join(lm_allocator *a, lm_os_thread *thread);
void lm_os_thread_yield(void);
void lm_os_relax(void); /* tells the processor that this thread looks at one word in a loop */

int32_t lm_os_mutex_init(lm_allocator *a, lm_os_mutex *out);
void lm_os_mutex_finish(lm_allocator *a, lm_os_mutex *mutex); /* a zeroed one is fine */
void lm_os_mutex_lock(lm_os_mutex *mutex);
void lm_os_mutex_unlock(lm_os_mutex *mutex);

int32_t lm_os_cond_init(lm_allocator *a, lm_os_cond *out);
void lm_os_cond_finish(lm_allocator *a, lm_os_cond *cond);
void lm_os_cond_wait(lm_os_cond *cond, lm_os_mutex *mutex);
void lm_os_cond_wake_one(lm_os_cond *cond);
void lm_os_cond_wake_all(lm_os_cond *cond);

int32_t lm_os_sem_init(lm_allocator *a, lm_os_sem *out); /* counts from zero */
void lm_os_sem_finish(lm_allocator *a, lm_os_sem *sem);
void lm_os_sem_post(lm_os_sem *sem);
void lm_os_sem_wait(lm_os_sem *sem);
void lm_os_sem_wait_for(lm_os_sem *sem, uint64_t ns); /* or until that much time is over */

/* --- shared objects --------------------------------------------------------------------------- */

/* libllm-NAME of this system in `folder`; NULL: beside the file that this code is in. LLM_E_NOT_FOUND
 * when there is no such file, LLM_E_UNSUPPORTED with the loader's words when it does not load. */
int32_t lm_os_module_open(const char *folder, const char *name, void **out);
/* By the loader's own search: drivers' libraries. */
int32_t lm_os_library_open(const char *name, void **out);
void lm_os_library_close(void *library);
void *lm_os_library_symbol(void *library, const char *name); /* NULL: absent */

#endif
