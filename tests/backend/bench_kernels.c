/* bench_kernels.c - measures the products of every storage format and instruction set with one
 * thread: for one row of activations (bytes of weights per second, with weights too large for the
 * caches) and for many (operations per second, and their share of what the processor can do at
 * best, measured in the same run). The time is this process's own, so others count little.
 * Arguments are the formats to measure (without any, all), --level=NAME,
 * --rows=COUNT and --fast: the products of fast numerics, where the format has them. */
#include "backends/cpu/kernels/kernels.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__) && defined(__linux__)
#define HAS_PEAKS 1
#include <immintrin.h>
#endif

#define MEASURE_SECONDS 0.1
#define BUFFER_BYTES    (64u << 20)

static double seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* --- limits ----------------------------------------------------------------------------------- */

typedef struct peaks {
    double f32, int8; /* operations per second of a level; 0: unknown */
} peaks;

#ifdef HAS_PEAKS
enum { CHAINS = 12, ROUNDS = 20000 };

static volatile float sink;

__attribute__((target("avx512f"))) static double fma_512(void)
{
    __m512 sum[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm512_set1_ps((float)c);
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm512_fmadd_ps(sum[c], x, y);
    for (int c = 0; c < CHAINS; c++)
        sink = _mm512_cvtss_f32(sum[c]);
    return 32.0 * CHAINS * ROUNDS;
}

__attribute__((target("avx2,fma"))) static double fma_256(void)
{
    __m256 sum[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm256_set1_ps((float)c);
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm256_fmadd_ps(sum[c], x, y);
    for (int c = 0; c < CHAINS; c++)
        sink = _mm256_cvtss_f32(sum[c]);
    return 16.0 * CHAINS * ROUNDS;
}

__attribute__((target("avx512f,avx512vnni"))) static double vnni_512(void)
{
    __m512i sum[CHAINS], x = _mm512_set1_epi32((int)sink), y = _mm512_set1_epi32(3);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm512_set1_epi32(c);
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm512_dpbusd_epi32(sum[c], x, y);
    for (int c = 0; c < CHAINS; c++)
        sink = (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(sum[c]));
    return 128.0 * CHAINS * ROUNDS;
}

/* AVX2 multiplies bytes as 16-bit integers. */
__attribute__((target("avx2"))) static double madd_256(void)
{
    __m256i sum[CHAINS], x = _mm256_set1_epi32((int)sink);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm256_set1_epi32(c);
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm256_madd_epi16(sum[c], x);
    for (int c = 1; c < CHAINS; c++)
        sum[0] = _mm256_add_epi32(sum[0], sum[c]);
    sink = (float)_mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
    return 32.0 * CHAINS * ROUNDS;
}

__attribute__((target("avxvnni"))) static double vnni_256(void)
{
    __m256i sum[CHAINS], x = _mm256_set1_epi32((int)sink), y = _mm256_set1_epi32(3);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm256_set1_epi32(c);
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm256_dpbusd_avx_epi32(sum[c], x, y);
    for (int c = 1; c < CHAINS; c++)
        sum[0] = _mm256_add_epi32(sum[0], sum[c]);
    sink = (float)_mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
    return 64.0 * CHAINS * ROUNDS;
}

/* The best of several runs. */
static double rate(double (*run)(void))
{
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double start = seconds(), work = 0, took = 0;
        for (; took < MEASURE_SECONDS / 4; took = seconds() - start)
            work += run();
        best = work / took > best ? work / took : best;
    }
    return best;
}

static peaks peaks_of(uint64_t used)
{
    peaks p = {0, 0};
    if ((used & LCPU_AVX2) != 0)
        p = (peaks){rate(fma_256), rate(madd_256)};
    if ((used & LCPU_AVX_VNNI) != 0)
        p.int8 = rate(vnni_256);
    if ((used & LCPU_AVX512) != 0)
        p.f32 = rate(fma_512);
    if ((used & LCPU_AVX512_VNNI) != 0)
        p.int8 = rate(vnni_512);
    return p;
}
#else
static peaks peaks_of(uint64_t used)
{
    (void)used;
    return (peaks){0, 0};
}
#endif

/* As the backend aligns its memory. */
static void *room(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

/* --- products --------------------------------------------------------------------------------- */

typedef struct work {
    const lcpu_kernels *k;
    const lm_format *format;
    const lcpu_int8_format *int8; /* or NULL */
    const lcpu_int8 *family;      /* of that */
    lcpu_half_fn half;            /* or NULL */
    uint32_t half_most;
    uint32_t cols, rows, tile, n_x;
    size_t stride;
    uint8_t *file, *panels, *acts;
    const void **x;
    float **out, *out_values;
} work;

#define GAP ((size_t)16)

/* As the backend does it. */
static void multiply_tile(const work *j, uint32_t first)
{
    const uint8_t *file = j->file + first * j->stride;
    uint32_t n_w = j->rows - first < j->tile ? j->rows - first : j->tile;
    const float *const *x = (const float *const *)j->x;
    const uint8_t *next = file + n_w * j->stride;
    float *rows = (float *)(void *)j->panels;
    if (j->int8 != NULL && j->int8->direct != NULL && j->n_x <= j->family->direct_max) {
        j->int8->direct(file, j->stride, n_w, j->x, j->n_x, j->cols, j->out, first, next);
    } else if (j->int8 != NULL) {
        j->int8->unpack(file, j->stride, n_w, j->cols, j->panels);
        j->int8->matmul(j->panels, n_w, j->x, j->n_x, j->cols, j->out, first, NULL, 0);
    } else if (j->half != NULL && j->n_x <= j->half_most) {
        j->half(file, j->stride, n_w, x, j->n_x, j->cols, j->out, first, next);
    } else {
        for (uint32_t i = 0; i < n_w; i++)
            lcpu_decoder_of(j->k, j->format)(file + i * j->stride, rows + i * (j->cols + GAP),
                                             j->cols);
        j->k->f32_matmul(rows, j->cols + GAP, n_w, x, j->n_x, j->cols, j->out, first);
    }
}

/* Weights, activations and the room for panels and results. */
static void prepare(work *j, uint8_t *buffer)
{
    size_t act_bytes = j->int8 != NULL ? j->family->row_bytes(j->cols) : j->cols * sizeof(float);
    size_t panel_bytes = j->int8 != NULL ? (size_t)j->int8->column_bytes * (j->cols / 32) : 0;
    uint32_t panels = j->tile / (j->int8 != NULL ? j->family->panel_rows : 1);
    float *values = room(j->cols * sizeof *values);
    uint64_t seed = 5;
    for (uint32_t i = 0; i < j->cols; i++)
        values[i] = (float)test_random_normal(&seed);
    j->file = buffer;
    for (uint32_t i = 0; i < 16; i++)
        j->format->encode(values, NULL, j->file + i * j->stride, j->cols);
    for (uint32_t i = 16; i < j->rows; i++)
        memcpy(j->file + i * j->stride, j->file + (i - 16) * j->stride, j->stride);
    j->panels =
        room(j->int8 != NULL ? panels * panel_bytes : j->tile * (act_bytes + GAP * sizeof(float)));
    j->acts = room(j->n_x * act_bytes);
    j->out_values = room((size_t)j->n_x * j->rows * sizeof(float));
    j->x = room(j->n_x * sizeof *j->x);
    j->out = room(j->n_x * sizeof *j->out);
    for (uint32_t i = 0; i < j->n_x; i++) {
        j->x[i] = j->acts + i * act_bytes;
        j->out[i] = j->out_values + (size_t)i * j->rows;
        if (j->int8 != NULL)
            j->family->quantise(values, j->cols, j->acts + i * act_bytes);
        else
            memcpy(j->acts + i * act_bytes, values, act_bytes);
    }
    free(values);
}

/* Seconds to go once through the weights, at best. */
static double time_of(work *j)
{
    double best = 1e9, all = 0;
    while (all < MEASURE_SECONDS) {
        double start = seconds();
        for (uint32_t first = 0; first < j->rows; first += j->tile)
            multiply_tile(j, first);
        double took = seconds() - start;
        best = took < best ? took : best;
        all += took;
    }
    return best;
}

static void choose_half(work *j)
{
    const lcpu_kernels *k = j->k;
    const struct {
        uint32_t id, most;
        lcpu_half_fn fn;
    } table[] = {{LM_F16, k->f16_most, k->f16_matmul},
                 {LM_BF16, k->bf16_most, k->bf16_matmul},
                 {LM_F8_E4M3, k->f8_e4m3_most, k->f8_e4m3_matmul}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].id == j->format->id) {
            j->half = table[i].fn;
            j->half_most = table[i].most;
        }
}

static double measure(const lcpu_kernels *k, const lm_format *f, bool fast, uint32_t n_x,
                      uint8_t *buffer, double *bytes)
{
    work j = {.k = k, .format = f, .cols = 2048, .n_x = n_x};
    if (fast)
        j.int8 = lcpu_fast_of(k, f);
    j.family = j.int8 != NULL ? &k->fast : &k->int8;
    if (j.int8 == NULL)
        j.int8 = lcpu_int8_of(k, f);
    if (lcpu_bf16_of(k, f) != NULL) {
        j.int8 = lcpu_bf16_of(k, f);
        j.family = &k->bf16;
    }
    choose_half(&j);
    j.stride = j.cols / f->block * f->bytes;
    j.tile = j.int8 != NULL ? j.family->tile_rows : 16;
    j.rows = n_x == 1 ? (uint32_t)(BUFFER_BYTES / j.stride) : 1008;
    prepare(&j, buffer);
    double took = time_of(&j);
    *bytes = (double)j.rows * (double)j.stride / took;
    free(j.panels), free(j.acts), free(j.out_values), free(j.x), free(j.out);
    return 2.0 * j.rows * j.cols * n_x / took;
}

static bool wanted(const char *name, int argc, char **argv)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
        any = any || strncmp(argv[i], "--", 2) != 0;
    }
    return !any;
}

