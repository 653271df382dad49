/* wide.cu - the multiplications of tiles.cu for more than 64 rows of activations on compute capability
 * 9.0, in `fast` numerics. Two warpgroups have 128 weight rows each: they turn weights into 16 bits,
 * in registers, while the tensor cores multiply those before. A warp of the third group brings
 * the activations, which lie in memory as they are wanted in shared memory. */
#include "backends/cuda/kernels/tiles.cuh"
#include "backends/cuda/kernels/wrap_hopper.cuh"

#ifdef LCU_HOPPER

constexpr uint32_t WIDE_WARPS = LCU_WIDE_WARPS; /* that multiply */
constexpr uint32_t WIDE_CORES_BYTES = 2048;     /* a chunk of eight positions */

constexpr uint32_t WIDE_POSITIONS = 128, WIDE_BYTES = WIDE_POSITIONS / 8 * WIDE_CORES_BYTES;
constexpr uint32_t WIDE_STAGES = LCU_WIDE_BYTES / WIDE_BYTES;

struct wide_ring {
    lcu_shared<uint8_t> data;
    lcu_barrier full, empty; /* [WIDE_STAGES] */
};

/* --- activations -------------------------------------------------------------------------------------- */

/* The chunks of this block, `count` from `first` on: all of them, or a split. */
struct wide_chunks {
    uint32_t first, count;
};

LCU_DEV wide_chunks chunks_of(const lcu_tiles_args &a)
{
    uint32_t splits = lcu_grid_z(), z = lcu_block_z(), first = a.x.chunks * z / splits;
    return {first, a.x.chunks * (z + 1) / splits - first};
}

/* By one warp. Eights behind the last position have never been written: the last is brought again. */
LCU_DEV void bring(const lcu_tiles_args &a, const tile_place &t, const wide_ring &ring,
                   const wide_chunks &chunks)
{
    uint32_t last8 = (t.end - 1) / 8, n = t.first / 8 + lcu_lane();
    n = n < last8 ? n : last8;
    for (uint32_t i = 0; i < chunks.count; i++) {
        uint32_t stage = i % WIDE_STAGES;
        if (i >= WIDE_STAGES)
            lcu_barrier_wait(ring.empty + stage, i / WIDE_STAGES - 1);
        if (lcu_lane() == 0)
            lcu_barrier_expect(ring.full + stage, WIDE_BYTES);
        if (lcu_lane() < WIDE_POSITIONS / 8)
            lcu_copy_bulk(ring.data + stage * WIDE_BYTES + lcu_lane() * WIDE_CORES_BYTES,
                          a.x.units + lcu_core_at(a.x, n, chunks.first + i, 0), WIDE_CORES_BYTES,
                          ring.full + stage);
    }
}

/* --- weights --------------------------------------------------------------------------------------------- */

/* A lane's columns of a chunk in two rows, eight apart. */
template <uint32_t L> struct wide_rows {
    fragment<L> f[2];
};

template <uint32_t L>
LCU_DEV wide_rows<L> load_rows(const lcu_weight_view &v, const uint8_t *matrix, uint32_t row,
                               uint32_t chunk)
{
    uint32_t g = chunk * 4 + lcu_lane() % 4;
    return {{load_fragment<L>(v, matrix, row, g), load_fragment<L>(v, matrix, row + 8, g)}};
}

/* Four words for each of eight multiplications. `keep` has all bits set, which the compiler does not know:
 * it would load other weights than codes into registers that are still being multiplied. */
template <uint32_t L>
LCU_DEV void to_operands(const wide_rows<L> &w, uint32_t chunk, uint32_t keep, uint32_t (&to)[32])
{
    LCU_UNROLL
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t h[16];
        to_halves<L>(w.f[i], chunk * 4 + lcu_lane() % 4, h);
        LCU_UNROLL
        for (uint32_t k = 0; k < 16; k++)
            to[k / 2 * 4 + k % 2 * 2 + i] = fragment<L>::codes ? h[k] : h[k] & keep;
    }
}

/* --- multiplying ------------------------------------------------------------------------------------------ */

/* Begins to multiply 64 rows by a chunk of the activations. */
template <uint32_t L>
LCU_DEV void begin_rows(lcu_shared<uint8_t> data, const uint32_t (&w)[32], bool first,
                        float (&sums)[WIDE_POSITIONS / 2])
{
    lcu_wgmma_begin();
    LCU_UNROLL
    for (uint32_t k = 0; k < 8; k++)
        lcu_wgmma_registers<WIDE_POSITIONS, L == LCU_LAYOUT_BF16, false>(
            sums, w + 4 * k, lcu_matrix(data + k * 256, 128, WIDE_CORES_BYTES, false),
            !first || k > 0);
    lcu_wgmma_commit();
}

/* By a warpgroup. This lane has `row` and the row eight behind it, and the same 64 rows on: while one half
 * of the weights is multiplied the other one is made ready, and the next is on its way from memory. */
