/* sample.cu - the choice of a token from a row of logits. */
#include "backends/cuda/kernels/wrap.cuh"

/* One row per block: the first of the largest. */
LCU_BODY void sample_row(const lcu_sample_args &a)
{
    LCU_SHARED(float, values, 256);
    LCU_SHARED(uint32_t, places, 256);
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.in.rows))
        return;
    const float *logits = (const float *)a.in.data + (size_t)row * a.in.width;
    float best = -INFINITY;
    uint32_t at = LM_NONE;
    for (uint32_t c = lcu_thread(); c < a.in.width; c += lcu_threads())
        if (logits[c] > best) {
            best = logits[c];
            at = c;
        }
    values[lcu_thread()] = best;
    places[lcu_thread()] = at;
    for (uint32_t half = lcu_threads() / 2; half > 0; half /= 2) {
        lcu_sync();
        if (lcu_thread() >= half)
            continue;
        float mine = values[lcu_thread()], other = values[lcu_thread() + half];
        uint32_t my_place = places[lcu_thread()], place = places[lcu_thread() + half];
        if (other > mine || (other == mine && place < my_place)) {
            values[lcu_thread()] = other;
            places[lcu_thread()] = place;
        }
    }
    if (lcu_thread() == 0) {
        uint32_t place = places[0];
        ((int32_t *)a.out.data)[(size_t)row * a.out.width] = place == LM_NONE ? 0 : (int32_t)place;
    }
}

LCU_DEFINE_ALL(LCU_TABLE_SAMPLE)