/* The value of --NAME=VALUE, or NULL. */
static const char *option(const char *name, int argc, char **argv)
{
    size_t length = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0)
            return argv[i] + length;
    return NULL;
}

static void measure_level(const lcpu_kernels *k, uint8_t *buffer, int argc, char **argv)
{
    peaks p = peaks_of(k->used);
    double read = 0, bytes;
    const char *given = option("--rows=", argc, argv);
    bool fast = option("--fast", argc, argv) != NULL;
    uint32_t many = given != NULL ? (uint32_t)atoi(given) : 64;
    printf("  peak     %7.0f G f32, %7.0f G int8 operations per second\n", p.f32 * 1e-9,
           p.int8 * 1e-9);
    for (size_t i = 0; lm_format_at(i) != NULL; i++) {
        const lm_format *f = lm_format_at(i);
        if (f->encode == NULL || f->decode == NULL || !wanted(f->name, argc, argv))
            continue;
        double peak = lcpu_int8_of(k, f) != NULL ? p.int8 : p.f32, ops;
        measure(k, f, false, 1, buffer, &read);
        ops = measure(k, f, fast, many, buffer, &bytes);
        printf("  %-8s %6.2f GB/s for one row, %7.1f G operations per second for %u", f->name,
               read * 1e-9, ops * 1e-9, many);
        if (peak > 0)
            printf(": %2.0f %%", 100 * ops / peak);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint64_t features;
    } levels[] = {{"portable", 0},
                  {"avx2", LCPU_AVX2},
                  {"avx_vnni", LCPU_AVX2 | LCPU_AVX_VNNI},
                  {"avx512", LCPU_AVX2 | LCPU_AVX512},
                  {"all", ~(uint64_t)0}};
    uint8_t *buffer = room(BUFFER_BYTES);
    uint64_t used = ~(uint64_t)0;
    for (size_t level = 0; buffer != NULL && level < sizeof levels / sizeof levels[0]; level++) {
        const char *only = option("--level=", argc, argv);
        lcpu_kernels k;
        if (only != NULL && strcmp(only, levels[level].name) != 0)
            continue;
        lcpu_kernels_init(&k, lcpu_features() & levels[level].features);
        if (k.used == used)
            continue;
        used = k.used;
        printf("%s, one thread\n", levels[level].name);
        measure_level(&k, buffer, argc, argv);
    }
    free(buffer);
    return 0;
}
