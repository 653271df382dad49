/* order.cu - the places of a run ordered by expert, so that each expert's weights are read once: a
 * stable counting sort by one block. Nothing of it goes to the host. */
#include "backends/cuda/kernels/wrap.cuh"

constexpr uint32_t ORDER_WARPS = 8, ORDER_THREADS = ORDER_WARPS * 32;

/* Calls `use(place, expert or LM_NONE)` for the warp's share of the places, all lanes at once. */
template <class U> LCU_DEV void each_place(const lcu_order_args &a, U use)
{
    uint32_t n = lcu_rows(a.run, a.ids.rows) * a.used;
    uint32_t share = (n + ORDER_THREADS - 1) / ORDER_THREADS * 32, first = lcu_warp() * share;
    for (uint32_t at = first; at < first + share && at < n; at += 32) {
        uint32_t place = at + lcu_lane(), expert = LM_NONE;
        if (place < n)
            expert = ((const uint32_t *)a.ids.data)[place];
        use(place, expert < a.experts ? expert : LM_NONE);
    }
}

/* A place without an expert has the result zero. */
LCU_DEV void clear_place(const lcu_order_args &a, uint32_t place)
{
    uint32_t width = a.out.width / a.used;
    for (uint32_t c = lcu_lane(); c < width; c += 32)
        ((float *)a.out.data)[(size_t)place * width + c] = 0;
}

/* Positions of the experts from their counts, by one warp: each begins at a multiple of eight, and has
 * its tiles. */
LCU_DEV void place_experts(const lcu_order_args &a, lcu_shared<uint32_t> counts)
{
    uint32_t positions = 0, tiles = 0;
    for (uint32_t first = 0; first < a.experts; first += 32) {
        uint32_t expert = first + lcu_lane(), count = 0;
        for (uint32_t w = 0; expert < a.experts && w < ORDER_WARPS; w++) {
            uint32_t here = counts[w * a.experts + expert];
            counts[w * a.experts + expert] = count; /* behind the warps before */
            count += here;
        }
        uint32_t eights = (count + 7) / 8 * 8, own_tiles = (count + a.width - 1) / a.width;
        uint32_t at = positions, tile = tiles;
        for (uint32_t lane = 0; lane < 32; lane++) {
            uint32_t e = lcu_shfl(eights, lane), t = lcu_shfl(own_tiles, lane);
            at += lane < lcu_lane() ? e : 0;
            tile += lane < lcu_lane() ? t : 0;
            positions += e;
            tiles += t;
        }
        for (uint32_t w = 0; expert < a.experts && w < ORDER_WARPS; w++)
            counts[w * a.experts + expert] += at;
        for (uint32_t i = count; i < eights; i++)
            a.order.places[at + i] = LM_NONE;
        for (uint32_t i = 0; i < own_tiles; i++) {
            uint32_t left = count - i * a.width;
            a.order.tiles[tile + i] = {expert, at + i * a.width, left < a.width ? left : a.width};
        }
    }
    if (lcu_lane() == 0) {
        *a.order.n_positions = positions;
        *a.order.n_tiles = tiles;
    }
}

/* One block. Dynamic shared memory: [ORDER_WARPS][experts] counts, then positions. */
LCU_BODY void order_places(const lcu_order_args &a)
{
    lcu_shared<uint32_t> counts = lcu_dynamic<uint32_t>(0), own = counts + lcu_warp() * a.experts;
    for (uint32_t i = lcu_thread(); i < ORDER_WARPS * a.experts; i += ORDER_THREADS)
        counts[i] = 0;
    lcu_sync();
    each_place(a, [&](uint32_t, uint32_t expert) {
        uint32_t same = lcu_match(expert);
        if (expert != LM_NONE && (same & ((1u << lcu_lane()) - 1)) == 0)
            own[expert] += lcu_count_bits(same);
        lcu_sync_warp();
    });
    lcu_sync();
    if (lcu_warp() == 0)
        place_experts(a, counts);
    lcu_sync();
    each_place(a, [&](uint32_t place, uint32_t expert) {
        uint32_t same = lcu_match(expert), before = same & ((1u << lcu_lane()) - 1), at = 0;
        if (expert != LM_NONE)
            at = own[expert];
        lcu_sync_warp();
        if (expert != LM_NONE) {
            a.order.places[at + lcu_count_bits(before)] = place;
            if (before == 0)
                own[expert] = at + lcu_count_bits(same);
        }
        lcu_sync_warp();
        uint32_t n = lcu_rows(a.run, a.ids.rows) * a.used;
        uint32_t none = lcu_ballot(expert == LM_NONE && place < n);
        for (uint32_t lane = 0; none != 0; lane++, none >>= 1)
            if ((none & 1) != 0)
                clear_place(a, place - lcu_lane() + lane);
    });
}

LCU_DEFINE_ALL(LCU_TABLE_ORDER)
