/* emulate.cpp - fibers, barriers and the watch over shared memory. */
#include "emulate.h"
#include "launch.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr size_t STACK_BYTES = 64 * 1024;
enum { READY, AT_WARP, AT_BLOCK, PAUSED, DONE };

struct warp {
    uint32_t arrived, kind, parity, ready;
    uint32_t at, stride, offset; /* lanes go in the order (stride * i + offset) % 32 */
    alignas(16) unsigned char payload[2][32][EMU_PAYLOAD];
    float reduced[2][EMU_PAYLOAD / sizeof(float)];
};

emu_thread threads[EMU_THREADS];
warp warps[EMU_THREADS / 32];
unsigned char *stacks;
void *outside; /* the launching context */
void (*body)(const void *);
const void *arguments;
uint64_t random_state = 1;
uint32_t warp_now, n_warps;
char failure[512];
bool failed;

uint32_t random32()
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

/* Saves the callee's registers on the stack and goes on at another. */
#if defined(__x86_64__)
asm(R"(
.text
.type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
.size emu_switch, .-emu_switch
)");
constexpr size_t SAVED_WORDS = 6, ENTRY_WORD = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.type emu_switch, %function
emu_switch:
    stp x19, x20, [sp, #-160]!
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x19, x20, [sp], #160
    ret
.size emu_switch, .-emu_switch
)");
constexpr size_t SAVED_WORDS = 20, ENTRY_WORD = 11;
#endif
} // namespace

extern "C" void emu_switch(void **save, void *to);

