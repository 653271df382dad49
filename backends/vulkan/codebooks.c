/* codebooks.c - the codebooks of the IQ formats on the device, one after the other. */
#include "backends/vulkan/vulkan.h"

#include "quant/iq_grids.h"

static const struct {
    uint32_t formats[2];
    const uint16_t *codes;
    uint32_t count;
} books[] = {
    {{LM_IQ1_S, LM_IQ1_M}, lm_iq1_codes, 2048},
    {{LM_IQ2_XXS, LM_IQ2_XXS}, lm_iq2_xxs_codes, 256},
    {{LM_IQ2_XS, LM_IQ2_XS}, lm_iq2_xs_codes, 512},
    {{LM_IQ2_S, LM_IQ2_S}, lm_iq2_s_codes, 1024},
    {{LM_IQ3_XXS, LM_IQ3_XXS}, lm_iq3_xxs_codes, 256},
    {{LM_IQ3_S, LM_IQ3_S}, lm_iq3_s_codes, 512},
};
#define N_BOOKS (sizeof books / sizeof books[0])

int32_t lvk_codebooks_init(lvk_device *d)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < N_BOOKS; i++)
        bytes += books[i].count * sizeof(uint16_t);
    LM_TRY(lvk_take(d, LVK_DEVICE, bytes, false, &d->codebooks));
    uint64_t at = 0;
    for (size_t i = 0; i < N_BOOKS; i++) {
        uint64_t size = books[i].count * sizeof(uint16_t);
        LM_TRY(lvk_upload(d, &d->codebooks, at, books[i].codes, size));
        at += size;
    }
    return LLM_OK;
}

uint64_t lvk_codebook(const lvk_device *d, const lm_format *format)
{
    uint64_t at = d->codebooks.address;
    for (size_t i = 0; i < N_BOOKS; i++) {
        if (format->id == books[i].formats[0] || format->id == books[i].formats[1])
            return at;
        at += books[i].count * sizeof(uint16_t);
    }
    return 0;
}
