/* faulty.cpp - kernels with one mistake each, that the emulation must find, and some without. */
#include "faulty.h"

#include "backends/cuda/kernels/wrap.cuh"

constexpr uint32_t THREADS = 64;

/* Every thread writes a place of its own and reads its neighbour's, in another warp for some. */
template <bool BARRIER> static void neighbours(const void *args)
{
    LCU_SHARED(uint32_t, places, THREADS);
    uint32_t me = lcu_thread(), next = (me + 1) % THREADS;
    places[me] = 0;
    lcu_sync();
    places[me] = me;
    if (BARRIER)
        lcu_sync();
    (*(uint32_t *const *)args)[me] = places[next];
}

static void one_place(const void *)
{
    LCU_SHARED(uint32_t, place, 1);
    place[0] = lcu_thread();
}

static void unwritten(const void *)
{
    LCU_SHARED(uint32_t, places, THREADS);
    if (lcu_thread() != 5)
        places[lcu_thread()] = 1;
    lcu_sync();
    uint32_t sum = 0;
    for (uint32_t i = 0; i < THREADS; i++)
        sum += places[i];
    (void)sum;
}

static void missed_barrier(const void *)
{
    if (lcu_warp() == 0)
        lcu_sync();
}

static void missed_shuffle(const void *)
{
    if (lcu_lane() != 3)
        (void)lcu_shfl(1u, 0);
}

static void two_operations(const void *)
{
    if (lcu_lane() % 2 == 0)
        (void)lcu_shfl(1u, 0);
    else
        (void)lcu_ballot(true);
}

static void out_of_bounds(const void *)
{
    lcu_shared<uint32_t> all = lcu_dynamic<uint32_t>(0);
    all[lcu_thread() + 1] = 0; /* the launch has THREADS words */
}

static void not_aligned(const void *)
{
    if (lcu_thread() == 0)
        lcu_dynamic<float4>(8)[0] = make_float4(0, 0, 0, 0);
}

/* What is copied is there when the copying thread has waited, for others behind a barrier. */
template <bool WAIT> static void copied(const void *args)
{
    LCU_SHARED(uint4, places, THREADS);
    const uint4 *from = *(const uint4 *const *)args;
    lcu_copy_async16(places + lcu_thread(), from, true);
    lcu_copy_commit();
    if (WAIT)
        lcu_copy_wait<0>();
    uint4 v = places[lcu_thread()];
    (void)v;
    lcu_copy_wait<0>();
}

static void never_waited(const void *args)
{
    LCU_SHARED(uint4, places, THREADS);
    lcu_copy_async16(places + lcu_thread(), *(const uint4 *const *)args, true);
    lcu_copy_commit();
}

/* Lanes of one warp are ordered by its own barrier, warps are not. */
template <uint32_t APART> static void by_warp_barrier(const void *)
{
    LCU_SHARED(uint32_t, places, THREADS);
    places[lcu_thread()] = 1;
    lcu_sync();
    places[lcu_thread()] = 2;
    lcu_sync_warp();
    uint32_t v = places[lcu_thread() ^ APART];
    (void)v;
}

extern "C" const faulty_kernel faulty_kernels[] = {
    {"a barrier between", neighbours<true>, nullptr},
    {"no barrier between", neighbours<false>, "while"},
    {"one place for all", one_place, "written by thread"},
    {"a place nobody wrote", unwritten, "before it is written"},
    {"a barrier missed by a warp", missed_barrier, "a barrier is not reached"},
    {"a shuffle missed by a lane", missed_shuffle, "not reached by all lanes"},
    {"two operations of one warp", two_operations, "different operations"},
    {"out of bounds", out_of_bounds, "shared memory at 256 of 256 bytes"},
    {"not aligned", not_aligned, "not aligned"},
    {"a copy with its wait", copied<true>, nullptr},
    {"a copy used early", copied<false>, "before it is written"},
    {"a copy never waited for", never_waited, "copies under way"},
    {"lanes behind their barrier", by_warp_barrier<1>, nullptr},
    {"warps behind a warp's barrier", by_warp_barrier<32>, "while"},
};
extern "C" const uint32_t faulty_count = sizeof faulty_kernels / sizeof faulty_kernels[0];
