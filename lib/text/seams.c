/* seams.c - learns the tokens. */
#include "text/seams.h"

void lm_seams_add(lm_seams *seams, const char *text, size_t size)
{
    lm_seam_edge left = {0};
    for (size_t at = 0; at < size; at += left.size) {
        lm_seam_edge right = lm_seam_edge_of(text + at, size - at);
        if (at > 0)
            seams->joined[left.last][right.first / 8] |= (uint8_t)(1u << right.first % 8);
        left = right;
    }
}