namespace {

void go_to(emu_thread *from, emu_thread *to)
{
    emu.self = to;
    emu_switch(from == nullptr ? &outside : &from->stack_pointer, to->stack_pointer);
}

[[noreturn]] void leave()
{
    void *nowhere;
    emu_switch(&nowhere, outside);
    std::abort(); /* nobody comes back here */
}

emu_thread *next_lane(warp &w)
{
    for (;; w.at++) {
        emu_thread *t = &threads[warp_now * 32 + ((w.stride * w.at + w.offset) & 31)];
        if (t->state == READY)
            return t;
    }
}

void reshuffle(warp &w)
{
    uint32_t r = random32();
    w.stride = (r & 30) | 1;
    w.offset = r >> 8;
    w.at = 0;
}

bool any_ready()
{
    for (uint32_t i = 0; i < n_warps; i++)
        if (warps[i].ready > 0)
            return true;
    return false;
}

/* Nobody can go on: copies arrive, the barrier opens, or the block is done, or the kernel is wrong. */
bool open_barrier()
{
    uint32_t waiting = 0, done = 0, paused = 0;
    while (emu_copies_arrive(random32()))
        if (any_ready())
            return true;
    for (uint32_t i = 0; i < emu.threads; i++) {
        waiting += threads[i].state == AT_BLOCK;
        done += threads[i].state == DONE;
        paused += threads[i].state == PAUSED;
    }
    if (paused > 0)
        emu_fail("%u threads wait for a phase of a barrier, or others of their warpgroup, for ever",
                 paused);
    if (done == emu.threads && !emu_hopper_idle())
        emu_fail("a block ends with copies or products under way");
    if (done == emu.threads)
        return false;
    if (waiting + done < emu.threads)
        emu_fail("a warp operation is not reached by all lanes");
    if (done > 0)
        emu_fail("a barrier is not reached by %u of %u threads", done, emu.threads);
    emu.epoch++;
    for (uint32_t i = 0; i < emu.threads; i++)
        threads[i].state = READY;
    for (uint32_t i = 0; i < n_warps; i++) {
        warps[i].ready = 32;
        reshuffle(warps[i]);
    }
    warp_now = random32() % n_warps;
    return true;
}

/* Goes on with somebody else. */
void give_way()
{
    emu_thread *me = emu.self;
    for (uint32_t tries = 0; warps[warp_now].ready == 0; tries++) {
        warp_now = (warp_now + 1) % n_warps;
        if (tries == n_warps && !open_barrier())
            leave();
    }
    emu_thread *next = next_lane(warps[warp_now]);
    if (next != me)
        go_to(me, next);
}

void block_as(uint32_t state)
{
    emu.self->state = state;
    warps[emu.self->warp].ready--;
    give_way();
}

void entry()
{
    body(arguments);
    if (emu.self->copies > 0)
        emu_fail("a thread ends with asynchronous copies under way");
    block_as(DONE);
    std::abort();
}

void prepare(uint32_t i)
{
    emu_thread *t = &threads[i];
    *t = {};
    t->index = i;
    t->lane = i & 31;
    t->warp = i >> 5;
    void **top = (void **)(stacks + (i + 1) * STACK_BYTES) - 2; /* aligned to 16 */
    void **frame = top - SAVED_WORDS - (SAVED_WORDS == ENTRY_WORD ? 2 : 0);
    for (void **p = frame; p < top + 2; p++)
        *p = nullptr;
    frame[ENTRY_WORD] = (void *)entry;
    t->stack_pointer = frame;
}

void run_block()
{
    emu.started = ++emu.epoch;
    emu_hopper_start();
    for (uint32_t i = 0; i < emu.threads; i++)
        prepare(i);
    for (uint32_t i = 0; i < n_warps; i++) {
        warps[i].arrived = 0;
        warps[i].ready = 32;
        reshuffle(warps[i]);
    }
    warp_now = random32() % n_warps;
    go_to(nullptr, next_lane(warps[warp_now]));
}

/* --- shared memory: who touched two bytes last, and when ---------------------------------------- */

constexpr uint32_t GRAIN = 2; /* nothing is accessed by single bytes */
constexpr uint16_t MANY = 0xffff, ONE_WARP = 0x8000, FOREIGN = 0xffff;
constexpr uint32_t UNDER_WAY = ~0u; /* instead of a tick: a bulk copy is writing */

struct watch {
    uint32_t written, written_warp, read, read_warp; /* epochs */
    uint32_t written_tick, read_tick, written_fence;
    uint16_t writer, reader; /* reader may be ONE_WARP | warp, or MANY; writer may be FOREIGN */
};

watch watches[EMU_POOL / GRAIN];
uint32_t reserved = EMU_DYNAMIC;

void check_range(uint32_t offset, uint32_t size)
{
    if (offset + size > (offset < EMU_DYNAMIC ? emu.shared_bytes : reserved))
        emu_fail("shared memory at %u of %u bytes", offset, emu.shared_bytes);
    if (size <= 16 && (offset & (size - 1)) != 0)
        emu_fail("%u bytes of shared memory at %u, not aligned", size, offset);
    if (size % GRAIN != 0)
        emu_fail("a single byte of shared memory at %u", offset);
}

uint32_t offset_of(const watch *w)
{
    return (uint32_t)(w - watches) * GRAIN;
}

bool ordered(uint32_t warp, uint32_t warp_epoch)
{
    return warp == emu.self->warp && warp_epoch < emu.warp_epoch[warp];
}

void check_written(const watch &w, const char *what)
{
    bool coming = w.written >= emu.started && w.written_tick == UNDER_WAY;
    if (coming || (w.written == emu.epoch && w.writer != emu.self->index &&
                   !ordered(w.writer >> 5, w.written_warp) && w.written_tick >= emu.self->acquired))
        emu_fail("shared byte %u %s by thread %u while thread %u writes it", offset_of(&w), what,
                 emu.self->index, w.writer);
}

} // namespace

emu_machine emu;
alignas(128) unsigned char emu_pool[EMU_POOL];

uint32_t emu_reserve(size_t bytes)
{
    uint32_t at = (reserved + 127) / 128 * 128;
    if (at + bytes + 128 > EMU_POOL)
        std::abort();
    reserved = at + (uint32_t)bytes;
    return at;
}

