/* kernels - the tables of inner loops, one function pointer each. Filled in rising order of
 * instruction sets, each replacing what it does better, under the device's feature mask. The
 * arithmetic of each is fixed by docs/numerics.md. */
#ifndef LM_BACKENDS_CPU_KERNELS_KERNELS_H
#define LM_BACKENDS_CPU_KERNELS_KERNELS_H

#include "quant/quant.h"

#include <stdint.h>

/* --- processor features ----------------------------------------------------------------------- */

enum {
    LCPU_AVX2 = 1u << 0,   /* with FMA and F16C */
    LCPU_AVX512 = 1u << 1, /* F, BW, DQ, VL */
    LCPU_AVX512_VNNI = 1u << 2,
    LCPU_AVX512_BF16 = 1u << 3,
    LCPU_AMX_BF16 = 1u << 4, /* with tiles; the system's permission is asked for when it is used */
    LCPU_AVX_VNNI = 1u << 5, /* in registers of 256 bits */
    LCPU_AMX_INT8 = 1u << 6, /* as LCPU_AMX_BF16 */
    LCPU_NEON = 1u << 16,
    LCPU_NEON_DOTPROD = 1u << 17,
    LCPU_NEON_I8MM = 1u << 18,
};

uint64_t lcpu_features(void); /* of this processor */

#if defined(__GNUC__)
#define LCPU_PREFETCH(at) __builtin_prefetch(at, 0, 2) /* into the second cache */
#else
#define LCPU_PREFETCH(at) ((void)(at))
#endif

/* --- kernels ---------------------------------------------------------------------------------- */

/* Values of one row of weights or one head of a cache to f32. */
typedef void (*lcpu_decode_fn)(const void *from, float *to, size_t count);

/* out[x][at + w] = dot16(weight row w, activation row x), for n_w rows of `stride` floats at `w`
 * and n_x activation rows anywhere. */
typedef void (*lcpu_f32_fn)(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                            uint32_t n_x, uint32_t k, float *const *out, size_t at);

/* The same for weights of sixteen or eight bits, `stride` bytes apart and of any alignment. `next` is where
 * as many bytes lie that will be read after these, or NULL. */
typedef void (*lcpu_half_fn)(const uint8_t *w, size_t stride, uint32_t n_w, const float *const *x,
                             uint32_t n_x, uint32_t k, float *const *out, size_t at,
                             const uint8_t *next);

/* The same for panels and rows of activations of the int8 family. Meanwhile the `next_bytes` at `next`
 * may be fetched, unless that is NULL. */
typedef void (*lcpu_panels_fn)(const void *panels, uint32_t n_w, const void *const *x, uint32_t n_x,
                               uint32_t k, float *const *out, size_t at, const uint8_t *next,
                               size_t next_bytes);

/* A format of the int8 family, or one multiplied alike: `k` is a multiple of 32 but of BF16,
 * `from` are rows of the file, `stride` bytes apart. Rows of weights are unpacked into panels of
 * `panel_rows` (see lcpu_int8) that lie one behind the other. */
typedef struct lcpu_int8_format {
    uint32_t id;           /* of the storage format */
    uint32_t column_bytes; /* of a panel, per 32 columns */
    void (*unpack)(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k, void *panels);
    lcpu_panels_fn matmul;
    /* The same from the file's rows, for few activation rows; or NULL. `next` as above. */
    void (*direct)(const uint8_t *from, size_t stride, uint32_t n_w, const void *const *x,
                   uint32_t n_x, uint32_t k, float *const *out, size_t at, const uint8_t *next);
} lcpu_int8_format;

typedef struct lcpu_int8 {
    uint32_t panel_rows;
    uint32_t tile_rows;  /* of weights that matmul likes to get at once */
    uint32_t direct_max; /* activation rows up to which `direct` pays */
    uint32_t act_bytes;  /* of 32 activations; those of a row lie one behind the other */
    size_t (*row_bytes)(uint32_t k);
    void (*quantise)(const float *x, uint32_t k, void *row);
    lcpu_int8_format formats[24];
    uint32_t n_formats;
} lcpu_int8;

#define LCPU_ATTN_SLOTS   64u /* of a tile */
#define LCPU_ATTN_QUERIES 12u /* at once at most */

/* One head of a tile's slots where they lie in the cache: sixteen rows at each of four places. */
typedef struct lcpu_attn_rows {
    const uint8_t *at[4];
    size_t stride; /* bytes */
} lcpu_attn_rows;

