/* wrap.cuh - the one door from kernels to the machine: threads, barriers, shared memory, warps,
 * tensor cores, asynchronous copies. Compiled by nvcc these are intrinsics; with LCU_EMULATED the
 * same names have bodies for the host (tests/cuda_host/emulate.h), so that kernels run in tests.
 *
 * Rules for kernels: blocks are one-dimensional; warp operations are reached by all 32 lanes and
 * barriers by all threads of the block (never return before one that others reach); shared memory
 * is used through LCU_SHARED and lcu_dynamic only; no other intrinsic, no inline assembly outside
 * this file; a*b+c is fused only where it says fmaf. */
#ifndef LM_BACKENDS_CUDA_WRAP_CUH
#define LM_BACKENDS_CUDA_WRAP_CUH

#include "backends/cuda/kernels/args.h"
#include "backends/cuda/kernels/table.h"

#include <math.h>
#include <stdint.h>

#ifdef LCU_EMULATED

#include "emulate.h"

#else /* the device */

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define LCU_DEV static __device__ __forceinline__
/* For bodies of kernels. */
#define LCU_BODY static __device__
/* For parts of a kernel that many have alike: compiled once. */
#define LCU_APART static __device__ __noinline__
#define LCU_UNROLL _Pragma("unroll") /* loops over arrays that must stay in registers */
#define LCU_ROLLED _Pragma("unroll 1") /* loops whose bodies are long enough */
#define LCU_CONST_TABLE static __device__ const /* a table in device memory */

/* --- threads --------------------------------------------------------------------------------------- */

LCU_DEV uint32_t lcu_thread() { return threadIdx.x; }
LCU_DEV uint32_t lcu_threads() { return blockDim.x; }
LCU_DEV uint32_t lcu_lane() { return threadIdx.x & 31; }
LCU_DEV uint32_t lcu_warp() { return threadIdx.x >> 5; }
LCU_DEV uint32_t lcu_block_x() { return blockIdx.x; }
LCU_DEV uint32_t lcu_block_y() { return blockIdx.y; }
LCU_DEV uint32_t lcu_block_z() { return blockIdx.z; }
LCU_DEV uint32_t lcu_grid_x() { return gridDim.x; }
LCU_DEV uint32_t lcu_grid_y() { return gridDim.y; }
LCU_DEV uint32_t lcu_grid_z() { return gridDim.z; }

LCU_DEV void lcu_sync() { __syncthreads(); }
LCU_DEV void lcu_sync_warp() { __syncwarp(); }
LCU_DEV void lcu_fence() { __threadfence(); } /* writes so far are seen by all blocks */

/* --- shared memory ---------------------------------------------------------------------------------- */

/* A pointer into shared memory. Elements are read into and written from named values:
 * `float x = tile[i]; tile[i] = x;`, never by reference. */
template <class T> using lcu_shared = T *;

#define LCU_SHARED(T, name, count) __shared__ __align__(16) T name[count]

extern __shared__ __align__(1024) unsigned char lcu_dynamic_memory[];

/* The launch's own shared memory from byte `offset` on. */
template <class T> LCU_DEV lcu_shared<T> lcu_dynamic(uint32_t offset)
{
    return (T *)(lcu_dynamic_memory + offset);
}

/* The same memory as elements of another type. */
template <class U, class T> LCU_DEV lcu_shared<U> lcu_recast(T *p) { return (U *)p; }

/* The same value, which the compiler does not know: it computes what follows from it where it is used. */
LCU_DEV uint32_t lcu_hidden(uint32_t v)
{
    asm volatile("" : "+r"(v));
    return v;
}

/* --- warps --------------------------------------------------------------------------------------------- */

template <class T> LCU_DEV T lcu_shfl(T v, uint32_t lane) { return __shfl_sync(~0u, v, lane); }
template <class T> LCU_DEV T lcu_shfl_xor(T v, uint32_t mask)
{
    return __shfl_xor_sync(~0u, v, mask);
}
LCU_DEV uint32_t lcu_ballot(bool p) { return __ballot_sync(~0u, p); }
LCU_DEV bool lcu_any(bool p) { return __any_sync(~0u, p); }
LCU_DEV bool lcu_all(bool p) { return __all_sync(~0u, p); }

/* The lanes that have the same value. */
LCU_DEV uint32_t lcu_match(uint32_t v) { return __match_any_sync(~0u, v); }

