/* kernels.c - fills the tables, set after set. */
#include "backends/cpu/kernels/kernels.h"

#include "base/os.h"

#include "backends/cpu/kernel_sets.h" /* made by the build: the sets this compiler can make */

/* In rising order; a set is used when the processor has all of `needs`. */
static const struct {
    uint64_t needs;
    void (*fill)(lcpu_kernels *k);
} sets[] = {
    {0, lcpu_fill_portable},
#ifdef LCPU_HAVE_AVX2
    {LCPU_AVX2, lcpu_fill_avx2},
#endif
#ifdef LCPU_HAVE_AVX_VNNI
    {LCPU_AVX2 | LCPU_AVX_VNNI, lcpu_fill_avx_vnni},
#endif
#ifdef LCPU_HAVE_AVX512
    {LCPU_AVX2 | LCPU_AVX512, lcpu_fill_avx512},
    {LCPU_AVX2 | LCPU_AVX512 | LCPU_AVX512_VNNI, lcpu_fill_avx512_vnni},
#endif
#ifdef LCPU_HAVE_AMX
    {LCPU_AVX2 | LCPU_AVX512 | LCPU_AVX512_BF16 | LCPU_AMX_BF16, lcpu_fill_amx},
    {LCPU_AVX2 | LCPU_AVX512 | LCPU_AMX_BF16, lcpu_fill_amx_attn},
#endif
#ifdef LCPU_HAVE_AMX_INT8
    {LCPU_AVX2 | LCPU_AVX512 | LCPU_AVX512_VNNI | LCPU_AMX_INT8, lcpu_fill_amx_int8},
    {LCPU_AVX2 | LCPU_AVX512 | LCPU_AVX512_VNNI | LCPU_AMX_INT8 | LCPU_AMX_BF16,
     lcpu_fill_amx_fast},
#endif
#ifdef LCPU_HAVE_NEON
    {LCPU_NEON, lcpu_fill_neon},
#endif
#ifdef LCPU_HAVE_NEON_DOTPROD
    {LCPU_NEON | LCPU_NEON_DOTPROD, lcpu_fill_neon_dotprod},
#endif
#ifdef LCPU_HAVE_NEON_I8MM
    {LCPU_NEON | LCPU_NEON_DOTPROD | LCPU_NEON_I8MM, lcpu_fill_neon_i8mm},
#endif
};

void lcpu_kernels_init(lcpu_kernels *k, uint64_t features)
{
    *k = (lcpu_kernels){0};
    const uint64_t amx = LCPU_AMX_BF16 | LCPU_AMX_INT8;
    if ((features & amx) != 0 && !lm_os_allow_tiles())
        features &= ~amx;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((sets[i].needs & features) != sets[i].needs)
            continue;
        sets[i].fill(k);
        k->used |= sets[i].needs;
    }
}

static const lcpu_int8_format *find(const lcpu_int8 *of, const lm_format *format)
{
    for (uint32_t i = 0; i < of->n_formats; i++)
        if (of->formats[i].id == format->id)
            return &of->formats[i];
    return NULL;
}

const lcpu_int8_format *lcpu_int8_of(const lcpu_kernels *k, const lm_format *format)
{
    return find(&k->int8, format);
}

const lcpu_int8_format *lcpu_fast_of(const lcpu_kernels *k, const lm_format *format)
{
    return find(&k->fast, format);
}

const lcpu_int8_format *lcpu_bf16_of(const lcpu_kernels *k, const lm_format *format)
{
    return find(&k->bf16, format);
}

lcpu_decode_fn lcpu_decoder_of(const lcpu_kernels *k, const lm_format *format)
{
    if (format->id == LM_F16)
        return k->f16_decode;
    if (format->id == LM_BF16)
        return k->bf16_decode;
    if (format->id == LM_Q8_0)
        return k->q8_0_decode;
    if (format->id == LM_E4M3)
        return k->e4m3_decode;
    if (format->id == LM_F8_E4M3)
        return k->f8_e4m3_decode;
    return format->decode;
}

const lcpu_attn_direct *lcpu_attn_direct_of(const lcpu_kernels *k, const lm_format *format)
{
    for (uint32_t i = 0; i < sizeof k->attn_direct / sizeof k->attn_direct[0]; i++)
        if (k->attn_direct[i].mix != NULL && k->attn_direct[i].id == format->id)
            return &k->attn_direct[i];
    return NULL;
}
