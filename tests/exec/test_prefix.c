/* test_prefix.c - the tree of known prefixes: what matches for each kind of cache group, what is pinned,
 * what goes first when pages are short, and that no world sees another's prefixes. */
#include "support/support.h"

#include "exec/prefix.h"

#include <string.h>

#define PAGE 16u
#define DEEP 8u

enum { FULL, WINDOW, STATES, GROUPS };

/* A tree over one group of each kind, as many of them as a test wants. */
typedef struct forest {
    test_memory m;
    lm_pages groups[GROUPS];
    lm_cache_group kinds[GROUPS];
    lm_prefix t;
} forest;

static void open_forest(forest *f, const lm_cache_group *kinds, uint32_t n_groups, uint32_t nodes)
{
    memset(f, 0, sizeof *f);
    test_memory_init(&f->m);
    memcpy(f->kinds, kinds, n_groups * sizeof *kinds);
    for (uint32_t g = 0; g < n_groups; g++) {
        lm_pages_init(&f->groups[g], &f->m.alloc);
        assert_ok(lm_pages_reserve(&f->groups[g], 64));
        lm_pages_add(&f->groups[g], 64);
    }
    lm_prefix_init(&f->t, &f->m.alloc, f->groups, f->kinds, n_groups, PAGE);
    if (nodes > 0)
        assert_ok(lm_prefix_reserve(&f->t, nodes));
}

static void close_forest(forest *f)
{
    lm_prefix_clear(&f->t);
    assert_int_equal(f->t.count, 0);
    for (uint32_t g = 0; g < f->t.n_groups; g++) {
        assert_int_equal(f->groups[g].n_free, 64);
        lm_pages_finish(&f->groups[g]);
    }
    lm_prefix_finish(&f->t);
    test_memory_check(&f->m);
}

/* DEEP pages of tokens that say which story they are of; stories agree up to `common` pages. */
static void tell(int32_t *tokens, int32_t story, uint32_t common)
{
    for (uint32_t i = 0; i < DEEP * PAGE; i++)
        tokens[i] = (int32_t)i + (i / PAGE >= common ? story * 1000 : 0);
}

/* Publishes pages [0, depth) as a sequence does, keeping no page itself; the pin ends on the last. */
static uint32_t publish(forest *f, uint64_t salt, const int32_t *tokens, uint32_t depth)
{
    uint32_t node = LM_NO_NODE;
    for (uint32_t i = 0; i < depth; i++) {
        node = lm_prefix_advance(&f->t, node, salt, tokens + i * PAGE);
        assert_int_not_equal(node, LM_NO_NODE);
        for (uint32_t g = 0; g < f->t.n_groups; g++)
            if (f->t.nodes[node].page[g] == LM_NO_PAGE)
                f->t.nodes[node].page[g] = lm_pages_take(&f->groups[g]);
    }
    return node;
}

static uint32_t match_depth(const forest *f, uint64_t salt, const int32_t *tokens, uint32_t n)
{
    uint32_t node = lm_prefix_match(&f->t, salt, tokens, n);
    return node == LM_NO_NODE ? 0 : f->t.nodes[node].depth;
}

static const lm_cache_group full[] = {{LM_CACHE_FULL, 0}};

/* --- matching --------------------------------------------------------------------------------- */

static void test_prefix__empty(void **state)
{
    (void)state;
    forest f;
    int32_t tokens[DEEP * PAGE];
    tell(tokens, 1, 0);
    open_forest(&f, full, 1, 0); /* not even nodes */
    assert_int_equal(lm_prefix_match(&f.t, 0, tokens, DEEP * PAGE), LM_NO_NODE);
    assert_int_equal(lm_prefix_advance(&f.t, LM_NO_NODE, 0, tokens), LM_NO_NODE);
    assert_false(lm_prefix_reclaim(&f.t, 0));
    assert_int_equal(lm_prefix_only(&f.t, 0), 0);
    close_forest(&f);
}