/* All lanes get the result; pairs 16, 8, 4, 2, 1 apart are joined in this order. */
LCU_DEV float lcu_warp_sum(float v)
{
    for (uint32_t mask = 16; mask > 0; mask >>= 1)
        v += lcu_shfl_xor(v, mask);
    return v;
}
template <uint32_t N> LCU_DEV void lcu_warp_sums(float v[N]) /* N of them at once */
{
    LCU_UNROLL
    for (uint32_t i = 0; i < N; i++)
        v[i] = lcu_warp_sum(v[i]);
}
LCU_DEV float lcu_warp_max(float v) /* a NaN is left out unless all are */
{
    for (uint32_t mask = 16; mask > 0; mask >>= 1)
        v = fmaxf(v, lcu_shfl_xor(v, mask));
    return v;
}

LCU_DEV uint32_t lcu_count_bits(uint32_t bits) { return (uint32_t)__popc(bits); }
LCU_DEV void lcu_shared_add(uint32_t *at, uint32_t v) { atomicAdd(at, v); }
LCU_DEV uint32_t lcu_atomic_add(uint32_t *at, uint32_t v) { return atomicAdd(at, v); }

/* --- numbers ---------------------------------------------------------------------------------------------- */

LCU_DEV float lcu_from_f16(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
LCU_DEV uint16_t lcu_to_f16(float v) { return __half_as_ushort(__float2half_rn(v)); }
LCU_DEV float lcu_from_bf16(uint16_t bits) { return __uint_as_float((uint32_t)bits << 16); }
LCU_DEV uint16_t lcu_to_bf16(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
/* Two of them in one word, `low` in its lower half. */
LCU_DEV uint32_t lcu_pack_f16(float low, float high)
{
    __half2 pair = __floats2half2_rn(low, high);
    return *(const uint32_t *)&pair;
}
LCU_DEV uint32_t lcu_pack_bf16(float low, float high)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&pair;
}
LCU_DEV float lcu_from_e4m3(uint8_t bits)
{
    return __half2float(__half(__nv_cvt_fp8_to_halfraw(bits, __NV_E4M3)));
}
/* Two of them, exactly, as halves in one word. Without an instruction: moved to where a half has its
 * exponent they are 2^-8 of their value, and NaN alone carries into the topmost bit. */
LCU_DEV uint32_t lcu_halves_of_e4m3(uint32_t pair)
{
#if __CUDA_ARCH__ >= 890
    __half2_raw h = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)pair, __NV_E4M3);
    return h.x | (uint32_t)h.y << 16;
#else
    uint32_t w = __byte_perm(pair, 0, 0x1404), magnitude = (w & 0x7f007f00u) >> 1;
    w = (w & 0x80008000u) | magnitude | ((magnitude + 0x00800080u) & 0x40004000u);
    __half2 scaled = __hmul2(*(const __half2 *)&w, __float2half2_rn(256.0f));
    return *(const uint32_t *)&scaled;
#endif
}
LCU_DEV uint8_t lcu_to_e4m3(float v) { return __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3); }
LCU_DEV float lcu_float_of(uint32_t bits) { return __uint_as_float(bits); }
LCU_DEV uint32_t lcu_bits_of(float v) { return __float_as_uint(v); }

/* Byte i of the result is byte (selector >> 4 i & 7) of a, then b. */
LCU_DEV uint32_t lcu_byte_perm(uint32_t a, uint32_t b, uint32_t selector)
{
    return __byte_perm(a, b, selector);
}

/* Four signed bytes by four signed (or unsigned by signed) bytes, added to c. */
LCU_DEV int32_t lcu_dp4a(int32_t a, int32_t b, int32_t c) { return __dp4a(a, b, c); }
LCU_DEV int32_t lcu_dp4a_us(uint32_t a, int32_t b, int32_t c)
{
    int32_t d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* --- global memory -------------------------------------------------------------------------------------------- */

/* Read once, not kept in L1: weights. */
LCU_DEV uint4 lcu_load_stream(const void *from)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from));
    return v;
}
/* What another block of this launch may have written. */
LCU_DEV float lcu_load_fresh(const float *from) { return __ldcg(from); }
LCU_DEV void lcu_prefetch(const void *at) { asm volatile("prefetch.global.L2 [%0];" ::"l"(at)); }

/* Sixteen bytes to shared memory, there after the wait of the copying thread; `lcu_sync` for the
 * others. `there` false: zeros. */
