/* wrap_hopper.cuh - the door to what only compute capability 9.0 has (sm_90a): barriers in shared memory,
 * bulk copies, multiplications by whole warpgroups. Kernels that use it are empty for other cards.
 *
 * Rules: threads of a warpgroup (128, from a multiple of 128) reach lcu_wgmma_* together; between
 * lcu_wgmma_begin and the wait nobody touches the registers of a product, nor the shared memory that
 * it reads; values that threads wrote there need lcu_fence_async before a barrier. */
#ifndef LM_BACKENDS_CUDA_WRAP_HOPPER_CUH
#define LM_BACKENDS_CUDA_WRAP_HOPPER_CUH

#include "backends/cuda/kernels/wrap.cuh"

#ifdef LCU_EMULATED

#define LCU_HOPPER 1
#include "emulate_hopper.h"

#elif defined(__CUDA_ARCH_FEAT_SM90_ALL)

#define LCU_HOPPER 1

/* --- barriers in shared memory ---------------------------------------------------------------------- */

typedef lcu_shared<uint64_t> lcu_barrier;

LCU_DEV uint32_t lcu_shared_at(const void *shared)
{
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* A phase ends when `count` threads have arrived and all bytes that were announced are there. */
LCU_DEV void lcu_barrier_init(lcu_barrier b, uint32_t count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(lcu_shared_at(b)), "r"(count)
                 : "memory");
}
/* By who made barriers, before lcu_sync: bulk copies see them too. */
LCU_DEV void lcu_barrier_ready()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
LCU_DEV void lcu_barrier_arrive(lcu_barrier b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(lcu_shared_at(b)) : "memory");
}
LCU_DEV void lcu_barrier_expect(lcu_barrier b, uint32_t bytes) /* arrives too */
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(lcu_shared_at(b)),
                 "r"(bytes)
                 : "memory");
}
/* Until phase `n` has ended, counted from 0; the one after it may not have. */
LCU_DEV void lcu_barrier_wait(lcu_barrier b, uint32_t n)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n"
                 "}" ::"r"(lcu_shared_at(b)),
                 "r"(n & 1)
                 : "memory");
}

/* --- bulk copies --------------------------------------------------------------------------------------- */

/* A multiple of 16 bytes, all aligned to 16; `b` hears of them. */
LCU_DEV void lcu_copy_bulk(void *shared, const void *from, uint32_t bytes, lcu_barrier b)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(lcu_shared_at(shared)),
                 "l"(from), "r"(bytes), "r"(lcu_shared_at(b))
                 : "memory");
}
/* What this thread wrote to shared memory may be read by warpgroups, after a barrier. */
LCU_DEV void lcu_fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/* --- registers of a warpgroup ----------------------------------------------------------------------------- */

template <uint32_t N> LCU_DEV void lcu_registers_less()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <uint32_t N> LCU_DEV void lcu_registers_more()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* 2 to the power of v; its relative error is below 2e-7, and small results are zero. */
LCU_DEV float lcu_exp2(float v)
{
    float p;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(p) : "f"(v));
    return p;
}

/* --- products ------------------------------------------------------------------------------------------------- */

/* A matrix of 16-bit values in shared memory. Plain: core matrices of eight rows of 16 bytes, `leading`
 * bytes apart along a row and `stride` down. Wide: rows of 128 bytes, aligned to 1024 by eights, whose 16-byte units are
 * exchanged: unit u of row r lies at u ^ r % 8; eights of rows are `stride` apart, and, where rows are
 * longer, their pieces `leading`. */
LCU_DEV uint64_t lcu_matrix(const void *shared, uint32_t leading, uint32_t stride, bool wide)
{
    return (lcu_shared_at(shared) & 0x3ffffu) >> 4 | (uint64_t)(leading >> 4) << 16 |
           (uint64_t)(stride >> 4) << 32 | (uint64_t)wide << 62;
}

