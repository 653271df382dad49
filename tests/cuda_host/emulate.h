/* emulate.h - the host's bodies of kernels/wrap.cuh: one fiber per CUDA thread, blocks one after
 * another, in shuffled order. A fiber runs until a barrier or a warp operation; lanes then go on in
 * another order. Shared memory is watched byte by byte: two threads that touch it without a barrier
 * between them, one of them writing, stop the launch, and so do reads of what nobody wrote. */
#ifndef TEST_CUDA_HOST_EMULATE_H
#define TEST_CUDA_HOST_EMULATE_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#define LCU_DEV         static inline
#define LCU_BODY        static
#define LCU_APART       static
#define LCU_CONST_TABLE static const
#define LCU_UNROLL
#define LCU_ROLLED

struct uint2 {
    uint32_t x, y;
};
struct uint4 {
    uint32_t x, y, z, w;
};
struct int2 {
    int32_t x, y;
};
struct int4 {
    int32_t x, y, z, w;
};
struct float2 {
    float x, y;
};
struct float4 {
    float x, y, z, w;
};
static inline uint2 make_uint2(uint32_t x, uint32_t y)
{
    return {x, y};
}
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return {x, y, z, w};
}
static inline int2 make_int2(int32_t x, int32_t y)
{
    return {x, y};
}
static inline int4 make_int4(int32_t x, int32_t y, int32_t z, int32_t w)
{
    return {x, y, z, w};
}
static inline float2 make_float2(float x, float y)
{
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

/* --- the machine (emulate.cpp) --------------------------------------------------------------------- */

struct emu_thread {
    void *stack_pointer;
    uint32_t index, lane, warp;
    uint32_t state;
    uint32_t copies, groups; /* asynchronous copies under way */
    /* emulate_hopper.cpp: the tick of the phase that it waited for last; fences, groups of products; whether its
     * registers may be used by products */
    uint32_t acquired, fences, product_groups;
    bool fenced;
};

struct emu_machine {
    emu_thread *self;
    uint32_t threads, shared_bytes;
    uint32_t block[3], grid[3];
    uint32_t epoch;          /* counts barriers and starts of blocks */
    uint32_t started;        /* the epoch in which this block began */
    uint32_t warp_epoch[32]; /* counts lcu_sync_warp */
    uint32_t tick;           /* counts phases of barriers in shared memory */
};
extern emu_machine emu;
constexpr uint32_t EMU_THREADS = 1024; /* of a block, at most */
void emu_forget_copies();              /* of a launch that failed */

void emu_barrier();
void emu_warp_barrier();
void emu_pause(); /* until emu_resume */
void emu_resume(uint32_t thread);
/* Every lane hands in up to EMU_PAYLOAD bytes; when all 32 have, each may look at the others'. */
constexpr size_t EMU_PAYLOAD = 128;
enum { EMU_SHFL, EMU_VOTE, EMU_SUM, EMU_MAX, EMU_MMA, EMU_MATRIX, EMU_SYNC };
void emu_exchange(uint32_t kind, const void *in, size_t size);
const void *emu_peer(uint32_t lane);
/* Stops the launch, which then fails with this text. */
[[noreturn]] void emu_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* emulate_hopper.cpp */
void emu_hopper_start();                 /* of a block */
bool emu_hopper_idle();                  /* nothing is under way */
bool emu_copies_arrive(uint32_t random); /* one of them, if there is any */
void emu_check_products(uint32_t offset, uint32_t bytes);

/* --- shared memory ----------------------------------------------------------------------------------- */

constexpr uint32_t EMU_DYNAMIC = 256 * 1024, EMU_POOL = 8 * 1024 * 1024;
extern unsigned char emu_pool[EMU_POOL]; /* a launch's dynamic part first, then every LCU_SHARED */
uint32_t emu_reserve(size_t bytes);
void emu_read(uint32_t offset, uint32_t size);
void emu_write(uint32_t offset, uint32_t size);
void emu_atomic_add(uint32_t offset, uint32_t v); /* no race with another */
/* By the hardware: a bulk copy begins and ends to write, a warpgroup reads. */
void emu_foreign_begin(uint32_t offset, uint32_t size);
void emu_foreign_end(uint32_t offset, uint32_t size);
void emu_foreign_read(uint32_t offset, uint32_t size);

template <class T> struct emu_cell {
    uint32_t offset;
    T get() const
    {
        T v;
        emu_read(offset, sizeof(T));
        std::memcpy(&v, emu_pool + offset, sizeof v);
        return v;
    }
    operator T() const { return get(); }
    void put(T v) const
    {
        emu_write(offset, sizeof(T));
        std::memcpy(emu_pool + offset, &v, sizeof v);
    }
    emu_cell(uint32_t at) : offset(at) {}
    emu_cell(const emu_cell &) = default;
    T operator=(T v) const { return put(v), v; }
    T operator=(const emu_cell &o) const { return *this = o.get(); }
    T operator+=(T v) const { return *this = (T)(get() + v); }
    T operator*=(T v) const { return *this = (T)(get() * v); }
};

template <class T> struct lcu_shared {
    uint32_t offset;
    emu_cell<T> operator[](size_t i) const { return {(uint32_t)(offset + i * sizeof(T))}; }
    emu_cell<T> operator*() const { return (*this)[0]; }
    lcu_shared operator+(size_t n) const { return {(uint32_t)(offset + n * sizeof(T))}; }
};

#define LCU_SHARED(T, name, count)                                                                 \
    static const uint32_t name##_at = emu_reserve(sizeof(T) * (count));                            \
    const lcu_shared<T> name = {name##_at}

template <class T> static inline lcu_shared<T> lcu_dynamic(uint32_t offset)
{
    return {offset};
}
template <class U, class T> static inline lcu_shared<U> lcu_recast(lcu_shared<T> p)
{
    return {p.offset};
}

LCU_DEV uint32_t lcu_hidden(uint32_t v)
{
    return v;
}

/* --- threads --------------------------------------------------------------------------------------------- */

LCU_DEV uint32_t lcu_thread()
{
    return emu.self->index;
}
LCU_DEV uint32_t lcu_threads()
{
    return emu.threads;
}
LCU_DEV uint32_t lcu_lane()
{
    return emu.self->lane;
}
LCU_DEV uint32_t lcu_warp()
{
    return emu.self->warp;
}
LCU_DEV uint32_t lcu_block_x()
{
    return emu.block[0];
}
LCU_DEV uint32_t lcu_block_y()
{
    return emu.block[1];
}
LCU_DEV uint32_t lcu_block_z()
{
    return emu.block[2];
}
LCU_DEV uint32_t lcu_grid_x()
{
    return emu.grid[0];
}
LCU_DEV uint32_t lcu_grid_y()
{
    return emu.grid[1];
}
LCU_DEV uint32_t lcu_grid_z()
{
    return emu.grid[2];
}
LCU_DEV void lcu_sync()
{
    emu_barrier();
}
LCU_DEV void lcu_sync_warp()
{
    emu_warp_barrier();
}
LCU_DEV void lcu_fence() {}

/* --- warps ------------------------------------------------------------------------------------------------- */

template <class T> static inline T lcu_shfl(T v, uint32_t lane)
{
    emu_exchange(EMU_SHFL, &v, sizeof v);
    std::memcpy(&v, emu_peer(lane & 31), sizeof v);
    return v;
}
template <class T> static inline T lcu_shfl_xor(T v, uint32_t mask)
{
    return lcu_shfl(v, lcu_lane() ^ mask);
}
LCU_DEV uint32_t lcu_ballot(bool p)
{
    uint32_t bits = 0;
    emu_exchange(EMU_VOTE, &p, sizeof p);
    for (uint32_t i = 0; i < 32; i++)
        bits |= (uint32_t)(*(const bool *)emu_peer(i)) << i;
    return bits;
}
LCU_DEV bool lcu_any(bool p)
{
    return lcu_ballot(p) != 0;
}
LCU_DEV bool lcu_all(bool p)
{
    return lcu_ballot(p) == ~0u;
}

/* The same tree as on the device, from one exchange. */
const float *emu_reduce(uint32_t kind, const float *v, uint32_t count);
template <uint32_t N> static inline void lcu_warp_sums(float v[N])
{
    static_assert(N * sizeof *v <= EMU_PAYLOAD, "an exchange carries no more");
    std::memcpy(v, emu_reduce(EMU_SUM, v, N), N * sizeof *v);
}
LCU_DEV float lcu_warp_sum(float v)
{
    return emu_reduce(EMU_SUM, &v, 1)[0];
}
LCU_DEV float lcu_warp_max(float v)
{
    return emu_reduce(EMU_MAX, &v, 1)[0];
}

LCU_DEV uint32_t lcu_count_bits(uint32_t bits)
{
    return (uint32_t)__builtin_popcount(bits);
}
LCU_DEV uint32_t lcu_match(uint32_t v)
{
    uint32_t bits = 0;
    emu_exchange(EMU_VOTE, &v, sizeof v);
    for (uint32_t i = 0; i < 32; i++)
        bits |= (uint32_t)(*(const uint32_t *)emu_peer(i) == v) << i;
    return bits;
}
LCU_DEV void lcu_shared_add(lcu_shared<uint32_t> at, uint32_t v)
{
    emu_atomic_add(at.offset, v);
}
LCU_DEV uint32_t lcu_atomic_add(uint32_t *at, uint32_t v)
{
    uint32_t before = *at;
    *at = before + v;
    return before;
}

/* --- numbers ---------------------------------------------------------------------------------------------------- */

LCU_DEV float lcu_float_of(uint32_t bits)
{
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}
LCU_DEV uint32_t lcu_bits_of(float v)
{
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}
float lcu_from_f16(uint16_t bits);
uint16_t lcu_to_f16(float v);
LCU_DEV float lcu_from_bf16(uint16_t bits)
{
    return lcu_float_of((uint32_t)bits << 16);
}
uint16_t lcu_to_bf16(float v);
LCU_DEV uint32_t lcu_pack_f16(float low, float high)
{
    return lcu_to_f16(low) | (uint32_t)lcu_to_f16(high) << 16;
}
LCU_DEV uint32_t lcu_pack_bf16(float low, float high)
{
    return lcu_to_bf16(low) | (uint32_t)lcu_to_bf16(high) << 16;
}
float lcu_from_e4m3(uint8_t bits);
uint8_t lcu_to_e4m3(float v);
inline uint32_t lcu_halves_of_e4m3(uint32_t pair)
{
    return lcu_to_f16(lcu_from_e4m3((uint8_t)pair)) |
           (uint32_t)lcu_to_f16(lcu_from_e4m3((uint8_t)(pair >> 8))) << 16;
}

LCU_DEV uint32_t lcu_byte_perm(uint32_t a, uint32_t b, uint32_t selector)
{
    uint64_t both = (uint64_t)b << 32 | a;
    uint32_t v = 0;
    for (uint32_t i = 0; i < 4; i++)
        v |= (uint32_t)(both >> (selector >> (4 * i) & 7) * 8 & 255) << (8 * i);
    return v;
}
LCU_DEV int32_t lcu_dp4a(int32_t a, int32_t b, int32_t c)
{
    for (int i = 0; i < 32; i += 8)
        c += (int8_t)((uint32_t)a >> i) * (int8_t)((uint32_t)b >> i);
    return c;
}
LCU_DEV int32_t lcu_dp4a_us(uint32_t a, int32_t b, int32_t c)
{
    for (int i = 0; i < 32; i += 8)
        c += (uint8_t)(a >> i) * (int8_t)((uint32_t)b >> i);
    return c;
}

/* --- global memory ------------------------------------------------------------------------------------------------- */

void emu_check_aligned(const void *at, size_t alignment);

LCU_DEV uint4 lcu_load_stream(const void *from)
{
    uint4 v;
    emu_check_aligned(from, 16);
    std::memcpy(&v, from, sizeof v);
    return v;
}
LCU_DEV float lcu_load_fresh(const float *from)
{
    return *from;
}
LCU_DEV void lcu_prefetch(const void *) {}

/* Done at the wait, so that a missing one shows. */
void emu_copy_async(uint32_t offset, const void *from, bool there);
void emu_copy_commit();
void emu_copy_wait(uint32_t left);
template <class T>
static inline void lcu_copy_async16(lcu_shared<T> to, const void *from, bool there)
{
    emu_copy_async(to.offset, from, there);
}
LCU_DEV void lcu_copy_commit()
{
    emu_copy_commit();
}
template <int N> static inline void lcu_copy_wait()
{
    emu_copy_wait(N);
}

/* --- tensor cores ------------------------------------------------------------------------------------------------------ */

void lcu_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]);
void lcu_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2]);
void lcu_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2]);
void emu_ldmatrix(uint32_t d[4], uint32_t offset, bool transposed);
template <class T> static inline void lcu_ldmatrix(uint32_t d[4], lcu_shared<T> row)
{
    emu_ldmatrix(d, row.offset, false);
}
template <class T> static inline void lcu_ldmatrix_t(uint32_t d[4], lcu_shared<T> row)
{
    emu_ldmatrix(d, row.offset, true);
}

LCU_DEV void lcu_wait_previous() {}
LCU_DEV void lcu_start_next() {}

/* --- kernels ----------------------------------------------------------------------------------------------------------- */

#define LCU_DEFINE(symbol, args, threads, capability, ...)                                         \
    static void lcu_kernel_##symbol(const void *a)                                                 \
    {                                                                                              \
        lcu_ahead(*(const args *)a);                                                               \
        __VA_ARGS__(*(const args *)a);                                                             \
    }                                                                                              \
    extern "C" {                                                                                   \
    extern const void *const lcu_function_##symbol;                                                \
    const void *const lcu_function_##symbol = (const void *)lcu_kernel_##symbol;                   \
    }

#endif
