/* cases - the networks that every backend is tried with, by family of steps. */
#ifndef TEST_BACKEND_CASES_H
#define TEST_BACKEND_CASES_H

#include "backend/rig.h"

typedef struct rig_case {
    const char *name;
    void (*build)(rig_model *m, uint32_t variant);
    uint32_t variant;
    uint32_t kind;       /* the step whose tolerance holds */
    bool coarse_numbers; /* int8 activations or a quantised cache: the wider tolerance */
    bool whole;          /* a sequence goes in with one run */
    bool brief;          /* slow: no long contexts, few schedules and types of cache */
} rig_case;

typedef struct rig_cases {
    const rig_case *list;
    size_t count;
} rig_cases;

extern const rig_cases cases_linear, cases_values, cases_attn, cases_moe, cases_state, cases_model;

/* Everything above; NULL after the last. */
const rig_case *case_at(size_t index);

/* Builds the one of that name on an empty model; fails the test when there is none. */
void case_build(rig_model *m, const char *name, uint64_t seed);

/* Coarse steps, which are not in the list above; NULL after the last. */
const rig_case *case_block_at(size_t index);

/* Fails the test where `got` differs from `ref` by more than the table in tolerances.c allows the
 * case; `fast`: with fast numerics. While measuring, the differences are noted instead. */
void case_compare(const rig_case *c, bool fast, const rig *got, const rig *wanted);
extern bool case_measuring;
void case_print_measured(void);

#define CASES_OF(name, array) const rig_cases name = {array, sizeof array / sizeof array[0]}

#endif
