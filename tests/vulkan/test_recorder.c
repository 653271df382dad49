/* test_recorder.c - barriers, without any device: every two dispatches that may not run at once have a
 * barrier between them, and without any single one of the barriers some two would not. */
#include "backends/vulkan/record.h"
#include "support/support.h"

#include <string.h>

enum { MOST = 80, BYTES = 24, ENTRIES = 6 };

typedef struct list {
    lvk_range ranges[MOST][LVK_RANGES];
    uint32_t n_ranges[MOST];
    uint32_t count;
    bool barrier[MOST]; /* before this dispatch */
} list;

/* --- lists ------------------------------------------------------------------------------------ */

static void add_range(list *l, lvk_range r)
{
    l->ranges[l->count][l->n_ranges[l->count]++] = r;
}

static lvk_range random_range(uint64_t *random)
{
    uint32_t space = test_random(random) % 4 == 0 ? LVK_CACHE : LVK_WORKSPACE;
    uint64_t room = space == LVK_CACHE ? ENTRIES : BYTES;
    uint64_t begin = test_random(random) % room, size = test_random(random) % (room / 3 + 1);
    uint64_t end = begin + size < room ? begin + size : room;
    return (lvk_range){space, test_random(random) % 3 == 0, begin, end};
}

static void make_list(list *l, uint64_t seed)
{
    uint64_t random = seed;
    memset(l, 0, sizeof *l);
    uint32_t count = 1 + (uint32_t)(test_random(&random) % MOST);
    for (; l->count < count; l->count++) {
        uint32_t ranges = 1 + (uint32_t)(test_random(&random) % 4);
        for (uint32_t i = 0; i < ranges; i++)
            add_range(l, random_range(&random));
    }
}

static void record(list *l)
{
    static lvk_range room[MOST * LVK_RANGES];
    lvk_hazards h = {room, 0, sizeof room / sizeof room[0]};
    for (uint32_t i = 0; i < l->count; i++)
        l->barrier[i] = lvk_hazards_add(&h, l->ranges[i], l->n_ranges[i]);
}

/* --- the proof: byte by byte ------------------------------------------------------------------ */

static void mark(const list *l, uint32_t dispatch, bool write, bool touched[2][BYTES])
{
    memset(touched, 0, sizeof(bool[2][BYTES]));
    for (uint32_t i = 0; i < l->n_ranges[dispatch]; i++) {
        const lvk_range *r = &l->ranges[dispatch][i];
        for (uint64_t at = r->begin; at < r->end && r->write == write; at++)
            touched[r->space][at] = true;
    }
}

static bool meet(bool a[2][BYTES], bool b[2][BYTES])
{
    for (uint32_t space = 0; space < 2; space++)
        for (uint32_t at = 0; at < BYTES; at++)
            if (a[space][at] && b[space][at])
                return true;
    return false;
}

/* Read after write, write after read, or write after write. */
static bool must_wait(const list *l, uint32_t later, uint32_t earlier)
{
    bool reads[2][2][BYTES], writes[2][2][BYTES];
    const uint32_t which[] = {earlier, later};
    for (int i = 0; i < 2; i++) {
        mark(l, which[i], false, reads[i]);
        mark(l, which[i], true, writes[i]);
    }
    return meet(writes[0], reads[1]) || meet(reads[0], writes[1]) || meet(writes[0], writes[1]);
}

static uint32_t barriers_between(const list *l, uint32_t earlier, uint32_t later)
{
    uint32_t count = 0;
    for (uint32_t i = earlier + 1; i <= later; i++)
        count += l->barrier[i];
    return count;
}

/* Pairs that must wait and have no barrier between them. */
static uint32_t uncovered(const list *l)
{
    uint32_t count = 0;
    for (uint32_t later = 1; later < l->count; later++)
        for (uint32_t earlier = 0; earlier < later; earlier++)
            count += barriers_between(l, earlier, later) == 0 && must_wait(l, later, earlier);
    return count;
}

/* Every barrier is there for a pair that has exactly this one: taking it away is caught. */
static void assert_exact(list *l)
{
    assert_int_equal(uncovered(l), 0);
    assert_false(l->barrier[0]);
    for (uint32_t i = 0; i < l->count; i++) {
        if (!l->barrier[i])
            continue;
        l->barrier[i] = false;
        assert_true(uncovered(l) > 0);
        l->barrier[i] = true;
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_recorder__random_lists(void **state)
{
    (void)state;
    static list l;
    uint64_t barriers = 0, dispatches = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        make_list(&l, seed);
        record(&l);
        assert_exact(&l);
        dispatches += l.count;
        for (uint32_t i = 0; i < l.count; i++)
            barriers += l.barrier[i];
    }
    /* The lists are neither all independent nor all in a row. */
    assert_true(barriers > dispatches / 20 && barriers < dispatches * 9 / 10);
}

static list two(bool first_writes, bool second_writes, uint64_t second_begin)
{
    list l = {.count = 2, .n_ranges = {1, 1}};
    l.ranges[0][0] = (lvk_range){LVK_WORKSPACE, first_writes, 4, 8};
    l.ranges[1][0] = (lvk_range){LVK_WORKSPACE, second_writes, second_begin, second_begin + 4};
    record(&l);
    return l;
}

static void test_recorder__pairs(void **state)
{
    (void)state;
    assert_true(two(true, false, 7).barrier[1]);   /* read after write */
    assert_true(two(false, true, 1).barrier[1]);   /* write after read */
    assert_true(two(true, true, 4).barrier[1]);    /* write after write */
    assert_false(two(false, false, 4).barrier[1]); /* reads */
    assert_false(two(true, true, 8).barrier[1]);   /* side by side */
    assert_false(two(true, true, 0).barrier[1]);
}

/* Three that read what one wrote wait once. */
static void test_recorder__one_barrier_for_many(void **state)
{
    (void)state;
    list l = {.count = 5, .n_ranges = {1, 2, 2, 2, 3}};
    l.ranges[0][0] = (lvk_range){LVK_WORKSPACE, true, 0, 4};
    for (uint32_t i = 1; i <= 3; i++) {
        l.ranges[i][0] = (lvk_range){LVK_WORKSPACE, false, 0, 4};
        l.ranges[i][1] = (lvk_range){LVK_WORKSPACE, true, 4 * i, 4 * i + 4};
        l.ranges[4][i - 1] = (lvk_range){LVK_WORKSPACE, false, 4 * i, 4 * i + 4};
    }
    record(&l);
    static const bool wanted[] = {false, true, false, false, true};
    assert_memory_equal(l.barrier, wanted, sizeof wanted);
    assert_exact(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorder__random_lists),
        cmocka_unit_test(test_recorder__pairs),
        cmocka_unit_test(test_recorder__one_barrier_for_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
