/* emulate_hopper.h - the host's bodies of kernels/wrap_hopper.cuh. Bulk copies arrive as late as they can: when
 * nobody goes on without them. Products of a warpgroup are done at the wait: until then their results are
 * NaN, and what they read may not be written. Descriptors of matrices are taken apart as the hardware does. */
#ifndef TEST_CUDA_HOST_EMULATE_HOPPER_H
#define TEST_CUDA_HOST_EMULATE_HOPPER_H

#include "emulate.h"

typedef lcu_shared<uint64_t> lcu_barrier;

void emu_phase_init(uint32_t offset, uint32_t count);
void emu_phase_arrive(uint32_t offset, uint32_t bytes);
void emu_phase_wait(uint32_t offset, uint32_t n);
void emu_copy_bulk(uint32_t offset, const void *from, uint32_t bytes, uint32_t barrier);
void emu_fence_async();

LCU_DEV void lcu_barrier_init(lcu_barrier b, uint32_t count)
{
    emu_phase_init(b.offset, count);
}
LCU_DEV void lcu_barrier_ready() {}
LCU_DEV void lcu_barrier_arrive(lcu_barrier b)
{
    emu_phase_arrive(b.offset, 0);
}
LCU_DEV void lcu_barrier_expect(lcu_barrier b, uint32_t bytes)
{
    emu_phase_arrive(b.offset, bytes);
}
LCU_DEV void lcu_barrier_wait(lcu_barrier b, uint32_t n)
{
    emu_phase_wait(b.offset, n);
}
template <class T>
static inline void lcu_copy_bulk(lcu_shared<T> to, const void *from, uint32_t bytes, lcu_barrier b)
{
    emu_copy_bulk(to.offset, from, bytes, b.offset);
}
LCU_DEV void lcu_fence_async()
{
    emu_fence_async();
}
template <uint32_t N> static inline void lcu_registers_less()
{
    static_assert(N % 8 == 0 && N >= 24, "");
}
template <uint32_t N> static inline void lcu_registers_more()
{
    static_assert(N % 8 == 0 && N <= 256, "");
}

LCU_DEV float lcu_exp2(float v)
{
    return std::exp2(v);
}

/* --- products ------------------------------------------------------------------------------------------- */

template <class T>
static inline uint64_t lcu_matrix(lcu_shared<T> at, uint32_t leading, uint32_t stride, bool wide)
{
    return at.offset >> 4 | (uint64_t)(leading >> 4) << 16 | (uint64_t)(stride >> 4) << 32 |
           (uint64_t)wide << 62;
}

struct emu_product {
    uint32_t columns;
    bool bf16, across, add, registers;
    uint64_t a, b; /* descriptors; `a` unless it comes in registers */
};
void emu_wgmma(const emu_product &p, float *d, const uint32_t *a);
void emu_wgmma_begin();
void emu_wgmma_commit();
void emu_wgmma_wait(uint32_t left);

LCU_DEV void lcu_wgmma_begin()
{
    emu_wgmma_begin();
}
LCU_DEV void lcu_wgmma_commit()
{
    emu_wgmma_commit();
}
template <uint32_t LEFT, uint32_t N> static inline void lcu_wgmma_wait(float (&)[N])
{
    emu_wgmma_wait(LEFT);
}
template <uint32_t N, bool BF16, bool ACROSS>
static inline void lcu_wgmma_registers(float (&d)[N / 2], const uint32_t *a, uint64_t b, bool add)
{
    emu_wgmma({N, BF16, ACROSS, add, true, 0, b}, d, a);
}
template <uint32_t N, bool BF16>
static inline void lcu_wgmma_shared(float (&d)[N / 2], uint64_t a, uint64_t b, bool add)
{
    emu_wgmma({N, BF16, false, add, false, a, b}, d, nullptr);
}

#endif
