/* oracle - the steps once more, as plain formulas over one whole sequence in double: no batches, no
 * pages, no slots in a workspace, and no code of the backends. It is what `ref` itself is held to.
 */
#ifndef TEST_BACKEND_ORACLE_H
#define TEST_BACKEND_ORACLE_H

#include "backend/rig.h"

typedef struct oracle {
    const rig_model *m;
    uint32_t seq, length;
    double **slots; /* [n_slots] of [length, width]; ids are numbers too; pooled slots use row 0 */
    double **keys, **values; /* [n_caches] of [length, heads * dim] */
} oracle;

/* Evaluates the model's steps on the first `length` tokens of a sequence. */
void oracle_open(oracle *o, const rig_model *m, uint32_t seq, uint32_t length);
void oracle_close(oracle *o);

/* Row `position` of a slot. */
const double *oracle_row(const oracle *o, uint32_t slot, uint32_t position);

#endif