static void test_prefix__whole_pages_match(void **state)
{
    (void)state;
    forest f;
    int32_t one[DEEP * PAGE], two[DEEP * PAGE];
    tell(one, 1, 3);
    tell(two, 2, 3);
    open_forest(&f, full, 1, 40);
    lm_prefix_unpin(&f.t, publish(&f, 0, one, 6));
    assert_int_equal(match_depth(&f, 0, one, 6 * PAGE), 6);
    assert_int_equal(match_depth(&f, 0, one, DEEP * PAGE), 6);
    assert_int_equal(match_depth(&f, 0, one, 6 * PAGE - 1), 5);
    assert_int_equal(match_depth(&f, 0, one, PAGE), 1);
    assert_int_equal(match_depth(&f, 0, one, PAGE - 1), 0);
    assert_int_equal(match_depth(&f, 0, one, 0), 0);
    assert_int_equal(match_depth(&f, 0, two, DEEP * PAGE), 3);
    assert_int_equal(match_depth(&f, 0, one + PAGE, 4 * PAGE), 0); /* the middle is no prefix */
    lm_prefix_unpin(&f.t, publish(&f, 0, two, 5));
    assert_int_equal(match_depth(&f, 0, two, DEEP * PAGE), 5);
    assert_int_equal(match_depth(&f, 0, one, DEEP * PAGE), 6);
    assert_int_equal(f.t.count, 6 + 2); /* what they share is there once */
    assert_int_equal(f.groups[0].n_free, 64 - 8);
    close_forest(&f);
}

static void test_prefix__salts_are_worlds(void **state)
{
    (void)state;
    forest f;
    int32_t tokens[DEEP * PAGE];
    tell(tokens, 1, 0);
    open_forest(&f, full, 1, 40);
    lm_prefix_unpin(&f.t, publish(&f, 7, tokens, 4));
    assert_int_equal(match_depth(&f, 7, tokens, 4 * PAGE), 4);
    for (uint64_t salt = 0; salt < 1000; salt++)
        if (salt != 7)
            assert_int_equal(match_depth(&f, salt, tokens, 4 * PAGE), 0);
    lm_prefix_unpin(&f.t, publish(&f, 8, tokens, 4));
    assert_int_equal(f.t.count, 8);
    close_forest(&f);
}

/* A window group only has to reach back as far as its window. */
static void test_prefix__windows(void **state)
{
    (void)state;
    const lm_cache_group kinds[] = {{LM_CACHE_FULL, 0}, {LM_CACHE_WINDOW, 2 * PAGE + 1}};
    forest f;
    int32_t tokens[DEEP * PAGE];
    tell(tokens, 1, 0);
    open_forest(&f, kinds, 2, 40);
    uint32_t last = publish(&f, 0, tokens, 6), path[6];
    for (uint32_t i = last; i != LM_NO_NODE; i = f.t.nodes[i].parent)
        path[f.t.nodes[i].depth - 1] = i;
    lm_prefix_unpin(&f.t, last);
    /* behind 6 pages a row sees the slots from 4 * PAGE on; whoever begins there needs pages 4 and 5 */
    for (uint32_t gone = 0; gone < 6; gone++) {
        lm_prefix_node *n = &f.t.nodes[path[gone]];
        assert_int_equal(match_depth(&f, 0, tokens, 6 * PAGE), gone <= 4 ? 6 : 0);
        lm_pages_release(&f.groups[1], n->page[1]);
        n->page[1] = LM_NO_PAGE;
    }
    assert_int_equal(match_depth(&f, 0, tokens, 6 * PAGE), 0);
    close_forest(&f);
}

/* With a hole in the middle the match ends where the window reaches the hole. */
static void test_prefix__window_with_a_hole(void **state)
{
    (void)state;
    const lm_cache_group kinds[] = {{LM_CACHE_FULL, 0}, {LM_CACHE_WINDOW, 2 * PAGE + 1}};
    forest f;
    int32_t tokens[DEEP * PAGE];
    tell(tokens, 1, 0);
    open_forest(&f, kinds, 2, 40);
    uint32_t last = publish(&f, 0, tokens, 6), third = last;
    while (f.t.nodes[third].depth != 3)
        third = f.t.nodes[third].parent;
    lm_prefix_unpin(&f.t, last);
    lm_pages_release(&f.groups[1], f.t.nodes[third].page[1]);
    f.t.nodes[third].page[1] = LM_NO_PAGE;
    assert_int_equal(match_depth(&f, 0, tokens, 6 * PAGE), 6);
    assert_int_equal(match_depth(&f, 0, tokens, 5 * PAGE), 5);
    assert_int_equal(match_depth(&f, 0, tokens, 4 * PAGE), 2);
    assert_int_equal(match_depth(&f, 0, tokens, 3 * PAGE), 2);
    close_forest(&f);
}

