/* emulate_hopper.cpp - barriers in shared memory, bulk copies and products of warpgroups in the
 * emulation. */
#include "emulate_hopper.h"

#include <algorithm>
#include <vector>

/* --- barriers in shared memory ------------------------------------------------------------------- */

struct phase_barrier {
    uint32_t count, left, phase; /* `left` to arrive in this phase */
    int64_t bytes;               /* announced and not there yet */
    uint32_t ended;              /* tick at which the last phase ended */
    std::vector<uint32_t> waiting;
};
constexpr uint32_t BARRIERS = 32;
static struct {
    uint32_t offset;
    phase_barrier b;
} barriers[BARRIERS];
static uint32_t n_barriers;

static phase_barrier &barrier_at(uint32_t offset)
{
    for (uint32_t i = 0; i < n_barriers; i++)
        if (barriers[i].offset == offset)
            return barriers[i].b;
    emu_fail("there is no barrier in shared memory at %u", offset);
}

void emu_phase_init(uint32_t offset, uint32_t count)
{
    if (offset % 8 != 0 || offset + 8 > emu.shared_bytes || n_barriers == BARRIERS || count == 0)
        emu_fail("a barrier of %u cannot be at %u of %u bytes", count, offset, emu.shared_bytes);
    for (uint32_t i = 0; i < n_barriers; i++)
        if (barriers[i].offset == offset)
            emu_fail("two barriers in shared memory at %u", offset);
    barriers[n_barriers].offset = offset;
    barriers[n_barriers++].b = {count, count, 0, 0, 0, {}};
}

static void end_phase(phase_barrier &b)
{
    if (b.left > 0 || b.bytes != 0)
        return;
    b.phase++;
    b.left = b.count;
    b.ended = ++emu.tick;
    for (uint32_t thread : b.waiting)
        emu_resume(thread);
    b.waiting.clear();
}

void emu_phase_arrive(uint32_t offset, uint32_t bytes)
{
    phase_barrier &b = barrier_at(offset);
    if (b.left == 0)
        emu_fail("more than %u threads arrive at the barrier at %u", b.count, offset);
    b.left--;
    b.bytes += bytes;
    end_phase(b);
}

/* The hardware knows but the lowest bit of n: waiting must not lag by two phases or run ahead of one. */
void emu_phase_wait(uint32_t offset, uint32_t n)
{
    phase_barrier &b = barrier_at(offset);
    if (n > b.phase || n + 1 < b.phase)
        emu_fail("waits for phase %u of the barrier at %u, which is in phase %u", n, offset, b.phase);
    while (b.phase == n) {
        b.waiting.push_back(emu.self->index);
        emu_pause();
    }
    emu.self->acquired = std::max(emu.self->acquired, b.ended);
}

/* --- bulk copies ----------------------------------------------------------------------------------- */

struct bulk_copy {
    uint32_t offset, bytes, barrier;
    const void *from;
};
static std::vector<bulk_copy> bulk;

void emu_copy_bulk(uint32_t offset, const void *from, uint32_t bytes, uint32_t barrier)
{
    emu_check_aligned(from, 16);
    if (offset % 16 != 0 || bytes % 16 != 0 || bytes == 0)
        emu_fail("a bulk copy of %u bytes to %u", bytes, offset);
    (void)barrier_at(barrier);
    emu_foreign_begin(offset, bytes);
    bulk.push_back({offset, bytes, barrier, from});
}

bool emu_copies_arrive(uint32_t random)
{
    if (bulk.empty())
        return false;
    size_t i = random % bulk.size();
    bulk_copy c = bulk[i];
    bulk.erase(bulk.begin() + (std::ptrdiff_t)i);
    std::memcpy(emu_pool + c.offset, c.from, c.bytes);
    emu_foreign_end(c.offset, c.bytes);
    phase_barrier &b = barrier_at(c.barrier);
    b.bytes -= c.bytes;
    end_phase(b);
    return true;
}

void emu_fence_async()
{
    emu.self->fences++;
}

/* --- matrices ------------------------------------------------------------------------------------------- */

/* Where value k of line n lies, 0 <= k < 16. `across`: sixteen lines of n instead. */
static uint32_t address(uint64_t matrix, bool across, uint32_t n, uint32_t k)
{
    uint32_t start = (uint32_t)(matrix & 0x3fff) << 4, leading = (uint32_t)(matrix >> 16 & 0x3fff) << 4;
    uint32_t stride = (uint32_t)(matrix >> 32 & 0x3fff) << 4, at;
    switch (matrix >> 62) {
    case 0:
        if (across)
            return start + n / 8 * stride + k / 8 * leading + k % 8 * 16 + n % 8 * 2;
        return start + n / 8 * stride + k / 8 * leading + n % 8 * 16 + k % 8 * 2;
    case 1:
        if (across)
            at = start + n / 64 * leading + k / 8 * stride + k % 8 * 128 + n % 64 * 2;
        else
            at = start + n / 8 * stride + n % 8 * 128 + k * 2;
        return at ^ (at >> 7 & 7) << 4;
    }
    emu_fail("a matrix in a layout that is not emulated");
}