/* Queries against one tile of a split, see attn_paged. */
typedef struct lcpu_attn_tile {
    const float *keys;             /* [k_dim, 64] */
    const float *values;           /* [64, v_stride] */
    lcpu_attn_rows k_rows, v_rows; /* instead, for lcpu_attn_direct */
    const uint8_t *next[8];        /* and those to be read next: keys, then values */
    uint32_t k_dim, v_stride;      /* the second a multiple of 16 */
    float scale;
    uint32_t n;                /* queries */
    const float *const *query; /* [n] */
    /* Operands instead, for lcpu_attn_matrix. */
    const uint8_t *q_parts, *k_parts, *v_parts;
    const uint64_t *visible; /* [n], bit j: slot j is seen; 0: the query is left alone */
    float *scores;           /* [n, 64] */
    float *m, *l,
        *o; /* [n], [n, 16], [n, v_stride]: maximum, sums and output of the split so far */
} lcpu_attn_tile;

/* Straight from the cache's rows, for few queries; dimensions are multiples of 32. */
typedef struct lcpu_attn_direct {
    uint32_t id; /* of the storage format */
    void (*scores)(const lcpu_attn_tile *t);
    void (*mix)(const lcpu_attn_tile *t);
} lcpu_attn_direct;

#define LCPU_ATTN_MATRIX 32u /* queries at once at most with matrix registers */

/* With matrix registers: queries, keys and values become operands, of four bytes a value. Dimensions
 * are multiples of 32, rows of f32 lie one behind the other. */
typedef struct lcpu_attn_matrix {
    /* Query number `q`, times `scale`, into its place. */
    void (*query)(const float *x, uint32_t dim, float scale, uint32_t q, uint8_t *to);
    /* Sixteen rows, the tile's from 16 `place` on. */
    void (*keys)(const float *rows, uint32_t dim, uint32_t place, uint8_t *to);
    /* 32 rows, the tile's from 32 `half` on. */
    void (*values)(const float *rows, uint32_t dim, uint32_t half, uint8_t *to);
    /* Before the two below: so many of each sixteen queries are computed, and scores and outputs have
     * room for as many. 0: afterwards. */
    void (*shape)(uint32_t rows);
    void (*scores)(const lcpu_attn_tile *t);
    /* Values that some query of the tile does not see have to be finite. */
    void (*mix)(const lcpu_attn_tile *t);
} lcpu_attn_matrix;

/* One token of the Mamba-2 recurrence for one head, see scan_state. */
typedef struct lcpu_scan_token {
    const float *from;    /* [rows, state]: to = mac(dt * x[row], b, from * decay) */
    float *to;            /* the same place, or another */
    bool once;            /* no further token follows: `to` need not stay in the caches */
    const float *next;    /* then: as much that is read afterwards, or NULL */
    uint32_t rows, state; /* rows: the head's dimension */
    float dt, decay;
    const float *x;     /* [rows] */
    const float *b, *c; /* [state] */
    float *y;           /* [rows]: dot16(to, c) */
} lcpu_scan_token;

/* f32 for many rows of activations: rows and panels sorted by their columns' place among sixteen,
 * with room for whole sixteens of columns and of weight rows. */
typedef struct lcpu_turned {
    uint32_t from;      /* rows of activations from which on it pays; 0: it is not there */
    uint32_t tile_rows; /* of weights that matmul likes to get at once */
    void (*row)(const float *x, uint32_t k, float *to); /* LCPU_TURNED_ROW(k) values */
    /* Columns [first, first + count) of sixteen rows, `stride` apart, of a panel of k columns. */
    void (*rows)(const float *rows, uint32_t stride, uint32_t first, uint32_t count, uint32_t k,
                 float *panel);
    void (*matmul)(const float *panels, uint32_t n_w, const float *const *x, uint32_t n_x,
                   uint32_t k, float *const *out, size_t at); /* as lcpu_f32_fn */
} lcpu_turned;

#define LCPU_TURNED_ROW(k)   (((size_t)(k) + 255) / 256 * 256)
#define LCPU_TURNED_PANEL(k) (((size_t)(k) + 15) / 16 * 256)