/* Recurrent state is only needed at the end of the match, and only some nodes have it. */
static void test_prefix__states(void **state)
{
    (void)state;
    const lm_cache_group kinds[] = {{LM_CACHE_FULL, 0}, {LM_CACHE_STATE, 0}};
    forest f;
    int32_t tokens[DEEP * PAGE];
    tell(tokens, 1, 0);
    open_forest(&f, kinds, 2, 40);
    uint32_t last = publish(&f, 0, tokens, 7);
    for (uint32_t i = last; i != LM_NO_NODE; i = f.t.nodes[i].parent) {
        if (f.t.nodes[i].depth == 2 || f.t.nodes[i].depth == 5)
            continue;
        lm_pages_release(&f.groups[1], f.t.nodes[i].page[1]);
        f.t.nodes[i].page[1] = LM_NO_PAGE;
    }
    lm_prefix_unpin(&f.t, last);
    const uint32_t wanted[] = {0, 0, 2, 2, 2, 5, 5, 5};
    for (uint32_t pages = 0; pages < 8; pages++)
        assert_int_equal(match_depth(&f, 0, tokens, pages * PAGE), wanted[pages]);
    close_forest(&f);
}

/* --- giving up -------------------------------------------------------------------------------- */

static void test_prefix__least_used_goes_first(void **state)
{
    (void)state;
    forest f;
    int32_t tokens[3][DEEP * PAGE];
    open_forest(&f, full, 1, 40);
    for (int32_t s = 0; s < 3; s++) {
        tell(tokens[s], s + 1, 0);
        lm_prefix_unpin(&f.t, publish(&f, 0, tokens[s], 3));
    }
    uint32_t used =
        lm_prefix_match(&f.t, 0, tokens[0], 3 * PAGE); /* looking does not count, using does */
    lm_prefix_pin(&f.t, used);
    lm_prefix_unpin(&f.t, used);
    static const int32_t order[] = {1, 2, 0};
    for (int i = 0; i < 3; i++) {
        for (uint32_t left = 3;
             left-- > 0;) { /* from the leaf up, so that what is left is of use */
            assert_true(lm_prefix_reclaim(&f.t, 0));
            assert_int_equal(match_depth(&f, 0, tokens[order[i]], 3 * PAGE), left);
        }
    }
    assert_false(lm_prefix_reclaim(&f.t, 0));
    assert_int_equal(f.groups[0].n_free, 64);
    close_forest(&f);
}

static void test_prefix__pinned_stays(void **state)
{
    (void)state;
    forest f;
    int32_t one[DEEP * PAGE], two[DEEP * PAGE];
    tell(one, 1, 2);
    tell(two, 2, 2);
    open_forest(&f, full, 1, 40);
    uint32_t a = publish(&f, 0, one, 4), b = publish(&f, 0, two, 5);
    lm_prefix_unpin(&f.t, b);
    for (int i = 0; i < 3; i++)
        assert_true(lm_prefix_reclaim(&f.t, 0)); /* what only the second story has */
    assert_false(lm_prefix_reclaim(&f.t, 0));
    lm_prefix_clear(&f.t);
    assert_int_equal(match_depth(&f, 0, one, 4 * PAGE), 4);
    assert_int_equal(f.t.count, 4);
    lm_prefix_pin(&f.t, a);
    lm_prefix_unpin(&f.t, a);
    assert_false(lm_prefix_reclaim(&f.t, 0)); /* it was pinned twice */
    lm_prefix_unpin(&f.t, a);
    assert_true(lm_prefix_reclaim(&f.t, 0));
    assert_int_equal(match_depth(&f, 0, one, 4 * PAGE), 3);
    close_forest(&f);
}

