/* test_emulation.c - the emulation finds what it says it finds: every faulty kernel is stopped with its
 * reason, in any order of lanes and warps, and those without a mistake are not. */
#include "support/support.h"

#include "faulty.h"
#include "launch.h"

#include <string.h>

enum { ORDERS = 25, THREADS = 64 };

static const char *launch(const faulty_kernel *k, uint64_t order, uint32_t *memory)
{
    static const uint32_t grid[3] = {2, 1, 1};
    const void *function;
    memcpy(&function, &k->body, sizeof function);
    emu_shuffle(order);
    return emu_launch(function, &memory, grid, THREADS, THREADS * sizeof(uint32_t));
}

static void test_emulation__mistakes_are_found(void **state)
{
    _Alignas(16) uint32_t memory[256] = {0};
    (void)state;
    for (uint32_t i = 0; i < faulty_count; i++) {
        const faulty_kernel *k = &faulty_kernels[i];
        for (uint64_t order = 1; order <= ORDERS; order++) {
            const char *why = launch(k, order, memory);
            if (k->found == NULL && why != NULL)
                fail_msg("%s: a false alarm: %s", k->name, why);
            if (k->found != NULL && (why == NULL || strstr(why, k->found) == NULL))
                fail_msg("%s: %s", k->name, why == NULL ? "not found" : why);
        }
    }
}

/* The kernel with a barrier between gives each thread its neighbour's number. */
static void test_emulation__computes(void **state)
{
    uint32_t found[256] = {0};
    (void)state;
    assert_null(launch(&faulty_kernels[0], 7, found));
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(found[i], (i + 1) % THREADS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_emulation__computes),
        cmocka_unit_test(test_emulation__mistakes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
