/* test_numa.c - spreading memory over nodes. Most machines have one node, where nothing may change; with
 * several, the pages that this thread touches must lie in more than one. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/os.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGES = 64, MAX_NODES = 1024 };

/* Of this thread; -1: the system knows no policies. */
static int policy(void)
{
    int mode = -1;
    return syscall(SYS_get_mempolicy, &mode, NULL, 0L, NULL, 0L) == 0 ? mode : -1;
}

/* In how many nodes freshly touched pages lie. */
static uint32_t nodes_touched(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory =
        mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *where[PAGES];
    int node[PAGES];
    unsigned char seen[MAX_NODES] = {0};
    uint32_t count = 0;
    assert_true(memory != MAP_FAILED);
    madvise(memory, PAGES * page, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < PAGES; i++) {
        memory[i * page] = 1;
        where[i] = memory + i * page;
    }
    assert_int_equal(syscall(SYS_move_pages, 0L, (long)PAGES, where, NULL, node, 0L), 0);
    for (size_t i = 0; i < PAGES; i++) {
        assert_in_range(node[i], 0, MAX_NODES - 1);
        count += !seen[node[i]];
        seen[node[i]] = 1;
    }
    munmap(memory, PAGES * page);
    return count;
}

static void test_numa__spread(void **state)
{
    (void)state;
    int before = policy();
    bool spread = lm_os_spread_on();
    if (spread) {
        assert_int_equal(before, 0);
        assert_true(nodes_touched() > 1);
        assert_false(lm_os_spread_on()); /* a policy that is set is kept, our own as well */
    } else {
        assert_int_equal(policy(), before);
    }
    lm_os_spread_off(spread);
    assert_int_equal(policy(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numa__spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
