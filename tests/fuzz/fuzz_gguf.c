/* fuzz_gguf.c - any bytes as a GGUF file: opened from memory and through a callback, which must
 * agree, and all that was opened is touched. Begins with sound files. */
#include "fuzz/fuzz.h"

#include "format/gguf_bytes.h"
#include "format/gguf_walk.h"

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static int32_t read_input(void *user, uint64_t offset, void *into, uint64_t size)
{
    const input *in = user;
    if (size > in->size || offset > in->size - size)
        abort(); /* a read outside of the file was let through */
    memcpy(into, in->data + offset, (size_t)size);
    return 0;
}

static int32_t open_and_walk(lm_allocator *a, lm_source *source, uint64_t *sum)
{
    lm_gguf *g;
    int32_t rc = lm_gguf_open_source(a, NULL, NULL, source, &g);
    if (rc == LLM_OK) {
        *sum = gguf_walk(g);
        lm_gguf_close(g);
    }
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_allocator a;
    lm_source memory, callback;
    input in = {data, size};
    uint64_t from_memory = 0, from_callback = 0;
    lm_allocator_init(&a, NULL);
    if (lm_source_open_memory(&a, data, size, &memory) != LLM_OK ||
        lm_source_open_callback(&a, read_input, &in, size, &callback) != LLM_OK)
        return 0;
    int32_t first = open_and_walk(&a, &memory, &from_memory);
    int32_t second = open_and_walk(&a, &callback, &from_callback);
    if (first != second || from_memory != from_callback || a.bytes != 0)
        abort();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static gguf_bytes sound;
    if (size >= 24)
        return LLVMFuzzerMutate(data, size, max_size);
    gb_sound(&sound, 1 + seed % 3);
    size = sound.size < max_size ? sound.size : max_size;
    memcpy(data, sound.data, size);
    return size;
}
