/* every_kind - a sound graph that has a step of every kind that can run, for tests to look at or
 * break. */
#ifndef TEST_STEP_EVERY_KIND_H
#define TEST_STEP_EVERY_KIND_H

#include "support/support.h"

#include "step/network.h"

typedef struct every_kind {
    test_memory memory;
    lm_network network;
    lm_builder b;
} every_kind;

void every_kind_init(every_kind *k);
void every_kind_finish(every_kind *k);

/* The index of the first step of a kind; fails the test when there is none. */
size_t every_kind_find(const every_kind *k, uint32_t kind);

#endif