/* A page that a sequence holds as well is not freed by giving it up; the search goes on. */
static void test_prefix__pages_in_use_free_nothing(void **state)
{
    (void)state;
    forest f;
    int32_t one[DEEP * PAGE], two[DEEP * PAGE];
    tell(one, 1, 0);
    tell(two, 2, 0);
    open_forest(&f, full, 1, 40);
    uint32_t a = publish(&f, 0, one, 1), b = publish(&f, 0, two, 1);
    uint32_t held = f.t.nodes[a].page[0];
    lm_pages_retain(&f.groups[0], held);
    lm_prefix_unpin(&f.t, a);
    lm_prefix_unpin(&f.t, b);
    assert_int_equal(lm_prefix_only(&f.t, 0), 1);
    assert_true(lm_prefix_reclaim(&f.t, 0));
    assert_int_equal(f.groups[0].n_free, 63);
    assert_int_equal(f.groups[0].refs[held], 1);
    assert_false(lm_prefix_reclaim(&f.t, 0));
    lm_pages_release(&f.groups[0], held);
    close_forest(&f);
}

/* Windows and states give up pages from the middle, even under a pin; the node stays for the others. */
static void test_prefix__windows_and_states_from_the_middle(void **state)
{
    (void)state;
    const lm_cache_group kinds[] = {
        {LM_CACHE_FULL, 0}, {LM_CACHE_WINDOW, PAGE}, {LM_CACHE_STATE, 0}};
    forest f;
    int32_t tokens[DEEP * PAGE];
    tell(tokens, 1, 0);
    open_forest(&f, kinds, 3, 40);
    uint32_t last = publish(&f, 0, tokens, 4);
    for (uint32_t g = WINDOW; g <= STATES; g++) {
        for (int i = 0; i < 4; i++)
            assert_true(lm_prefix_reclaim(&f.t, g));
        assert_false(lm_prefix_reclaim(&f.t, g));
        assert_int_equal(f.groups[g].n_free, 64);
    }
    assert_int_equal(f.t.count, 4);
    assert_int_equal(f.groups[FULL].n_free, 60);
    assert_false(lm_prefix_reclaim(&f.t, FULL));
    assert_int_equal(match_depth(&f, 0, tokens, 4 * PAGE), 0);
    /* the next sequence that comes by brings them back */
    assert_int_equal(publish(&f, 0, tokens, 4), last);
    assert_int_equal(match_depth(&f, 0, tokens, 4 * PAGE), 4);
    lm_prefix_unpin(&f.t, last);
    lm_prefix_unpin(&f.t, last);
    close_forest(&f);
}

/* --- room ------------------------------------------------------------------------------------- */

static void test_prefix__nodes_run_out(void **state)
{
    (void)state;
    forest f;
    int32_t one[DEEP * PAGE], two[DEEP * PAGE];
    tell(one, 1, 0);
    tell(two, 2, 0);
    open_forest(&f, full, 1, 4);
    uint32_t a = publish(&f, 0, one, 4);
    assert_int_equal(lm_prefix_advance(&f.t, LM_NO_NODE, 0, two), LM_NO_NODE); /* all are in use */
    assert_int_equal(f.t.nodes[a].pins, 1);
    lm_prefix_unpin(&f.t, a);
    uint32_t b = publish(&f, 0, two, 3); /* takes the oldest leaves */
    assert_int_equal(match_depth(&f, 0, one, 4 * PAGE), 1);
    assert_int_equal(match_depth(&f, 0, two, 3 * PAGE), 3);
    lm_prefix_unpin(&f.t, b);
    close_forest(&f);
}