void emu_read(uint32_t offset, uint32_t size)
{
    check_range(offset, size);
    emu_thread *me = emu.self;
    for (watch *w = watches + offset / GRAIN, *end = w + size / GRAIN; w < end; w++) {
        if (w->written < emu.started)
            emu_fail("shared byte %u is read before it is written", offset_of(w));
        check_written(*w, "read");
        uint32_t warp_epoch = emu.warp_epoch[me->warp];
        if (w->read != emu.epoch)
            w->reader = (uint16_t)me->index;
        else if (w->reader != me->index && w->reader != MANY) {
            uint32_t warp = w->reader & ONE_WARP ? w->reader & 31u : w->reader >> 5;
            if (warp != me->warp)
                w->reader = MANY;
            else /* what the warp read before its last barrier is done */
                w->reader = (uint16_t)(w->read_warp < warp_epoch ? me->index : ONE_WARP | warp);
        }
        w->read = emu.epoch;
        w->read_warp = warp_epoch;
        w->read_tick = emu.tick;
    }
}

void emu_write(uint32_t offset, uint32_t size)
{
    check_range(offset, size);
    emu_check_products(offset, size);
    emu_thread *me = emu.self;
    for (watch *w = watches + offset / GRAIN, *end = w + size / GRAIN; w < end; w++) {
        check_written(*w, "written");
        if (w->read == emu.epoch && w->reader != me->index && w->read_tick >= me->acquired) {
            uint32_t warp = w->reader & ONE_WARP ? w->reader & 31u : w->reader >> 5;
            if (w->reader == MANY || !ordered(warp, w->read_warp))
                emu_fail("shared byte %u written by thread %u while others read it",
                         offset_of(w), me->index);
        }
        w->written = emu.epoch;
        w->written_warp = emu.warp_epoch[me->warp];
        w->written_tick = emu.tick;
        w->written_fence = me->fences;
        w->writer = (uint16_t)me->index;
    }
}

void emu_foreign_begin(uint32_t offset, uint32_t size)
{
    emu_write(offset, size);
    for (watch *w = watches + offset / GRAIN, *end = w + size / GRAIN; w < end; w++) {
        w->written_tick = UNDER_WAY;
        w->writer = FOREIGN;
    }
}

void emu_foreign_end(uint32_t offset, uint32_t size)
{
    for (watch *w = watches + offset / GRAIN, *end = w + size / GRAIN; w < end; w++)
        w->written_tick = emu.tick;
}

void emu_foreign_read(uint32_t offset, uint32_t size)
{
    emu_read(offset, size);
    for (watch *w = watches + offset / GRAIN, *end = w + size / GRAIN; w < end; w++) {
        if (w->writer != FOREIGN && threads[w->writer].fences == w->written_fence)
            emu_fail("shared byte %u is read by a warpgroup, and thread %u that wrote it has no fence",
                     offset_of(w), w->writer);
        w->reader = MANY;
    }
}

void emu_atomic_add(uint32_t offset, uint32_t v)
{
    uint32_t before;
    check_range(offset, sizeof v);
    for (uint32_t i = 0; i < sizeof v; i += GRAIN) {
        watch &w = watches[(offset + i) / GRAIN];
        if (w.written < emu.started)
            emu_fail("shared byte %u is added to before it is written", offset + i);
        w.written = emu.epoch;
        w.written_warp = emu.warp_epoch[emu.self->warp];
        w.writer = (uint16_t)emu.self->index;
    }
    std::memcpy(&before, emu_pool + offset, sizeof before);
    before += v;
    std::memcpy(emu_pool + offset, &before, sizeof before);
}

/* --- barriers and exchanges ----------------------------------------------------------------------- */

void emu_barrier()
{
    block_as(AT_BLOCK);
}

void emu_pause()
{
    block_as(PAUSED);
}

void emu_resume(uint32_t thread)
{
    threads[thread].state = READY;
    warps[thread / 32].ready++;
}

