// attn_paged.comp - attention of PAIRS = ROWS * HEADS queries that share a head of keys and values,
// over the pages of their sequences. x: heads of keys and values times tiles of their queries' heads;
// y: tiles of rows; z: splits, when SPLIT says that attn_combine.comp joins them. 128 invocations.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "attn.glsl"

layout(constant_id = 5) const uint ROWS = 1;
layout(constant_id = 6) const uint HEADS = 4;
layout(constant_id = 7) const bool SPLIT = false;

const uint PAIRS = ROWS * HEADS, SUMS = 8;     // of scores per pair, so that their order is fixed
const uint DEPTH = 64;                         // of keys in shared memory
const uint LANES = V_DIM > 64 ? 32 : V_DIM > 32 ? 16 : 8; // that share a pair's values
const uint GROUPS = 128 / LANES, EACH = (PAIRS + GROUPS - 1) / GROUPS;
const uint CHUNKS = (V_DIM + 4 * LANES - 1) / (4 * LANES);

shared vec4 query[PAIRS][K_DIM / 4 + 1];
shared vec4 keys[TILE][DEPTH / 4 + 1];
shared uint64_t key_at[TILE], value_at[TILE]; // 0: a slot nobody here sees
shared float scores[PAIRS][TILE + 1];         // then exp(score - largest)
shared float maxima[PAIRS][SUMS + 1], sums[PAIRS][SUMS + 1];
shared float largest[PAIRS], total[PAIRS], shrink[PAIRS]; // of this split; what to shrink by
shared float all_largest[PAIRS], all_total[PAIRS];        // of the splits before
shared uint seen[PAIRS];                                  // slots of the tile, a bit each
shared float slope[PAIRS];

uint me = gl_LocalInvocationID.x;
vec4 mixed[EACH][CHUNKS], all_mixed[EACH][CHUNKS]; // of this split, of those before

uint group_heads() { return push.args.heads / push.args.kv_heads; }
uint head_tiles() { return (group_heads() + HEADS - 1) / HEADS; }
uint kv_head() { return gl_WorkGroupID.x / head_tiles(); }
uint row_of(uint pair) { return gl_WorkGroupID.y * ROWS + pair / HEADS; } // of the slot
uint head_of(uint pair)
{
    uint in_group = gl_WorkGroupID.x % head_tiles() * HEADS + pair % HEADS;
    return in_group < group_heads() ? kv_head() * group_heads() + in_group : NONE;
}

bool lives(uint pair)
{
    return row_of(pair) < push.run.count[push.args.kind] && head_of(pair) != NONE;
}

// Slopes fall geometrically; heads beyond a power of two take the odd steps between.
float alibi_slope(uint head)
{
    uint pow2 = 1u << findMSB(push.args.heads);
    float steps = head < pow2 ? head + 1 : (2 * (head - pow2) + 1) * 0.5;
    float exponent = -(push.args.alibi / pow2) * steps, whole = floor(exponent);
    return ldexp(lm_exp((exponent - whole) * 0.6931471805599453), int(whole));
}

void start()
{
    for (uint i = me; i < PAIRS * (K_DIM / 4 + 1) * 4; i += LOCAL) {
        uint pair = i / ((K_DIM / 4 + 1) * 4), d = i % ((K_DIM / 4 + 1) * 4);
        float x = 0;
        if (d < K_DIM && lives(pair))
            x = push.args.queries.v[(row_of(pair) * push.args.heads + head_of(pair)) * K_DIM + d];
        query[pair][d / 4][d % 4] = x;
    }
    if (me < PAIRS) {
        slope[me] = push.args.alibi > 0 && lives(me) ? alibi_slope(head_of(me)) : 0;
        largest[me] = all_largest[me] = NOTHING;
        total[me] = all_total[me] = 0;
    }
    for (uint e = 0; e < EACH; e++)
        for (uint c = 0; c < CHUNKS; c++)
            mixed[e][c] = all_mixed[e][c] = vec4(0);
}

// Which slots of the tile the row sees.
uint seen_of(uint row, uint tile)
{
    uvec2 range = visible_of(row);
    uint first = max(range.x, tile * TILE) - tile * TILE;
    uint end = min(range.y, tile * TILE + TILE);
    if (end <= tile * TILE || first >= end - tile * TILE)
        return 0;
    end -= tile * TILE;
    uint bits = (0xffffffffu >> (TILE - end)) & 0xffffffffu << first;
    RunSeq seq = push.run.seqs.v[push.run.row_seq.v[row]];
    if (push.run.ancestors == 0 || tile * TILE + end <= seq.past)
        return bits;
    for (uint j = first; j < end; j++) {
        uint slot = tile * TILE + j, other = seq.first_row + slot - seq.past;
        if (slot < seq.past)
            continue;
        uint at = row * push.run.ancestor_words + other / 32;
        bool sees = other < push.run.count[ROWS_ALL] &&
                    (U32s(push.run.ancestors).v[at] >> (other % 32) & 1u) != 0;
        bits &= sees ? 0xffffffffu : ~(1u << j);
    }
    return bits;
}

