/* source.c - opening, reading and closing of byte sources. */
#include "format/source.h"

#include "base/checked.h"

#include <string.h>

static void reset(lm_allocator *a, lm_source *out)
{
    memset(out, 0, sizeof *out);
    out->alloc = a;
    out->file.handle = -1;
}

/* Takes over an open file: sizes it, and maps it when asked to. An empty file has nothing to map.
 */
static int32_t adopt_file(lm_os_file file, uint32_t mode, lm_source *out)
{
    int32_t rc;
    out->file = file;
    LM_GO(lm_os_file_size(file, &out->size));
    if (mode == LM_SOURCE_MAP && out->size > 0) {
        LM_GO(lm_os_map(file, out->size, &out->map));
        out->data = out->map.data;
        lm_os_file_close(&out->file);
    }
out:
    if (rc < 0)
        lm_source_close(out);
    return rc;
}

int32_t lm_source_open_path(lm_allocator *a, const char *path, uint32_t mode, lm_source *out)
{
    lm_os_file file;
    lm_source source;
    reset(a, &source);
    LM_TRY(lm_os_file_open(path, &file));
    int32_t rc = adopt_file(file, mode, &source);
    if (rc < 0)
        return lm_fail_within(rc, "'%s'", path);
    *out = source;
    return LLM_OK;
}

int32_t lm_source_open_fd(lm_allocator *a, int fd, uint32_t mode, lm_source *out)
{
    lm_os_file file;
    lm_source source;
    reset(a, &source);
    LM_TRY(lm_os_file_dup(fd, &file));
    LM_TRY(adopt_file(file, mode, &source));
    *out = source;
    return LLM_OK;
}

int32_t lm_source_open_memory(lm_allocator *a, const void *data, uint64_t size, lm_source *out)
{
    if (data == NULL && size > 0)
        return lm_fail(LLM_E_INVALID, "no memory block given to read a model from");
    if (!lm_fits_size(size))
        return lm_fail(LLM_E_INVALID, "a memory block of %llu bytes cannot exist on this system",
                       (unsigned long long)size);
    reset(a, out);
    out->data = data;
    out->size = size;
    return LLM_OK;
}

int32_t lm_source_open_callback(lm_allocator *a,
                                int32_t (*read)(void *user, uint64_t offset, void *into,
                                                uint64_t size),
                                void *user, uint64_t size, lm_source *out)
{
    if (read == NULL)
        return lm_fail(LLM_E_INVALID, "no read callback given to read a model with");
    reset(a, out);
    out->read = read;
    out->user = user;
    out->size = size;
    return LLM_OK;
}

void lm_source_close(lm_source *source)
{
    lm_os_unmap(&source->map);
    lm_os_file_close(&source->file);
    source->data = NULL;
    source->read = NULL;
    source->size = 0;
}

int32_t lm_source_read(const lm_source *source, uint64_t offset, void *into, size_t size)
{
    if (!lm_inside(offset, size, source->size))
        return lm_fail(LLM_E_FORMAT, "%llu bytes wanted at offset %llu of a file of %llu bytes",
                       (unsigned long long)size, (unsigned long long)offset,
                       (unsigned long long)source->size);
    if (size == 0)
        return LLM_OK;
    if (source->data != NULL) {
        memcpy(into, source->data + offset, size);
        return LLM_OK;
    }
    if (source->read == NULL)
        return lm_os_file_read(source->file, offset, into, size);
    int32_t rc = source->read(source->user, offset, into, size);
    if (rc != 0)
        return lm_fail(LLM_E_IO,
                       "the host's read callback answered %ld for %llu bytes at offset %llu",
                       (long)rc, (unsigned long long)size, (unsigned long long)offset);
    return LLM_OK;
}
