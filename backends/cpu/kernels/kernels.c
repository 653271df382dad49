/* kernels.c - fills the tables, set after set. */
#include "backends/cpu/kernels/kernels.h"

/* In rising order; a set is used when the processor has all of `needs`. */
static const struct {
    uint64_t needs;
    void (*fill)(lcpu_kernels *k);
} sets[] = {
    {0, lcpu_fill_portable},
};

void lcpu_kernels_init(lcpu_kernels *k, uint64_t features)
{
    *k = (lcpu_kernels){0};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((sets[i].needs & features) != sets[i].needs)
            continue;
        sets[i].fill(k);
        k->used |= sets[i].needs;
    }
}

lcpu_unpack_fn lcpu_unpacker_of(const lcpu_kernels *k, const lm_format *format)
{
    for (uint32_t i = 0; i < k->n_unpackers; i++)
        if (k->unpackers[i].format == format)
            return k->unpackers[i].unpack;
    return NULL;
}

lcpu_decode_fn lcpu_decoder_of(const lcpu_kernels *k, const lm_format *format)
{
    if (format->id == LM_F16)
        return k->f16_decode;
    if (format->id == LM_BF16)
        return k->bf16_decode;
    return format->decode;
}
