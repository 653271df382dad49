/* tolerances.c - how far a backend may be from `ref`, as the largest difference over the largest
 * magnitude of the same output. One number per kind of step. */
#include "backend/cases.h"

/* exact: arithmetic in f32. Rounding is 6e-8; a sum of n products in f32 lanes loses about
 * sqrt(n) / 4 of that against the size of its terms, which cancel to a few times less than the
 * output's maximum.
 * coarse: activations rounded to int8, 1 / 254 of a block's largest, averaged over a row; or to
 * bfloat16, 1 / 512 of each.
 * fast: operands rounded to 8 bits of bfloat16 at worst; 0: as the others.
 *
 * What is not 0 is at least 1.5 times the largest difference that draw_tolerances.py found: of 20
 * seeds on the CPU, and with fast numerics of 6 there and of 8 in the emulation of CUDA for attention
 * and some models, of one for all cases. So new random numbers need no other table. */
enum { EXACT, COARSE, FAST, N_COLUMNS };

static const struct {
    uint32_t kind;
    double limit[N_COLUMNS];
} table[] = {
    {LM_STEP_EMBED, {0, 0, 0}}, /* decoding is exact */
    {LM_STEP_GATHER_ROWS, {0, 0, 0}},
    {LM_STEP_COPY, {0, 0, 0}},
    {LM_STEP_CONCAT, {0, 0, 0}},
    {LM_STEP_TAP, {0, 0, 0}},
    {LM_STEP_ALL_REDUCE, {0, 0, 0}},
    {LM_STEP_BEST, {0, 0, 0}},
    {LM_STEP_ADD, {0, 0, 0}}, /* one rounding, the same everywhere */
    {LM_STEP_ROW_ADD, {0, 0, 0}},
    {LM_STEP_SCALE, {5e-7, 0, 0}}, /* a hyperbolic tangent */
    {LM_STEP_NORM, {1e-6, 0, 0}},
    {LM_STEP_ACT_MUL, {1e-6, 0, 0}}, /* an exponential */
    {LM_STEP_LINEAR, {2e-6, 8e-3, 8e-3}},
    {LM_STEP_LINEAR_HEADS, {2e-6, 8e-3, 8e-3}},
    {LM_STEP_LINEAR_EXPERT, {2e-6, 8e-3, 8e-3}},
    {LM_STEP_ROUTE_TOPK, {1e-6, 0, 0}},
    {LM_STEP_COMBINE, {1e-6, 0, 0}},
    {LM_STEP_ROPE, {5e-7, 0, 0}},
    {LM_STEP_KV_APPEND, {6e-6, 6e-6, 1.8e-2}},  /* seen through attention */
    {LM_STEP_ATTN_PAGED, {6e-6, 6e-6, 1.8e-2}}, /* both read the same rounded cache */
    {LM_STEP_CONV_STATE, {1e-6, 0, 0}},
    {LM_STEP_SCAN_STATE, {2e-6, 0, 0}}, /* errors of the state add up over tokens */
    {LM_STEP_POOL, {1e-6, 0, 0}},
    {LM_STEP_HEAD, {5e-6, 3.8e-2, 3.8e-2}}, /* two layers, random weights of any format */
};

/* The largest differences met, by row and column of the table. */
static struct {
    double difference;
    const char *name;
} met[sizeof table / sizeof table[0]][N_COLUMNS];

static const char *const columns[N_COLUMNS] = {"exact", "coarse", "fast"};

bool case_measuring;

void case_compare(const rig_case *c, bool fast, const rig *got, const rig *wanted)
{
    size_t row = 0, n = sizeof table / sizeof table[0];
    while (row < n && table[row].kind != c->kind)
        row++;
    if (row == n)
        fail_msg("the table of tolerances has no '%s'", lm_step_name(c->kind));
    uint32_t column = fast && table[row].limit[FAST] != 0 ? FAST
                      : c->coarse_numbers                 ? COARSE
                                                          : EXACT;
    if (!case_measuring) {
        rig_compare(got, wanted, table[row].limit[column], c->name);
        return;
    }
    double difference = rig_difference(got, wanted, c->name);
    if (difference >= met[row][column].difference) {
        met[row][column].difference = difference;
        met[row][column].name = c->name;
    }
}

void case_print_measured(void)
{
    for (size_t row = 0; row < sizeof table / sizeof table[0]; row++)
        for (uint32_t i = 0; i < N_COLUMNS; i++)
            if (met[row][i].name != NULL)
                printf("difference %s %s %.3g %.3g %s\n", lm_step_name(table[row].kind), columns[i],
                       met[row][i].difference, table[row].limit[i], met[row][i].name);
}
