/* gguf_bytes - puts GGUF files together byte by byte, also such as no writer would write. */
#ifndef TEST_GGUF_BYTES_H
#define TEST_GGUF_BYTES_H

#include "base/bytes.h"
#include "format/gguf.h"

#include <stdlib.h>
#include <string.h>

typedef struct gguf_bytes {
    unsigned char data[8192];
    size_t size;
    uint32_t version;
} gguf_bytes;

static inline void gb_raw(gguf_bytes *b, const void *data, size_t size)
{
    if (size > sizeof b->data - b->size)
        fail_msg("the fixture is larger than its buffer");
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void gb_u32(gguf_bytes *b, uint32_t v)
{
    gb_raw(b, &v, sizeof v);
}

static inline void gb_u64(gguf_bytes *b, uint64_t v)
{
    gb_raw(b, &v, sizeof v);
}

/* Counts, lengths and dimensions have 32 bits in version 1. */
static inline void gb_count(gguf_bytes *b, uint64_t v)
{
    if (b->version == 1)
        gb_u32(b, (uint32_t)v);
    else
        gb_u64(b, v);
}

static inline void gb_string(gguf_bytes *b, const char *text)
{
    gb_count(b, strlen(text));
    gb_raw(b, text, strlen(text));
}

static inline void gb_head(gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_pairs)
{
    b->size = 0;
    b->version = version;
    gb_raw(b, "GGUF", 4);
    gb_u32(b, version);
    gb_count(b, n_tensors);
    gb_count(b, n_pairs);
}

static inline void gb_key(gguf_bytes *b, const char *key, uint32_t type)
{
    gb_string(b, key);
    gb_u32(b, type);
}

static inline void gb_array(gguf_bytes *b, const char *key, uint32_t type, uint64_t count)
{
    gb_key(b, key, LM_GGUF_ARRAY);
    gb_u32(b, type);
    gb_count(b, count);
}

static inline void gb_pair_u32(gguf_bytes *b, const char *key, uint32_t value)
{
    gb_key(b, key, LM_GGUF_U32);
    gb_u32(b, value);
}

static inline void gb_pair_string(gguf_bytes *b, const char *key, const char *value)
{
    gb_key(b, key, LM_GGUF_STRING);
    gb_string(b, value);
}

static inline void gb_tensor(gguf_bytes *b, const char *name, uint32_t n_dims, const uint64_t *dims,
                             uint32_t type, uint64_t offset)
{
    gb_string(b, name);
    gb_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        gb_count(b, dims[i]);
    gb_u32(b, type);
    gb_u64(b, offset);
}

/* One dimension of F32. */
static inline void gb_vector(gguf_bytes *b, const char *name, uint64_t values, uint64_t offset)
{
    gb_tensor(b, name, 1, &values, LM_F32, offset);
}

/* Pads as tensors' data begins, then `count` bytes 0, 1, 2, ... */
static inline void gb_blob(gguf_bytes *b, size_t align, size_t count)
{
    while (b->size % align != 0)
        gb_raw(b, "", 1);
    for (size_t i = 0; i < count; i++)
        gb_raw(b, &(unsigned char){(unsigned char)i}, 1);
}

/* A small sound file with every type of value: what the tests of damage begin with. */
static inline void gb_sound(gguf_bytes *b, uint32_t version)
{
    static const unsigned char numbers[24] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t bytes[] = {
        [LM_GGUF_U8] = 1,  [LM_GGUF_I8] = 1,  [LM_GGUF_U16] = 2, [LM_GGUF_I16] = 2,
        [LM_GGUF_U32] = 4, [LM_GGUF_I32] = 4, [LM_GGUF_F32] = 4, [LM_GGUF_BOOL] = 0,
        [LM_GGUF_U64] = 8, [LM_GGUF_I64] = 8, [LM_GGUF_F64] = 8};
    char key[] = "a.x";
    gb_head(b, version, 3, 25);
    for (uint32_t type = 0; type < LM_GGUF_TYPES; type++) {
        if (type == LM_GGUF_STRING || type == LM_GGUF_ARRAY)
            continue;
        key[0] = 's';
        key[2] = (char)('a' + type);
        gb_key(b, key, type);
        gb_raw(b, type == LM_GGUF_BOOL ? "\1" : (const char *)numbers,
               bytes[type] ? bytes[type] : 1);
        key[0] = 'a';
        gb_array(b, key, type, 3);
        gb_raw(b, type == LM_GGUF_BOOL ? "\1\0\1" : (const char *)numbers,
               bytes[type] ? bytes[type] * 3u : 3);
    }
    gb_pair_string(b, "general.architecture", "llama");
    gb_array(b, "tokens", LM_GGUF_STRING, 3);
    gb_string(b, "first");
    gb_string(b, "");
    gb_string(b, "third");
    gb_pair_u32(b, "general.alignment", 64);
    gb_tensor(b, "q", 2, (const uint64_t[]){32, 3}, LM_Q8_0, 0);
    gb_tensor(b, "f", 3, (const uint64_t[]){2, 3, 2}, LM_F16, 128);
    gb_vector(b, "v", 5, 192);
    gb_blob(b, 64, 192 + 20);
}

#endif