/* Registers that were touched since the last wait are as they shall be. */
LCU_DEV void lcu_wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
LCU_DEV void lcu_wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/* Until at most LEFT groups are under way; `d` are results that are then there. */
template <uint32_t LEFT, uint32_t N> LCU_DEV void lcu_wgmma_wait(float (&d)[N])
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
    LCU_UNROLL
    for (uint32_t i = 0; i < N; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

#define LCU_D0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define LCU_D1 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LCU_D2 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define LCU_D3 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LCU_D4 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define LCU_D5 "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define LCU_D6                                                                                     \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define LCU_D7                                                                                     \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define LCU_D_64  LCU_D0 ", " LCU_D1
#define LCU_D_128 LCU_D_64 ", " LCU_D2 ", " LCU_D3
#define LCU_D_256 LCU_D_128 ", " LCU_D4 ", " LCU_D5 ", " LCU_D6 ", " LCU_D7
#define LCU_F4(d, i)   "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define LCU_F16(d, i)  LCU_F4(d, i), LCU_F4(d, i + 4), LCU_F4(d, i + 8), LCU_F4(d, i + 12)
#define LCU_F_64(d, i)  LCU_F16(d, i), LCU_F16(d, i + 16)
#define LCU_F_128(d, i) LCU_F_64(d, i), LCU_F_64(d, i + 32)
#define LCU_F_256(d, i) LCU_F_128(d, i), LCU_F_128(d, i + 64)

template <uint32_t N, bool BF16> struct lcu_wgmma;

/* n, n1 ... are the numbers of the operands behind the results. */
#define LCU_WGMMA(N, bf16, kind, n, n1, n2, n3, n4, n5, n6)                                        \
    template <> struct lcu_wgmma<N, bf16> {                                                        \
        template <bool ACROSS>                                                                     \
        static __device__ __forceinline__ void registers(float (&d)[N / 2], const uint32_t *a,     \
                                                         uint64_t b, bool add)                     \
        {                                                                                          \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #n5 ", 0;\n"                         \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." kind "." kind           \
                         " {" LCU_D_##N "}, {%" #n ", %" #n1 ", %" #n2 ", %" #n3 "}, %" #n4        \
                         ", p, 1, 1, %" #n6 ";\n}"                                                 \
                         : LCU_F_##N(d, 0)                                                         \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add),      \
                           "n"((int)ACROSS));                                                      \
        }                                                                                          \
        static __device__ __forceinline__ void shared(float (&d)[N / 2], uint64_t a, uint64_t b,   \
                                                      bool add)                                    \
        {                                                                                          \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #n2 ", 0;\n"                         \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." kind "." kind           \
                         " {" LCU_D_##N "}, %" #n ", %" #n1 ", p, 1, 1, 0, 0;\n}"                  \
                         : LCU_F_##N(d, 0)                                                         \
                         : "l"(a), "l"(b), "r"((int)add));                                         \
        }                                                                                          \
    };
LCU_WGMMA(64, false, "f16", 32, 33, 34, 35, 36, 37, 38)
LCU_WGMMA(64, true, "bf16", 32, 33, 34, 35, 36, 37, 38)
LCU_WGMMA(128, false, "f16", 64, 65, 66, 67, 68, 69, 70)
LCU_WGMMA(128, true, "bf16", 64, 65, 66, 67, 68, 69, 70)
LCU_WGMMA(256, false, "f16", 128, 129, 130, 131, 132, 133, 134)
LCU_WGMMA(256, true, "bf16", 128, 129, 130, 131, 132, 133, 134)

/* d[64 x N] = a[64 x 16] b[16 x N], added to d or not. A thread has of d what lcu_mma_bf16 gives its lane, eight
 * columns after the other, rows by its warp's number; `a` likewise, four words. The matrix b lies by columns, each
 * sixteen values in a row; ACROSS: by rows. */
template <uint32_t N, bool BF16, bool ACROSS>
LCU_DEV void lcu_wgmma_registers(float (&d)[N / 2], const uint32_t *a, uint64_t b, bool add)
{
    lcu_wgmma<N, BF16>::template registers<ACROSS>(d, a, b, add);
}
/* The same with `a` in shared memory, by rows. */
template <uint32_t N, bool BF16>
LCU_DEV void lcu_wgmma_shared(float (&d)[N / 2], uint64_t a, uint64_t b, bool add)
{
    lcu_wgmma<N, BF16>::shared(d, a, b, add);
}

#endif /* sm_90a */

#endif
