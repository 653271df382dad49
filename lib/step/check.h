/* check - the two halves of lm_graph_check. */
#ifndef LM_STEP_CHECK_H
#define LM_STEP_CHECK_H

#include "step/network.h"

/* Kinds, slots, their rows and types, the order of writing and reading: after it every slot a kind
 * needs is there. */
int32_t lm_graph_check_forms(const lm_network *n, const lm_graph *g);

#endif
