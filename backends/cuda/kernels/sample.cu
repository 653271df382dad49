/* sample.cu - the largest values of a row, best first: their least is found digit by digit, then they are
 * collected in the order of columns and ranked. */
#include "backends/cuda/kernels/wrap.cuh"

/* Numbers in the order of values; NaN above all, both zeros alike. */
LCU_DEV uint32_t key_of(float v)
{
    if (v != v)
        return ~0u;
    uint32_t bits = lcu_bits_of(v == 0 ? 0.0f : v);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* What the threads find out together. */
struct threshold {
    uint32_t key;  /* of the least value that is among the best */
    uint32_t ties; /* how many of those equal to it are */
};

LCU_DEV threshold find_threshold(const float *row, uint32_t n, uint32_t k)
{
    LCU_SHARED(uint32_t, counts, 256);
    LCU_SHARED(uint32_t, found, 2); /* digits so far, how many are still to be found below */
    threshold t = {0, k};
    for (uint32_t shift = 32, mask = 0; shift > 0; mask |= 255u << shift) {
        shift -= 8;
        for (uint32_t i = lcu_thread(); i < 256; i += lcu_threads())
            counts[i] = 0;
        lcu_sync();
        for (uint32_t c = lcu_thread(); c < n; c += lcu_threads()) {
            uint32_t key = key_of(row[c]);
            if ((key & mask) == t.key)
                lcu_shared_add(counts + (key >> shift & 255), 1);
        }
        lcu_sync();
        if (lcu_thread() == 0) {
            uint32_t digit = 256, left = t.ties, count = 0;
            do {
                left -= count;
                count = counts[--digit];
            } while (count < left && digit > 0);
            found[0] = t.key | digit << shift;
            found[1] = left;
        }
        lcu_sync();
        t.key = found[0];
        t.ties = found[1];
    }
    return t;
}

/* How many threads before this one say yes, and how many in all. */
LCU_DEV uint32_t count_before(bool yes, lcu_shared<uint32_t> parts, uint32_t *all)
{
    uint32_t votes = lcu_ballot(yes), before = 0;
    if (lcu_lane() == 0)
        parts[lcu_warp()] = (uint32_t)lcu_count_bits(votes);
    lcu_sync();
    *all = 0;
    for (uint32_t w = 0; w < lcu_threads() / 32; w++) {
        uint32_t part = parts[w];
        before += w < lcu_warp() ? part : 0;
        *all += part;
    }
    lcu_sync();
    return before + lcu_count_bits(votes & ((1u << lcu_lane()) - 1));
}

/* One row per block. */
LCU_BODY void best_row(const lcu_best_args &a)
{
    LCU_SHARED(uint32_t, parts, 32);
    uint32_t i = lcu_block_x(), n = a.in.width, k = a.ids.width;
    if (i >= lcu_rows(a.run, a.in.rows))
        return;
    const float *row = (const float *)a.in.data + (size_t)i * n;
    lcu_shared<uint32_t> keys = lcu_dynamic<uint32_t>(0), columns = keys + k;
    threshold t = find_threshold(row, n, k);
    uint32_t above = 0, ties = 0, all;
    for (uint32_t first = 0; first < n; first += lcu_threads()) {
        uint32_t c = first + lcu_thread(), key = c < n ? key_of(row[c]) : 0;
        uint32_t at = above + count_before(c < n && key > t.key, parts, &all);
        above += all;
        uint32_t tie = ties + count_before(c < n && key == t.key, parts, &all);
        ties += all;
        if (c < n && key == t.key && tie < t.ties)
            at = k - t.ties + tie;
        else if (c >= n || key <= t.key)
            continue;
        keys[at] = key;
        columns[at] = c;
    }
    lcu_sync();
    for (uint32_t e = lcu_thread(); e < k; e += lcu_threads()) {
        uint32_t key = keys[e], column = columns[e], rank = 0;
        for (uint32_t other = 0; other < k; other++) {
            uint32_t its = keys[other], where = columns[other];
            rank += its > key || (its == key && where < column);
        }
        ((int32_t *)a.ids.data)[(size_t)i * k + rank] = (int32_t)column;
        ((float *)a.values.data)[(size_t)i * k + rank] = row[column];
    }
}

LCU_DEFINE_ALL(LCU_TABLE_SAMPLE)
