/* test_launches.c - how many kernels a layer takes while one to four tokens are decoded. */
#include "backend/cases.h"
#include "find_fake.h"

/* Launches of a run of one sequence's next `rows` rows. */
static uint64_t launches_of(rig *r, uint32_t rows)
{
    const rig_part part = {0, rows};
    uint64_t before = cuda->launches;
    assert_ok(rig_run(r, &part, 1));
    return cuda->launches - before;
}

static void want_launches(const char *name, uint64_t layer, uint64_t outside)
{
    rig_model m;
    rig r;
    case_build(&m, name, 61);
    (void)new_machine(true);
    rig_options o = {.backend = "cuda"};
    rig_open(&r, &m, &o);
    for (uint32_t rows = 1; rows <= 4; rows += rows == 1 ? 1 : 2) { /* one recording for each */
        uint64_t n = launches_of(&r, rows);
        if (n != 2 * layer + outside)
            fail_msg("%s, %u rows: %u launches, not 2 times %u and %u", name, (unsigned)rows,
                     (unsigned)n, (unsigned)layer, (unsigned)outside);
    }
    rig_close(&r);
    rig_model_finish(&m);
}

/* Queries, keys and values; attention; its output; gate and up; down. Outside: the embedding and the table
 * of rotations. */
static void test_launches__layer(void **state)
{
    (void)state;
    want_launches("layers F32", 5, 2);
    want_launches("layers Q8_0, norms of heads", 5, 2);
    want_launches("layers of K formats, biases", 5, 2);
    want_launches("layers without gates", 5, 1);
}

/* A norm behind attention and one behind down, each with the sum that follows. */
static void test_launches__norms_behind(void **state)
{
    (void)state;
    want_launches("layers with norms behind", 7, 2);
}

/* Weights of different formats that share their activations are launches of their own. */
static void test_launches__formats(void **state)
{
    (void)state;
    want_launches("layers of many formats", 9, 2);
}

/* Where nothing wants what was normed, the step's result may take its place: one norm stands alone. */
static void test_launches__overwritten(void **state)
{
    (void)state;
    want_launches("layers without residuals", 6, 1);
    want_launches("layers F16, bare", 6, 2);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launches__layer),
        cmocka_unit_test(test_launches__norms_behind),
        cmocka_unit_test(test_launches__formats),
        cmocka_unit_test(test_launches__overwritten),
    };
    if (argc != 2)
        return 2;
    rig_modules = argv[1];
    return cmocka_run_group_tests(tests, find_fake, NULL);
}
