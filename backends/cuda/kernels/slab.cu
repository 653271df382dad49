/* slab.cu - some rows of a weight as BF16, one after the other, for the library: in `fast` numerics. */
#include "backends/cuda/kernels/tiles.cuh"

constexpr uint32_t SLAB_THREADS = 256, SLAB_UNITS = 4; /* of eight values, in a group of 32 columns */

/* Where a warp's unit u lies in shared memory: neither writing by groups nor reading in a row do two of
 * eight lanes meet in a bank. */
LCU_DEV uint32_t slab_place(uint32_t u)
{
    return u ^ (u / 8 % SLAB_UNITS);
}

/* Grid: groups by 256, one to a thread; units change lanes so that neighbouring ones are written together. */
template <uint32_t L> LCU_BODY void slab_rows(const lcu_slab_args &a)
{
    LCU_SHARED(uint4, units, SLAB_THREADS * SLAB_UNITS);
    uint32_t groups = (a.w.cols + 31) / 32, end = a.rows * groups, lane = lcu_lane();
    uint32_t first = lcu_block_x() * SLAB_THREADS + lcu_warp() * 32, i = first + lane;
    lcu_shared<uint4> own = units + lcu_warp() * (32 * SLAB_UNITS);
    if (i < end) {
        uint32_t h[16];
        to_halves<L, true>(load_fragment<L>(a.w, a.w.data, a.first + i / groups, i % groups),
                           i % groups, h);
        LCU_UNROLL
        for (uint32_t j = 0; j < SLAB_UNITS; j++)
            own[slab_place(lane * SLAB_UNITS + j)] =
                make_uint4(h[4 * j], h[4 * j + 1], h[4 * j + 2], h[4 * j + 3]);
    }
    lcu_sync_warp();
    LCU_UNROLL
    for (uint32_t j = 0; j < SLAB_UNITS; j++) {
        uint32_t u = j * 32 + lane;
        if (first + u / SLAB_UNITS < end)
            a.out[(size_t)first * SLAB_UNITS + u] = own[slab_place(u)];
    }
}

LCU_DEFINE_ALL(LCU_TABLE_SLAB)