/* Done once, by the lane that comes last. */
static void join_all(warp &w, uint32_t kind, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        float all[32];
        for (uint32_t i = 0; i < 32; i++)
            std::memcpy(&all[i], w.payload[w.parity][i] + k * sizeof all[i], sizeof all[i]);
        for (uint32_t mask = 16; mask > 0; mask >>= 1)
            for (uint32_t i = 0; i < mask; i++)
                all[i] =
                    kind == EMU_SUM ? all[i] + all[i + mask] : std::fmax(all[i], all[i + mask]);
        w.reduced[w.parity][k] = all[0];
    }
}

void emu_exchange(uint32_t kind, const void *in, size_t size)
{
    emu_thread *me = emu.self;
    warp &w = warps[me->warp];
    if (w.arrived > 0 && w.kind != kind)
        emu_fail("lanes of one warp meet in different operations");
    w.kind = kind;
    if (size > 0)
        std::memcpy(w.payload[w.parity][me->lane], in, size);
    if (++w.arrived < 32) {
        block_as(AT_WARP);
        return;
    }
    if (kind == EMU_SUM || kind == EMU_MAX)
        join_all(w, kind, (uint32_t)(size / sizeof(float)));
    w.arrived = 0;
    w.parity ^= 1;
    w.ready = 32;
    for (uint32_t i = 0; i < 32; i++)
        threads[me->warp * 32 + i].state = READY;
    if (kind == EMU_SYNC)
        emu.warp_epoch[me->warp]++;
    reshuffle(w);
}

const void *emu_peer(uint32_t lane)
{
    const warp &w = warps[emu.self->warp];
    return w.payload[w.parity ^ 1][lane];
}

const float *emu_reduce(uint32_t kind, const float *v, uint32_t count)
{
    emu_exchange(kind, v, count * sizeof *v);
    const warp &w = warps[emu.self->warp];
    return w.reduced[w.parity ^ 1];
}

void emu_warp_barrier()
{
    emu_exchange(EMU_SYNC, nullptr, 0);
}

void emu_fail(const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    std::snprintf(failure, sizeof failure, "block (%u, %u, %u) thread %u: %s", emu.block[0],
                  emu.block[1], emu.block[2], emu.self->index, text);
    failed = true;
    leave();
}

void emu_check_aligned(const void *at, size_t alignment)
{
    if ((uintptr_t)at % alignment != 0)
        emu_fail("an access of %u bytes is not aligned", (unsigned)alignment);
}

/* --- launches -------------------------------------------------------------------------------------- */

static uint32_t stride_of(uint32_t n)
{
    static const uint32_t primes[] = {7919, 104729, 31, 7, 3};
    for (uint32_t p : primes)
        if (n % p != 0)
            return p % n == 0 ? 1 : p % n;
    return 1;
}

void emu_shuffle(uint64_t seed)
{
    random_state = seed * 2 + 1;
}

const char *emu_launch(const void *function, const void *args, const uint32_t grid[3],
                       uint32_t n_threads, uint32_t shared_bytes)
{
    uint64_t blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    if (n_threads == 0 || n_threads % 32 != 0 || n_threads > EMU_THREADS || blocks == 0 ||
        blocks > 0x7fffffff || shared_bytes > 227 * 1024 || grid[1] > 65535 || grid[2] > 65535)
        return "a launch of an impossible size";
    if (stacks == nullptr)
        stacks = (unsigned char *)std::aligned_alloc(4096, EMU_THREADS * STACK_BYTES);
    std::memcpy(&body, &function, sizeof body);
    arguments = args;
    emu.threads = n_threads;
    n_warps = n_threads / 32;
    emu.shared_bytes = shared_bytes;
    for (int i = 0; i < 3; i++)
        emu.grid[i] = grid[i];
    failed = false;
    emu_forget_copies();
    uint32_t n = (uint32_t)blocks, stride = stride_of(n), at = random32() % n;
    for (uint32_t i = 0; i < n && !failed; i++, at = (uint32_t)(((uint64_t)at + stride) % n)) {
        emu.block[0] = at % grid[0];
        emu.block[1] = at / grid[0] % grid[1];
        emu.block[2] = at / grid[0] / grid[1];
        run_block();
    }
    return failed ? failure : nullptr;
}
