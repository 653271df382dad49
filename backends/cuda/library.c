/* library.c - the few functions of cuBLASLt that are needed, by its documented interface, which versions
 * 12 and 13 share: its headers may be absent where this is compiled, and it where this runs. */
#include "backends/cuda/library.h"

#include "base/alloc.h"
#include "base/os.h"

#include <string.h>

enum { UNKNOWN_ERROR = 999 };
enum { TYPE_F32 = 0, TYPE_BF16 = 14, SUMS_F32 = 68, TRANSPOSED = 1 };
enum { DESC_TRANSPOSE_A = 3 };
enum { PREFERENCE_WORKSPACE = 1, PREFERENCE_ALIGN_RESIDUAL = 7, PREFERENCE_ALIGN_OUT = 8 };

typedef int status;

typedef struct found {
    uint64_t algorithm[8];
    size_t workspace;
    status state;
    float waves;
    int reserved[4];
} found;

typedef struct calls {
    status (*create)(void **);
    status (*destroy)(void *);
    status (*desc_create)(void **, int, int);
    status (*desc_set)(void *, int, const void *, size_t);
    status (*desc_destroy)(void *);
    status (*layout_create)(void **, int, uint64_t, uint64_t, int64_t);
    status (*layout_destroy)(void *);
    status (*preference_create)(void **);
    status (*preference_set)(void *, int, const void *, size_t);
    status (*preference_destroy)(void *);
    status (*find)(void *, void *, void *, void *, void *, void *, void *, int, found *, int *);
    status (*product)(void *, void *, const void *, const void *, void *, const void *, void *,
                      const void *, const void *, void *, void *, void *, const void *, void *,
                      size_t, void *);
} calls;

static const char *const names[LCU_LIBRARY_CALLS] = {"cublasLtCreate",
                                                     "cublasLtDestroy",
                                                     "cublasLtMatmulDescCreate",
                                                     "cublasLtMatmulDescSetAttribute",
                                                     "cublasLtMatmulDescDestroy",
                                                     "cublasLtMatrixLayoutCreate",
                                                     "cublasLtMatrixLayoutDestroy",
                                                     "cublasLtMatmulPreferenceCreate",
                                                     "cublasLtMatmulPreferenceSetAttribute",
                                                     "cublasLtMatmulPreferenceDestroy",
                                                     "cublasLtMatmulAlgoGetHeuristic",
                                                     "cublasLtMatmul"};
_Static_assert(sizeof(calls) == sizeof(void *) * LCU_LIBRARY_CALLS, "one name for each");

static calls calls_of(const lcu_library *library)
{
    calls c;
    memcpy(&c, library->calls, sizeof c);
    return c;
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool find_calls(lcu_library *library)
{
    for (uint32_t i = 0; i < LCU_LIBRARY_CALLS; i++) {
        library->calls[i] = lm_os_library_symbol(library->module, names[i]);
        if (library->calls[i] == NULL)
            return false;
    }
    return true;
}

lcu_result lcu_library_open(lcu_library *out)
{
    static const char *const files[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    memset(out, 0, sizeof *out);
    for (size_t i = 0; out->module == NULL && i < sizeof files / sizeof files[0]; i++)
        if (lm_os_library_open(files[i], &out->module) < 0)
            out->module = NULL;
    if (out->module == NULL)
        return LCU_OK;
    if (!find_calls(out) || calls_of(out).create(&out->handle) != 0) {
        lm_os_library_close(out->module);
        memset(out, 0, sizeof *out);
    }
    return LCU_OK;
}

void lcu_library_close(lcu_library *library)
{
    if (library->handle != NULL)
        (void)calls_of(library).destroy(library->handle);
    if (library->module != NULL)
        lm_os_library_close(library->module);
    memset(library, 0, sizeof *library);
}

/* --- products --------------------------------------------------------------------------------- */

/* What describes a product to the library, which counts columns first: rows of ours are its columns. */
typedef struct description {
    void *product, *weight, *x, *out, *preference;
} description;

static bool describe(const calls *c, const lcu_gemm *g, description *d)
{
    const int transposed = TRANSPOSED;
    const uint64_t workspace = g->workspace_bytes;
    const uint32_t align = LM_ALIGN; /* of slots, where 256 would be taken for granted */
    return c->desc_create(&d->product, SUMS_F32, TYPE_F32) == 0 &&
           c->desc_set(d->product, DESC_TRANSPOSE_A, &transposed, sizeof transposed) == 0 &&
           c->layout_create(&d->weight, TYPE_BF16, g->cols, g->rows, g->stride) == 0 &&
           c->layout_create(&d->x, TYPE_BF16, g->cols, g->count, g->stride) == 0 &&
           c->layout_create(&d->out, TYPE_F32, g->rows, g->count, g->out_stride) == 0 &&
           c->preference_create(&d->preference) == 0 &&
           c->preference_set(d->preference, PREFERENCE_WORKSPACE, &workspace, sizeof workspace) ==
               0 &&
           c->preference_set(d->preference, PREFERENCE_ALIGN_RESIDUAL, &align, sizeof align) == 0 &&
           c->preference_set(d->preference, PREFERENCE_ALIGN_OUT, &align, sizeof align) == 0;
}

static void forget(const calls *c, const description *d)
{
    void *const layouts[] = {d->weight, d->x, d->out};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i] != NULL)
            (void)c->layout_destroy(layouts[i]);
    if (d->product != NULL)
        (void)c->desc_destroy(d->product);
    if (d->preference != NULL)
        (void)c->preference_destroy(d->preference);
}

lcu_result lcu_library_product(const lcu_library *library, const lcu_gemm *g, lcu_stream stream)
{
    const calls c = calls_of(library);
    const float keep = g->residual == NULL ? 0 : 1;
    const void *before = g->residual == NULL ? g->out : g->residual;
    description d = {0};
    found best = {0};
    int count = 0;
    bool done = describe(&c, g, &d) &&
                c.find(library->handle, d.product, d.weight, d.x, d.out, d.out, d.preference, 1,
                       &best, &count) == 0 &&
                count == 1 &&
                c.product(library->handle, d.product, &g->scale, g->weight, d.weight, g->x, d.x,
                          &keep, before, d.out, g->out, d.out, best.algorithm, g->workspace,
                          g->workspace_bytes, stream) == 0;
    forget(&c, &d);
    return done ? LCU_OK : UNKNOWN_ERROR;
}