typedef struct lcpu_kernels {
    lcpu_decode_fn f16_decode, bf16_decode, q8_0_decode, e4m3_decode, f8_e4m3_decode;
    lcpu_f32_fn f32_matmul;
    lcpu_turned turned;
    /* NULL: decode first. Used up to so many activation rows. */
    lcpu_half_fn f16_matmul, bf16_matmul, f8_e4m3_matmul;
    uint32_t f16_most, bf16_most, f8_e4m3_most;
    lcpu_int8 int8;
    lcpu_int8 fast;     /* of fast numerics, with other values; perhaps without formats */
    uint32_t fast_from; /* activation rows from which on it pays */
    lcpu_int8 bf16; /* in matrix registers, of activations in BF16; perhaps without its format */
    /* Sixteen rows of `stride` values, a multiple of 16, to columns 64 values apart. */
    void (*attn_keys)(const float *rows, uint32_t stride, float *to);
    void (*attn_scores)(const lcpu_attn_tile *t); /* scaled products */
    void (*attn_mix)(const lcpu_attn_tile *t);    /* final scores to weights; m, l and o */
    lcpu_attn_direct attn_direct[6];
    lcpu_attn_matrix attn_matrix;             /* for fast numerics; NULLs where it is not there */
    float (*sum)(const float *x, uint32_t n); /* sum16 */
    float (*sum_squares)(const float *x, float mean, uint32_t n); /* sum16 of (x - mean)^2 */
    void (*scan)(const lcpu_scan_token *s);
    void (*act)(uint32_t act, const float *x, const float *factor, float *out, size_t n);
    void (*softcap)(const float *x, float scale, float cap, float *out, size_t n);
    void (*exp)(const float *x, float minus, float *out, size_t n); /* exp(x - minus) */
    /* sum = mac(x, y, sum) */
    void (*mac)(const float *restrict x, const float *restrict y, float *restrict sum, size_t n);
    /* to * a + from * b, each product rounded */
    void (*blend)(float *restrict to, float a, const float *restrict from, float b, size_t n);
    uint64_t used; /* features of the sets that filled the tables */
} lcpu_kernels;

void lcpu_kernels_init(lcpu_kernels *k, uint64_t features);

/* NULL: the format multiplies in f32. */
const lcpu_int8_format *lcpu_int8_of(const lcpu_kernels *k, const lm_format *format);
/* NULL: the format has no fast products. */
const lcpu_int8_format *lcpu_fast_of(const lcpu_kernels *k, const lm_format *format);
/* NULL: there are no matrix registers for it, or it is another format. */
const lcpu_int8_format *lcpu_bf16_of(const lcpu_kernels *k, const lm_format *format);
/* The decoder of a format: a kernel, or the format's own. */
lcpu_decode_fn lcpu_decoder_of(const lcpu_kernels *k, const lm_format *format);
/* NULL: decode first. */
const lcpu_attn_direct *lcpu_attn_direct_of(const lcpu_kernels *k, const lm_format *format);

/* --- sets, each in files of its own ----------------------------------------------------------- */

void lcpu_fill_portable(lcpu_kernels *k);
void lcpu_fill_portable_attn(lcpu_kernels *k);
void lcpu_fill_portable_int8(lcpu_kernels *k);
void lcpu_fill_portable_state(lcpu_kernels *k);
void lcpu_fill_avx2(lcpu_kernels *k);
void lcpu_fill_avx2_int8(lcpu_kernels *k);
void lcpu_fill_avx_vnni(lcpu_kernels *k);
void lcpu_fill_avx512(lcpu_kernels *k);
void lcpu_fill_avx512_vnni(lcpu_kernels *k);
void lcpu_fill_amx(lcpu_kernels *k);
void lcpu_fill_amx_attn(lcpu_kernels *k);
void lcpu_fill_amx_int8(lcpu_kernels *k);
void lcpu_fill_amx_fast(lcpu_kernels *k);
void lcpu_fill_neon(lcpu_kernels *k);
void lcpu_fill_neon_dotprod(lcpu_kernels *k);
void lcpu_fill_neon_i8mm(lcpu_kernels *k);

/* The portable functions, for other sets and the tests to compare with. */
void lcpu_portable_f16_decode(const void *from, float *to, size_t count);
void lcpu_portable_bf16_decode(const void *from, float *to, size_t count);
void lcpu_portable_e4m3_decode(const void *from, float *to, size_t count);
void lcpu_portable_f32_matmul(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                              uint32_t n_x, uint32_t k, float *const *out, size_t at);
float lcpu_portable_sum(const float *x, uint32_t n);
float lcpu_portable_sum_squares(const float *x, float mean, uint32_t n);

#endif
