/* source - where a model's bytes come from: a path, a descriptor, memory, or callbacks of the host;
 * mapped when possible and wanted. Formats read through it and never see the difference. */
#ifndef LM_FORMAT_SOURCE_H
#define LM_FORMAT_SOURCE_H

#include "base/os.h"

typedef struct lm_source {
    lm_allocator *alloc;
    uint64_t size;
    const unsigned char *data; /* whole content when mapped or in memory, else NULL */
    lm_os_file file;
    lm_os_mapping map;
    int32_t (*read)(void *user, uint64_t offset, void *into, uint64_t size);
    void *user;
} lm_source;

enum { LM_SOURCE_MAP, LM_SOURCE_READ };

int32_t lm_source_open_path(lm_allocator *a, const char *path, uint32_t mode, lm_source *out);
int32_t lm_source_open_fd(lm_allocator *a, int fd, uint32_t mode, lm_source *out);
int32_t lm_source_open_memory(lm_allocator *a, const void *data, uint64_t size, lm_source *out);
int32_t lm_source_open_callback(lm_allocator *a,
                                int32_t (*read)(void *user, uint64_t offset, void *into,
                                                uint64_t size),
                                void *user, uint64_t size, lm_source *out);
void lm_source_close(lm_source *source);

/* Reads exactly `size` bytes or fails; the range is checked against the size first. */
int32_t lm_source_read(const lm_source *source, uint64_t offset, void *into, size_t size);

#endif