template <uint32_t L>
LCU_DEV void multiply_rows(const lcu_tiles_args &a, const uint8_t *matrix, const wide_ring &ring,
                           const wide_chunks &chunks, uint32_t row, float (&upper)[WIDE_POSITIONS / 2],
                           float (&lower)[WIDE_POSITIONS / 2])
{
    const lcu_weight_view &v = a.linear.w;
    uint32_t up[32], low[32], keep = a.x.chunks == 0 ? 0 : ~0u, chunk = chunks.first;
    to_operands<L>(load_rows<L>(v, matrix, row, chunk), chunk, keep, up);
    wide_rows<L> next = load_rows<L>(v, matrix, row + 64, chunk);
    for (uint32_t i = 0; i < chunks.count; i++, chunk++) {
        row = lcu_hidden(row); /* or the places of its planes would be kept in registers that are not there */
        uint32_t stage = i % WIDE_STAGES;
        lcu_shared<uint8_t> data = ring.data + stage * WIDE_BYTES;
        lcu_barrier_wait(ring.full + stage, i / WIDE_STAGES);
        begin_rows<L>(data, up, i == 0, upper);
        to_operands<L>(next, chunk, keep, low);
        next = load_rows<L>(v, matrix, row, chunk + 1);
        begin_rows<L>(data, low, i == 0, lower);
        lcu_wgmma_wait<1>(upper);
        to_operands<L>(next, chunk + 1, keep, up);
        next = load_rows<L>(v, matrix, row + 64, chunk + 1);
        lcu_wgmma_wait<0>(lower);
        if (lcu_lane() == 0)
            lcu_barrier_arrive(ring.empty + stage);
    }
}

/* --- splits --------------------------------------------------------------------------------------------- */

/* Each warp leaves its sums in memory; the one that comes last for a tile adds up those of all splits in
 * rising order, and answers true. */
LCU_DEV bool join_splits(const lcu_tiles_args &a, float (&sums)[2][WIDE_POSITIONS / 2])
{
    uint32_t warps = lcu_grid_x() * lcu_grid_y() * WIDE_WARPS;
    uint32_t warp = (lcu_block_y() * lcu_grid_x() + lcu_block_x()) * WIDE_WARPS + lcu_warp();
    size_t split = (size_t)warps * WIDE_POSITIONS * 32;
    float *at = a.partial + (size_t)warp * WIDE_POSITIONS * 32 + lcu_lane();
    LCU_UNROLL
    for (uint32_t i = 0; i < WIDE_POSITIONS; i++)
        at[lcu_block_z() * split + i * 32] = sums[i / 64][i % 64];
    lcu_fence();
    lcu_sync_warp();
    uint32_t before = lcu_lane() == 0 ? lcu_atomic_add(a.arrived + warp, 1) : 0;
    if (lcu_shfl(before, 0) + 1 != lcu_grid_z())
        return false;
    lcu_fence();
    LCU_UNROLL
    for (uint32_t i = 0; i < WIDE_POSITIONS; i++)
        sums[i / 64][i % 64] = lcu_load_fresh(at + i * 32);
    for (uint32_t z = 1; z < lcu_grid_z(); z++) {
        LCU_UNROLL
        for (uint32_t i = 0; i < WIDE_POSITIONS; i++)
            sums[i / 64][i % 64] += lcu_load_fresh(at + z * split + i * 32);
    }
    if (lcu_lane() == 0)
        a.arrived[warp] = 0;
    return true;
}

/* --- blocks --------------------------------------------------------------------------------------------- */

/* Grid: weight rows by 256, tiles of 128 positions, splits of the columns. Dynamic shared memory: stages, their barriers. */
template <uint32_t L> LCU_BODY void tiles_wide(const lcu_tiles_args &a)
{
    tile_place t = place_of(a, lcu_block_y(), WIDE_POSITIONS);
    if (t.first >= t.end)
        return;
    wide_ring ring = {lcu_dynamic<uint8_t>(0), lcu_dynamic<uint64_t>(LCU_WIDE_BYTES),
                      lcu_dynamic<uint64_t>(LCU_WIDE_BYTES + WIDE_STAGES * 8)};
    if (lcu_thread() == 0) {
        for (uint32_t i = 0; i < WIDE_STAGES; i++) {
            lcu_barrier_init(ring.full + i, 1);
            lcu_barrier_init(ring.empty + i, WIDE_WARPS);
        }
        lcu_barrier_ready();
    }
    lcu_sync();
    wide_chunks chunks = chunks_of(a);
    if (lcu_warp() >= WIDE_WARPS) {
        lcu_registers_less<24>();
        if (lcu_warp() == WIDE_WARPS)
            bring(a, t, ring, chunks);
        return;
    }
    lcu_registers_more<240>();
    uint32_t row = lcu_block_x() * 256 + lcu_warp() / 4 * 128 + lcu_warp() % 4 * 16 + lcu_lane() / 4;
    float sums[2][WIDE_POSITIONS / 2];
    multiply_rows<L>(a, a.linear.w.data + t.matrix * a.linear.w.matrix_bytes, ring, chunks, row, sums[0],
                     sums[1]);
    if (lcu_grid_z() > 1 && !join_splits(a, sums))
        return;
    t = place_of(a, lcu_block_y(), WIDE_POSITIONS); /* again: no registers keep it meanwhile */
    LCU_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        LCU_UNROLL
        for (uint32_t i = 0; i < WIDE_POSITIONS / 2; i++)
            write_result(a, t, t.first + i / 4 * 8 + lcu_lane() % 4 * 2 + i % 2,
                         row + half * 64 + i / 2 % 2 * 8, sums[half][i]);
    }
}

#else

template <uint32_t L> LCU_BODY void tiles_wide(const lcu_tiles_args &) {}

#endif

LCU_DEFINE_ALL(LCU_TABLE_WIDE)