/* Every sixteen bytes of a product's left (0) or right (1) operand. */
template <class U> static void each_unit(const emu_product &p, uint32_t side, U use)
{
    bool across = side == 1 && p.across;
    uint32_t lines = side == 0 ? 64 : p.columns;
    for (uint32_t n = 0; n < lines; n += across ? 8 : 1)
        for (uint32_t k = 0; k < 16; k += across ? 1 : 8)
            use(address(side == 0 ? p.a : p.b, across, n, k));
}

/* --- warpgroups -------------------------------------------------------------------------------------- */

constexpr uint32_t GROUP = 128, GROUPS = 8;

struct results { /* of the products under way that add to the same registers */
    float *d[GROUP];
    uint32_t columns, products;
    std::vector<float> sums; /* [64][columns] */
};
struct pending {
    emu_product p;
    const uint32_t *a[GROUP];
    uint32_t group, results;
    uint32_t from[2], to[2]; /* what it reads of shared memory lies between */
};
static struct {
    uint32_t arrived;
    pending next;
    float *d[GROUP];
    std::vector<pending> products;
    std::vector<results> sums;
} warpgroups[GROUPS];

/* Where a thread's result i lies in 64 rows of columns. */
static size_t place(uint32_t thread, uint32_t i, uint32_t columns)
{
    uint32_t row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
    return (size_t)row * columns + i / 4 * 8 + thread % 4 * 2 + i % 2;
}

static uint32_t results_of(uint32_t g, float *const d[GROUP], uint32_t columns)
{
    auto &w = warpgroups[g];
    for (uint32_t i = 0; i < w.sums.size(); i++)
        if (w.sums[i].products > 0 && w.sums[i].d[0] == d[0])
            return i;
    results r = {};
    r.columns = columns;
    r.sums.resize((size_t)64 * columns);
    for (uint32_t t = 0; t < GROUP; t++) {
        r.d[t] = d[t];
        for (uint32_t i = 0; i < columns / 2; i++) {
            r.sums[place(t, i, columns)] = d[t][i];
            d[t][i] = NAN;
        }
    }
    w.sums.push_back(r);
    return (uint32_t)w.sums.size() - 1;
}

static void find_bounds(pending &op)
{
    for (uint32_t side = op.p.registers ? 1 : 0; side < 2; side++) {
        op.from[side] = ~0u;
        op.to[side] = 0;
        each_unit(op.p, side, [&](uint32_t at) {
            op.from[side] = at < op.from[side] ? at : op.from[side];
            op.to[side] = at + 16 > op.to[side] ? at + 16 : op.to[side];
        });
    }
}

void emu_wgmma_begin()
{
    emu.self->fenced = true;
}

void emu_wgmma_commit()
{
    emu.self->product_groups++;
}

void emu_wgmma(const emu_product &p, float *d, const uint32_t *a)
{
    emu_thread *me = emu.self;
    uint32_t g = me->index / GROUP, at = me->index % GROUP;
    auto &w = warpgroups[g];
    if (g >= GROUPS || (g + 1) * GROUP > emu.threads)
        emu_fail("a product outside whole warpgroups");
    if (!me->fenced)
        emu_fail("a product without lcu_wgmma_begin");
    if (w.arrived == 0) {
        w.next.p = p;
        w.next.group = me->product_groups;
    } else if (w.next.p.a != p.a || w.next.p.b != p.b || w.next.p.add != p.add ||
               w.next.p.columns != p.columns || w.next.p.across != p.across ||
               w.next.p.registers != p.registers || w.next.p.bf16 != p.bf16 ||
               w.next.group != me->product_groups)
        emu_fail("threads of a warpgroup begin different products");
    w.next.a[at] = a;
    w.d[at] = d;
    if (++w.arrived < GROUP) {
        emu_pause();
        return;
    }
    w.arrived = 0;
    w.next.results = results_of(g, w.d, p.columns);
    w.sums[w.next.results].products++;
    w.products.push_back(w.next);
    find_bounds(w.products.back());
    for (uint32_t t = 0; t < GROUP; t++)
        if (t != at)
            emu_resume(g * GROUP + t);
}

static const float *halves_table()
{
    static float table[65536];
    if (table[0x3c00] == 0)
        for (uint32_t i = 0; i < 65536; i++)
            table[i] = lcu_from_f16((uint16_t)i);
    return table;
}

