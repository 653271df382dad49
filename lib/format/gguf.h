/* gguf - GGUF v1 to v3, single files and split sets: metadata and tensor table. Knows bytes, not
 * models. Everything in the file is hostile until checked here; after a successful open every
 * tensor lies inside its file and has a known format and a size that fits.  */
#ifndef LM_FORMAT_GGUF_H
#define LM_FORMAT_GGUF_H

#include "base/arena.h"
#include "base/log.h"
#include "base/strmap.h"
#include "format/source.h"
#include "quant/quant.h"

enum {
    LM_GGUF_U8,
    LM_GGUF_I8,
    LM_GGUF_U16,
    LM_GGUF_I16,
    LM_GGUF_U32,
    LM_GGUF_I32,
    LM_GGUF_F32,
    LM_GGUF_BOOL,
    LM_GGUF_STRING,
    LM_GGUF_ARRAY,
    LM_GGUF_U64,
    LM_GGUF_I64,
    LM_GGUF_F64,
    LM_GGUF_TYPES
};

typedef struct lm_gguf_string {
    const char *data; /* owned by the lm_gguf; a NUL is added behind `size` bytes */
    size_t size;
} lm_gguf_string;

typedef struct lm_gguf_value {
    uint32_t type; /* of the value, or of the items of an array */
    bool is_array;
    uint64_t count; /* items; 1 when no array */
    /* Items in host layout, one after the other: numbers as in the file, but aligned; strings as
     * lm_gguf_string. Always a copy, so it outlives a truncation of the file. */
    const void *items;
} lm_gguf_value;

typedef struct lm_gguf_pair {
    lm_gguf_string key;
    lm_gguf_value value;
} lm_gguf_pair;

#define LM_MAX_DIMS 4u

typedef struct lm_gguf_tensor {
    lm_gguf_string name;
    const lm_format *format;
    uint32_t n_dims;
    uint64_t dims[LM_MAX_DIMS]; /* dims[0] contiguous; unused are 1 */
    uint64_t count;             /* values */
    uint64_t bytes;
    uint32_t part;   /* which file of a split set */
    uint64_t offset; /* absolute in that file */
} lm_gguf_tensor;

/* What a file may ask for, whatever it says; beyond is LLM_E_LIMIT. */
typedef struct lm_limits {
    uint64_t file_bytes;   /* of each file */
    uint64_t header_bytes; /* all that comes before the tensors' data */
    uint64_t string_bytes; /* of each string */
    uint64_t array_items;  /* of each array */
    uint64_t pairs;        /* of each file */
    uint64_t tensors;      /* of all files of a set */
    uint32_t parts;        /* files of a set */
} lm_limits;

void lm_limits_default(lm_limits *limits);

typedef struct lm_gguf {
    lm_allocator *alloc;
    lm_arena arena;
    uint32_t version;
    uint64_t alignment;
    lm_source *parts; /* [n_parts], owned */
    uint32_t n_parts;
    lm_gguf_pair *pairs; /* of the first part */
    uint64_t n_pairs;
    lm_gguf_tensor *tensors; /* of all parts */
    uint64_t n_tensors;
    size_t tensor_capacity;
    lm_strmap pair_index, tensor_index;
} lm_gguf;

/* Opens by path; when `split.count` is above 1 the other files of the set are opened too, whichever
 * of them was named. `limits` may be NULL: the defaults. */
int32_t lm_gguf_open_path(lm_allocator *a, const lm_log *log, const lm_limits *limits,
                          const char *path, uint32_t source_mode, lm_gguf **out);
/* Takes over a source (closed by lm_gguf_close, and on failure). A split file is an error here. */
int32_t lm_gguf_open_source(lm_allocator *a, const lm_log *log, const lm_limits *limits,
                            lm_source *source, lm_gguf **out);
void lm_gguf_close(lm_gguf *gguf);

/* NULL: absent. */
const lm_gguf_value *lm_gguf_find(const lm_gguf *gguf, const char *key);
const lm_gguf_tensor *lm_gguf_find_tensor(const lm_gguf *gguf, const char *name);

/* Item `index` of an array, or 0 of a scalar; integers of any width as far as the value fits, and
 * integers are numbers for f64 too. LLM_E_FORMAT when the key has another kind of value or too few
 * items; LLM_E_NOT_FOUND, without a message, when it is absent: for defaults. */
int32_t lm_gguf_get_u64(const lm_gguf *gguf, const char *key, uint64_t index, uint64_t *out);
int32_t lm_gguf_get_i64(const lm_gguf *gguf, const char *key, uint64_t index, int64_t *out);
int32_t lm_gguf_get_f64(const lm_gguf *gguf, const char *key, uint64_t index, double *out);
int32_t lm_gguf_get_bool(const lm_gguf *gguf, const char *key, bool *out);
int32_t lm_gguf_get_string(const lm_gguf *gguf, const char *key, lm_gguf_string *out);

/* The tensor's bytes in the mapping, or NULL when the source is not mapped and lm_gguf_read must be
 * used. No alignment is promised beyond the file's own. */
const void *lm_gguf_data(const lm_gguf *gguf, const lm_gguf_tensor *tensor);
int32_t lm_gguf_read(const lm_gguf *gguf, const lm_gguf_tensor *tensor, uint64_t offset, void *into,
                     size_t size);

/* A name out of a file, made fit for a message: cut, and printable ASCII only. */
typedef struct lm_gguf_quoted {
    char text[64];
} lm_gguf_quoted;

lm_gguf_quoted lm_gguf_quote(lm_gguf_string s);

#endif