LCU_DEV void lcu_copy_async16(void *shared, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(shared)),
                 "l"(from), "r"(there ? 16 : 0));
}
LCU_DEV void lcu_copy_commit() { asm volatile("cp.async.commit_group;"); }
/* Until at most N of this thread's groups are under way. */
template <int N> LCU_DEV void lcu_copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N)); }

/* --- tensor cores --------------------------------------------------------------------------------------------- */

/* d[16 x 8] += a[16 x 16] b[16 x 8], in the fragment layout of mma.sync.m16n8k16. */
LCU_DEV void lcu_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
LCU_DEV void lcu_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* d[16 x 8] += a[16 x 32] b[32 x 8] in signed bytes: m16n8k32. */
LCU_DEV void lcu_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* Four 8 x 8 matrices of 16-bit values; lane l gives the address of row l % 8 of matrix l / 8. */
LCU_DEV void lcu_ldmatrix(uint32_t d[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(shared)));
}
LCU_DEV void lcu_ldmatrix_t(uint32_t d[4], const void *shared) /* each matrix transposed */
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(shared)));
}

/* --- one launch after another ----------------------------------------------------------------------------------- */

/* Waits for the launch before, and so for all before it: every kernel begins with it. Nothing on older
 * cards, where launches do not overlap. */
LCU_DEV void lcu_wait_previous()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
LCU_DEV void lcu_start_next() /* the next launch may begin as far as its own wait */
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* --- kernels -------------------------------------------------------------------------------------------------------- */

#define LCU_DEFINE(symbol, args, threads, capability, ...)                                         \
    extern "C" __global__ void __launch_bounds__(threads)                                          \
        lcu_kernel_##symbol(const __grid_constant__ args a)                                        \
    {                                                                                              \
        lcu_start_next();                                                                          \
        lcu_ahead(a);                                                                              \
        lcu_wait_previous();                                                                       \
        __VA_ARGS__(a);                                                                            \
    }                                                                                              \
    extern "C" {                                                                                   \
    extern const void *const lcu_function_##symbol;                                                \
    const void *const lcu_function_##symbol = (const void *)lcu_kernel_##symbol;                   \
    }

#endif /* the device */

#define LCU_DEFINE_ALL(table) table(LCU_DEFINE)

/* What a kernel may do while the launch before it ends: fetch weights. A .cu file may have its own for its
 * kind of arguments. */
template <class A> LCU_DEV void lcu_ahead(const A &) {}

/* --- what kernels look at ------------------------------------------------------------------------------------------ */

LCU_DEV uint32_t lcu_rows(const lcu_run *run, uint32_t rows)
{
    return rows == LM_ROWS_ALL ? run->n_rows : rows == LM_ROWS_WANTED ? run->n_wanted : run->n_seqs;
}

/* The row of the run behind row i of a slot that has all rows or the wanted ones. */
LCU_DEV uint32_t lcu_run_row(const lcu_run *run, uint32_t rows, uint32_t i)
{
    return rows == LM_ROWS_WANTED ? run->wanted[i] : i;
}

/* Where a token's key (part 0) or value (part 1) lies. */
LCU_DEV uint8_t *lcu_cache_at(const lcu_run *run, const lcu_cache_view &c, int part, uint32_t seq,
                              uint32_t slot, uint32_t head)
{
    const lcu_seq_pages &g = run->seqs[seq].groups[c.group];
    uint32_t page = run->page_ids[g.pages + slot / c.page_tokens - g.first_page];
    return c.pages[page] + c.parts[part].offset + (slot % c.page_tokens) * c.parts[part].token_stride +
           head * c.parts[part].head_stride;
}

/* The slots a row may see are [first, end), and of those of this run only what lcu_sees. */
LCU_DEV uint32_t lcu_first_visible(const lcu_run *run, uint32_t row, uint32_t window)
{
    uint32_t slot = run->slots[row];
    return window != 0 && slot + 1 > window ? slot + 1 - window : 0;
}
LCU_DEV bool lcu_sees(const lcu_run *run, uint32_t row, uint32_t slot)
{
    const lcu_seq &seq = run->seqs[run->row_seq[row]];
    if (run->ancestor_words == 0 || slot < seq.length)
        return true;
    uint32_t other = seq.first_row + (slot - seq.length);
    return other < run->n_rows &&
           (run->ancestors[(size_t)row * run->ancestor_words + other / 64] >> (other % 64) & 1) != 0;
}

#endif