static float half(bool bf16, uint32_t bits)
{
    static const float *table = halves_table();
    return bf16 ? lcu_from_bf16((uint16_t)bits) : table[bits & 0xffff];
}

static void check_matrix(uint64_t matrix, bool across)
{
    uint32_t start = (uint32_t)(matrix & 0x3fff) << 4, stride = (uint32_t)(matrix >> 32 & 0x3fff) << 4;
    bool wide = matrix >> 62 != 0;
    if (wide && stride % 1024 != 0)
        emu_fail("rows of 128 bytes whose eights are %u bytes apart", stride);
    if (wide && (start % 1024 >= 128 || (across && start % 1024 != 0)))
        emu_fail("rows of 128 bytes that begin at %u", start);
}

/* [lines][16] of an operand in shared memory. */
static void load_matrix(const emu_product &p, uint32_t side, float *to)
{
    uint64_t matrix = side == 0 ? p.a : p.b;
    bool across = side == 1 && p.across;
    uint32_t lines = side == 0 ? 64 : p.columns;
    check_matrix(matrix, across);
    each_unit(p, side, [](uint32_t at) { emu_foreign_read(at, 16); });
    for (uint32_t n = 0; n < lines; n++)
        for (uint32_t k = 0; k < 16; k++) {
            uint16_t bits;
            std::memcpy(&bits, emu_pool + address(matrix, across, n, k), sizeof bits);
            to[n * 16 + k] = half(p.bf16, bits);
        }
}

__attribute__((optimize("O3"))) static void add_products(uint32_t columns, const float *a,
                                                         const float *b, float *sums)
{
    float row[16][256];
    for (uint32_t n = 0; n < columns; n++)
        for (uint32_t k = 0; k < 16; k++)
            row[k][n] = b[n * 16 + k];
    for (uint32_t m = 0; m < 64; m++)
        for (uint32_t k = 0; k < 16; k++) {
            float v = a[m * 16 + k];
            for (uint32_t n = 0; n < columns; n++)
                sums[m * columns + n] += v * row[k][n];
        }
}

static void multiply(uint32_t g, const pending &op)
{
    results &r = warpgroups[g].sums[op.results];
    float a[64 * 16], b[256 * 16];
    if (op.p.registers) {
        for (uint32_t t = 0; t < GROUP; t++)
            for (uint32_t i = 0; i < 8; i++) {
                uint32_t row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
                uint32_t k = t % 4 * 2 + i % 2 + i / 4 * 8;
                a[row * 16 + k] = half(op.p.bf16, op.a[t][i / 2] >> i % 2 * 16);
            }
    } else {
        load_matrix(op.p, 0, a);
    }
    load_matrix(op.p, 1, b);
    if (!op.p.add)
        std::fill(r.sums.begin(), r.sums.end(), 0.0f);
    add_products(r.columns, a, b, r.sums.data());
    if (--r.products > 0)
        return;
    for (uint32_t t = 0; t < GROUP; t++)
        for (uint32_t i = 0; i < r.columns / 2; i++)
            r.d[t][i] = r.sums[place(t, i, r.columns)];
}

void emu_wgmma_wait(uint32_t left)
{
    emu_thread *me = emu.self;
    uint32_t g = me->index / GROUP;
    auto &w = warpgroups[g];
    size_t done = 0;
    for (; done < w.products.size() && w.products[done].group + left < me->product_groups; done++)
        multiply(g, w.products[done]);
    w.products.erase(w.products.begin(), w.products.begin() + (std::ptrdiff_t)done);
    if (w.products.empty())
        w.sums.clear();
    if (left == 0)
        me->fenced = false;
}

/* What a product under way will read must not be written. */
void emu_check_products(uint32_t offset, uint32_t bytes)
{
    for (auto &w : warpgroups)
        for (const pending &op : w.products)
            for (uint32_t side = op.p.registers ? 1 : 0; side < 2; side++)
                if (offset < op.to[side] && offset + bytes > op.from[side])
                    each_unit(op.p, side, [&](uint32_t at) {
                        if (at + 16 > offset && at < offset + bytes)
                            emu_fail("shared memory at %u is written while a warpgroup reads it", at);
                    });
}

void emu_hopper_start()
{
    if (n_barriers > 0) {
        n_barriers = 0;
        bulk.clear();
        for (auto &w : warpgroups) {
            w.arrived = 0;
            w.products.clear();
            w.sums.clear();
        }
    }
}

bool emu_hopper_idle()
{
    for (auto &w : warpgroups)
        if (!w.products.empty())
            return false;
    return bulk.empty();
}