// Where the slots of a tile lie, for rows of sequence `s` alone.
void find_slots(uint s, uint tile)
{
    if (me < PAIRS) {
        uint row = lives(me) ? RUN_ROW(push.args.kind, row_of(me)) : 0;
        seen[me] = lives(me) && push.run.row_seq.v[row] == s ? seen_of(row, tile) : 0;
    }
    barrier();
    if (me < TILE) {
        uint any = 0;
        for (uint p = 0; p < PAIRS; p++)
            any |= seen[p];
        uint slot = tile * TILE + me;
        bool wanted = (any >> me & 1u) != 0;
        RunPages pages = push.run.seqs.v[s].groups[push.args.group];
        uint64_t page =
            wanted ? U64s(pages.pages).v[slot / push.args.page_tokens - pages.first_page] : 0;
        uint in_page = slot % push.args.page_tokens;
        key_at[me] = wanted ? page + push.args.k_offset + in_page * push.args.k_token +
                                  kv_head() * push.args.k_head
                            : 0;
        value_at[me] = page + push.args.v_offset + in_page * push.args.v_token +
                       kv_head() * push.args.v_head;
    }
    barrier();
}

// Scores of the tile: invocation i has slot i % TILE and every fourth pair.
void score(uint s, uint tile)
{
    precise vec4 dot_of[(PAIRS + 3) / 4];
    uint j = me % TILE;
    for (uint q = 0; q < (PAIRS + 3) / 4; q++)
        dot_of[q] = vec4(0);
    for (uint from = 0; from < K_DIM; from += DEPTH) {
        for (uint i = me; i < TILE * DEPTH / 4; i += LOCAL) {
            uint slot = i / (DEPTH / 4), d = from + i % (DEPTH / 4) * 4;
            if (d < K_DIM && key_at[slot] != 0)
                keys[slot][i % (DEPTH / 4)] = cached4(K_FORMAT, K_DIM, key_at[slot], d);
        }
        barrier();
        for (uint d = 0; d < min(DEPTH, K_DIM - from); d += 4) {
            vec4 k = keys[j][d / 4];
            for (uint q = 0; q < (PAIRS + 3) / 4; q++) {
                vec4 x = query[min(me / TILE + 4 * q, PAIRS - 1)][(from + d) / 4];
                dot_of[q] = fma(k, x, dot_of[q]);
            }
        }
        barrier();
    }
    for (uint q = 0; q < (PAIRS + 3) / 4; q++) {
        uint pair = me / TILE + 4 * q;
        if (pair >= PAIRS)
            break;
        precise float sum = (dot_of[q].x + dot_of[q].y) + (dot_of[q].z + dot_of[q].w);
        precise float y = sum * push.args.scale;
        if (push.args.softcap > 0)
            y = push.args.softcap * lm_tanh(y / push.args.softcap);
        if (push.args.alibi > 0 && lives(pair)) {
            int slot = int(push.run.slots.v[RUN_ROW(push.args.kind, row_of(pair))]);
            y = y - slope[pair] * float(abs(slot - int(tile * TILE + j)));
        }
        scores[pair][j] = (seen[pair] >> j & 1u) != 0 ? y : NOTHING;
    }
    barrier();
}

// Scores become exponentials, and the split's largest score and sum are brought up to date.
void weigh()
{
    uint pair = me / SUMS, part = me % SUMS, each = TILE / SUMS;
    if (pair < PAIRS) {
        float m = NOTHING;
        for (uint j = part * each; j < (part + 1) * each; j++)
            m = max(m, scores[pair][j]);
        maxima[pair][part] = m;
    }
    barrier();
    float m = NOTHING;
    if (pair < PAIRS) {
        m = largest[pair];
        for (uint i = 0; i < SUMS; i++)
            m = max(m, maxima[pair][i]);
        float base = m == NOTHING ? 0 : m;
        precise float sum = 0;
        for (uint j = part * each; j < (part + 1) * each; j++) {
            float p = lm_exp(scores[pair][j] - base);
            scores[pair][j] = p;
            sum = sum + p;
        }
        sums[pair][part] = sum;
        if (part == 0)
            shrink[pair] = lm_exp(largest[pair] - base);
    }
    barrier();
    if (pair < PAIRS && part == 0) {
        precise float sum = 0;
        for (uint i = 0; i < SUMS; i++)
            sum = sum + sums[pair][i];
        sum = total[pair] * shrink[pair] + sum;
        total[pair] = sum;
        largest[pair] = m;
    }
}

// Adds the tile's values under their weights. What a pair does not see must not be multiplied: it
// may be NaN.
void mix()
{
    uint lane = me % LANES, group = me / LANES;
    for (uint e = 0; e < EACH; e++)
        for (uint c = 0; c < CHUNKS; c++)
            mixed[e][c] = mixed[e][c] * shrink[min(group + e * GROUPS, PAIRS - 1)];
    for (uint j = 0; j < TILE; j++) {
        if (key_at[j] == 0)
            continue;
        for (uint c = 0; c < CHUNKS; c++) {
            uint d = (c * LANES + lane) * 4;
            vec4 v = d < V_DIM ? cached4(V_FORMAT, V_DIM, value_at[j], d) : vec4(0);
            for (uint e = 0; e < EACH; e++) {
                uint pair = min(group + e * GROUPS, PAIRS - 1);
                if ((seen[pair] >> j & 1u) != 0)
                    mixed[e][c] = fma(vec4(scores[pair][j]), v, mixed[e][c]);
            }
        }
    }
    barrier();
}

