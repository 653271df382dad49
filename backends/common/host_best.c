/* host_best.c - the largest values of a row by insertion: nearly all of a long row lose against the
 * last of the list at once. */
#include "backends/common/host_best.h"

#include <math.h>
#include <stdbool.h>

/* Does a value that comes later in its row stand before an earlier one? */
static bool before(float later, float earlier)
{
    return isnan(later) ? !isnan(earlier) : later > earlier;
}

void lhost_best(const float *values, uint32_t n, uint32_t k, int32_t *ids, float *best)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (count == k && !before(values[i], best[k - 1]))
            continue;
        uint32_t at = count < k ? count++ : k - 1;
        for (; at > 0 && before(values[i], best[at - 1]); at--) {
            ids[at] = ids[at - 1];
            best[at] = best[at - 1];
        }
        ids[at] = (int32_t)i;
        best[at] = values[i];
    }
}