static void test_prefix__growing(void **state)
{
    (void)state;
    forest f;
    int32_t tokens[4][DEEP * PAGE];
    open_forest(&f, full, 1, 3);
    for (int32_t s = 0; s < 4; s++)
        tell(tokens[s], s + 1, 2);
    uint32_t a = publish(&f, 0, tokens[0], 3);
    for (uint64_t n = 1; n <= 3; n++) {
        f.m.fail_at = f.m.calls + n;
        assert_status(lm_prefix_reserve(&f.t, 64), LLM_E_MEMORY);
        assert_int_equal(match_depth(&f, 0, tokens[0], 3 * PAGE), 3);
    }
    f.m.fail_at = 0;
    assert_ok(lm_prefix_reserve(&f.t, 64));
    assert_ok(lm_prefix_reserve(&f.t, 2));
    assert_int_equal(f.t.capacity, 64);
    assert_int_equal(match_depth(&f, 0, tokens[0], 3 * PAGE), 3);
    for (int32_t s = 1; s < 4; s++)
        lm_prefix_unpin(&f.t, publish(&f, 0, tokens[s], 5));
    assert_int_equal(f.t.count, 3 + 3 * 3);
    for (int32_t s = 1; s < 4; s++)
        assert_int_equal(match_depth(&f, 0, tokens[s], 5 * PAGE), 5);
    lm_prefix_unpin(&f.t, a);
    close_forest(&f);
}

/* The order of use is one list of all nodes, and every parent is newer than its children. */
static void check_order(const forest *f)
{
    uint32_t place[128], count = 0, before = LM_NO_NODE;
    for (uint32_t i = f->t.oldest; i != LM_NO_NODE; i = f->t.nodes[i].newer) {
        assert_true(count < f->t.count);
        assert_int_equal(f->t.nodes[i].older, before);
        place[i] = count++;
        before = i;
    }
    assert_int_equal(count, f->t.count);
    assert_int_equal(f->t.newest, before);
    for (uint32_t i = f->t.oldest; i != LM_NO_NODE; i = f->t.nodes[i].newer)
        if (f->t.nodes[i].parent != LM_NO_NODE)
            assert_true(place[f->t.nodes[i].parent] > place[i]);
}

static void test_prefix__random_lives(void **state)
{
    (void)state;
    forest f;
    int32_t tokens[6][DEEP * PAGE];
    uint32_t standing[6];
    uint64_t random = 5;
    open_forest(&f, full, 1, 20);
    for (int32_t s = 0; s < 6; s++) {
        tell(tokens[s], s % 3, (uint32_t)s);
        standing[s] = LM_NO_NODE;
    }
    for (int i = 0; i < 3000; i++) {
        uint32_t s = (uint32_t)(test_random(&random) % 6);
        uint32_t depth = standing[s] == LM_NO_NODE ? 0 : f.t.nodes[standing[s]].depth;
        switch (test_random(&random) % 4) {
        case 0:
            lm_prefix_unpin(&f.t, standing[s]);
            standing[s] = LM_NO_NODE;
            break;
        case 1:
            (void)lm_prefix_reclaim(&f.t, 0);
            break;
        default: {
            uint32_t node = depth == DEEP ? LM_NO_NODE
                                          : lm_prefix_advance(&f.t, standing[s], s % 2,
                                                              tokens[s] + depth * PAGE);
            if (node == LM_NO_NODE)
                break;
            standing[s] = node;
            if (f.t.nodes[node].page[0] == LM_NO_PAGE)
                f.t.nodes[node].page[0] = lm_pages_take(&f.groups[0]);
            assert_true(match_depth(&f, s % 2, tokens[s], DEEP * PAGE) >= depth + 1);
        }
        }
        check_order(&f);
        assert_int_equal(f.groups[0].n_free, 64 - f.t.count);
    }
    for (int s = 0; s < 6; s++)
        lm_prefix_unpin(&f.t, standing[s]);
    close_forest(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix__empty),
        cmocka_unit_test(test_prefix__whole_pages_match),
        cmocka_unit_test(test_prefix__salts_are_worlds),
        cmocka_unit_test(test_prefix__windows),
        cmocka_unit_test(test_prefix__window_with_a_hole),
        cmocka_unit_test(test_prefix__states),
        cmocka_unit_test(test_prefix__least_used_goes_first),
        cmocka_unit_test(test_prefix__pinned_stays),
        cmocka_unit_test(test_prefix__pages_in_use_free_nothing),
        cmocka_unit_test(test_prefix__windows_and_states_from_the_middle),
        cmocka_unit_test(test_prefix__nodes_run_out),
        cmocka_unit_test(test_prefix__growing),
        cmocka_unit_test(test_prefix__random_lives),
    };
    return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
