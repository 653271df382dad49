/* shared.c - what the engines of one placement share: turns on its devices, and its budget. */
#include "plan/plan.h"

void lm_placement_enter(const lm_placement *p)
{
    lm_os_mutex turn = p->turn;
    lm_os_mutex_lock(&turn);
}

void lm_placement_leave(const lm_placement *p)
{
    lm_os_mutex turn = p->turn;
    lm_os_mutex_unlock(&turn);
}

uint64_t lm_placement_left(const lm_placement *p)
{
    if (p->budget == 0)
        return UINT64_MAX;
    lm_placement_enter(p);
    uint64_t used = lm_placement_weight_bytes(p) + p->taken;
    lm_placement_leave(p);
    return used < p->budget ? p->budget - used : 0;
}

bool lm_placement_take(lm_placement *p, uint64_t bytes)
{
    lm_placement_enter(p);
    uint64_t used = lm_placement_weight_bytes(p) + p->taken;
    bool fits = p->budget == 0 || (used <= p->budget && bytes <= p->budget - used);
    if (fits)
        p->taken += bytes;
    lm_placement_leave(p);
    return fits;
}

void lm_placement_give(lm_placement *p, uint64_t bytes)
{
    lm_placement_enter(p);
    p->taken -= bytes;
    lm_placement_leave(p);
}