// The end of a split: joined with those before.
void join_split()
{
    for (uint e = 0; e < EACH; e++) {
        uint pair = min(me / LANES + e * GROUPS, PAIRS - 1);
        if (largest[pair] == NOTHING)
            continue;
        vec2 factors = join(all_largest[pair], largest[pair]);
        for (uint c = 0; c < CHUNKS; c++) {
            precise vec4 both = all_mixed[e][c] * factors.x + mixed[e][c] * factors.y;
            all_mixed[e][c] = both;
            mixed[e][c] = vec4(0);
        }
    }
    barrier();
    if (me < PAIRS && largest[me] != NOTHING) {
        vec2 factors = join(all_largest[me], largest[me]);
        precise float sum = all_total[me] * factors.x + total[me] * factors.y;
        all_total[me] = sum;
        all_largest[me] = max(all_largest[me], largest[me]);
        largest[me] = NOTHING;
        total[me] = 0;
    }
    barrier();
}

// All tiles that rows [first, end) of the slot see, which are of sequence s.
void walk(uint s, uint first, uint end)
{
    uvec2 slots = uvec2(NONE, 0);
    for (uint i = first; i < end; i++) {
        uvec2 range = visible_of(RUN_ROW(push.args.kind, i));
        slots = uvec2(min(slots.x, range.x), max(slots.y, range.y));
    }
    uint tile = slots.x / TILE, last = (slots.y + TILE - 1) / TILE;
    if (SPLIT) {
        tile = max(tile, gl_WorkGroupID.z * SPLIT_TILES);
        last = min(last, (gl_WorkGroupID.z + 1) * SPLIT_TILES);
    }
    for (; tile < last; tile++) {
        find_slots(s, tile);
        score(s, tile);
        weigh();
        mix();
        if (!SPLIT && (tile + 1) % SPLIT_TILES == 0)
            join_split();
    }
    if (!SPLIT)
        join_split();
}

// What one split found, for attn_combine.comp.
void write_parts()
{
    for (uint e = 0; e < EACH; e++) {
        uint pair = me / LANES + e * GROUPS;
        if (pair >= PAIRS || !lives(pair))
            continue;
        uint64_t at = (uint64_t(row_of(pair)) * push.args.heads + head_of(pair)) * push.args.splits;
        F32s part = F32s(uint64_t(push.args.parts) + (at + gl_WorkGroupID.z) * (V_DIM + 2) * 4);
        if (me % LANES == 0) {
            part.v[0] = largest[pair];
            part.v[1] = total[pair];
        }
        for (uint c = 0; c < CHUNKS; c++)
            for (uint k = 0, d = (c * LANES + me % LANES) * 4; k < 4 && d + k < V_DIM; k++)
                part.v[2 + d + k] = mixed[e][c][k];
    }
}

void write_result()
{
    for (uint e = 0; e < EACH; e++) {
        uint pair = me / LANES + e * GROUPS;
        if (pair >= PAIRS || !lives(pair))
            continue;
        uint head = head_of(pair), row = row_of(pair);
        precise vec2 factors = vec2(1, 0);
        if (push.args.sinks != 0)
            factors = join(all_largest[pair], F32s(push.args.sinks).v[head]);
        precise float sum = all_total[pair] * factors.x + factors.y;
        float share = sum == 0 ? 0 : 1 / sum;
        for (uint c = 0; c < CHUNKS; c++)
            for (uint k = 0, d = (c * LANES + me % LANES) * 4; k < 4 && d + k < V_DIM; k++) {
                precise float y = all_mixed[e][c][k] * factors.x * share;
                push.args.to.v[(row * push.args.heads + head) * V_DIM + d + k] = y;
            }
    }
}

void main()
{
    uint count = push.run.count[push.args.kind];
    uint first = gl_WorkGroupID.y * ROWS, end = min(first + ROWS, count);
    if (first >= count)
        return;
    if (SPLIT) {
        uvec2 range = visible_of(RUN_ROW(push.args.kind, first)), split = uvec2(0, 1) + gl_WorkGroupID.z;
        if (split.x * SPLIT_TILES * TILE >= range.y || split.y * SPLIT_TILES * TILE <= range.x)
            return;
    }
    start();
    barrier();
    while (first < end) {
        uint s = push.run.row_seq.v[RUN_ROW(push.args.kind, first)], next = first + 1;
        while (next < end && push.run.row_seq.v[RUN_ROW(push.args.kind, next)] == s)
            next++;
        walk(s, first, next);
        first = next;
    }
    if (SPLIT)
        write_parts();
    else
        write_result();
}
