/* merges.c - a hash of id pairs; short lists by scanning, long ones by a heap of linked nodes. */
#include "text/merges.h"

#include "base/hash.h"

#include <string.h>

#define FREE    UINT64_MAX
#define NO_RANK UINT32_MAX
#define NOWHERE UINT32_MAX

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The entry of a pair, or the free one where it would go. */
static lm_merge *find(const lm_merges *m, uint64_t pair)
{
    size_t mask = m->capacity - 1;
    size_t i = (size_t)lm_mix64(pair ^ m->seed) & mask;
    while (m->entries[i].pair != pair && m->entries[i].pair != FREE)
        i = (i + 1) & mask;
    return &m->entries[i];
}

static uint32_t rank_of(const lm_merges *m, int32_t left, int32_t right, int32_t *merged)
{
    if (left < 0 || right < 0)
        return NO_RANK;
    const lm_merge *found = find(m, pair_of(left, right));
    *merged = found->id;
    return found->pair == FREE ? NO_RANK : found->rank;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The ids of one line; *merged is -1 when one of the three is no token. */
static int32_t read_line(const lm_tokenizer *t, lm_str line, lm_text *both, int32_t ids[2],
                         int32_t *merged)
{
    /* A left part is never empty, so a space in front belongs to it. */
    const char *space = line.size < 2 ? NULL : memchr(line.data + 1, ' ', line.size - 1);
    if (space == NULL)
        return lm_fail(LLM_E_FORMAT, "a merge is not two texts with a space between");
    size_t left = (size_t)(space - line.data), right = line.size - left - 1;
    both->size = 0;
    LM_TRY(lm_text_append(both, line.data, left));
    LM_TRY(lm_text_append(both, space + 1, right));
    ids[0] = lm_tokenizer_find(t, both->data, left);
    ids[1] = lm_tokenizer_find(t, both->data + left, right);
    *merged = ids[0] < 0 || ids[1] < 0 ? -1 : lm_tokenizer_find(t, both->data, both->size);
    return LLM_OK;
}

static int32_t read_lines(lm_merges *m, const lm_tokenizer *t, const lm_str *lines, uint32_t n,
                          lm_text *both, uint32_t *skipped)
{
    for (uint32_t i = 0; i < n; i++) {
        int32_t ids[2] = {-1, -1}, merged = -1;
        int32_t rc = read_line(t, lines[i], both, ids, &merged);
        if (rc < 0)
            return lm_fail_within(rc, "merge %u", i);
        if (merged < 0) {
            ++*skipped;
            continue;
        }
        uint64_t pair = pair_of(ids[0], ids[1]);
        lm_merge *entry = find(m, pair);
        if (entry->pair == FREE)
            *entry = (lm_merge){pair, i, merged};
    }
    return LLM_OK;
}

int32_t lm_merges_init(lm_merges *merges, const lm_tokenizer *t, const lm_str *lines, uint32_t n)
{
    *merges = (lm_merges){.alloc = t->alloc, .capacity = 16};
    merges->seed = lm_mix64((uint64_t)(uintptr_t)t);
    while (merges->capacity / 4 * 3 < n)
        merges->capacity *= 2;
    merges->entries = LM_NEW_ARRAY(t->alloc, lm_merge, merges->capacity);
    if (merges->entries == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < merges->capacity; i++)
        merges->entries[i].pair = FREE;
    lm_text both;
    lm_text_init(&both, t->alloc);
    uint32_t skipped = 0;
    int32_t rc = read_lines(merges, t, lines, n, &both, &skipped);
    lm_text_finish(&both);
    if (rc >= 0 && skipped > 0)
        lm_log_write(&t->log, LLM_LOG_WARN,
                     "%u of %u merges name tokens that the vocabulary lacks and are skipped",
                     skipped, n);
    return rc;
}

void lm_merges_finish(lm_merges *merges)
{
    if (merges->entries != NULL)
        lm_free_array(merges->alloc, merges->entries, merges->capacity, sizeof *merges->entries);
    merges->entries = NULL;
}

/* --- short lists ------------------------------------------------------------------------------ */

enum { SHORT = 48 };

static size_t apply_short(const lm_merges *m, int32_t *ids, size_t n)
{
    uint32_t ranks[SHORT]; /* of the pair that begins at i */
    int32_t merged[SHORT];
    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = rank_of(m, ids[i], ids[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        ids[best] = merged[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            ranks[i] = ranks[i + 1];
            merged[i] = merged[i + 1];
        }
        if (best > 0)
            ranks[best - 1] = rank_of(m, ids[best - 1], ids[best], &merged[best - 1]);
        if (best + 1 < n)
            ranks[best] = rank_of(m, ids[best], ids[best + 1], &merged[best]);
    }
    return n;
}

/* --- long lists ------------------------------------------------------------------------------- */

static void sink(uint64_t *heap, size_t n, size_t at)
{
    uint64_t value = heap[at];
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

/* Room was made before: each merge takes one entry out and puts at most two in. */
static void push(lm_merge_room *room, uint64_t value)
{
    size_t at = room->n_heap++;
    for (size_t parent = (at - 1) / 2; at > 0 && room->heap[parent] > value;
         parent = (at - 1) / 2) {
        room->heap[at] = room->heap[parent];
        at = parent;
    }
    room->heap[at] = value;
}

static uint64_t pop(lm_merge_room *room)
{
    uint64_t best = room->heap[0];
    room->heap[0] = room->heap[--room->n_heap];
    if (room->n_heap > 1)
        sink(room->heap, room->n_heap, 0);
    return best;
}

/* Ranks the pair that begins at a node anew. */
static bool rank_node(const lm_merges *m, lm_merge_node *nodes, uint32_t at)
{
    lm_merge_node *node = &nodes[at];
    node->rank = NO_RANK;
    if (node->behind != NOWHERE)
        node->rank = rank_of(m, node->id, nodes[node->behind].id, &node->merged);
    return node->rank != NO_RANK;
}

static uint64_t entry_of(const lm_merge_node *nodes, uint32_t at)
{
    return (uint64_t)nodes[at].rank << 32 | at;
}

static int32_t make_room(lm_merge_room *room, size_t n)
{
    void *nodes = room->nodes, *heap = room->heap;
    int32_t rc = lm_grow(room->alloc, &nodes, &room->n_nodes, n, sizeof *room->nodes);
    room->nodes = nodes;
    LM_TRY(rc);
    rc = lm_grow(room->alloc, &heap, &room->heap_capacity, 2 * n, sizeof *room->heap);
    room->heap = heap;
    return rc;
}

static void fill(const lm_merges *m, const int32_t *ids, uint32_t n, lm_merge_room *room)
{
    lm_merge_node *nodes = room->nodes;
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = (lm_merge_node){.id = ids[i], .before = i - 1, .behind = i + 1};
        if (i + 1 == n)
            nodes[i].behind = NOWHERE;
    }
    room->n_heap = 0;
    for (uint32_t i = 0; i < n; i++)
        if (rank_node(m, nodes, i))
            room->heap[room->n_heap++] = entry_of(nodes, i);
    for (size_t i = room->n_heap / 2; i-- > 0;)
        sink(room->heap, room->n_heap, i);
}

static void merge_at(const lm_merges *m, lm_merge_room *room, uint32_t at)
{
    lm_merge_node *nodes = room->nodes, *node = &nodes[at];
    lm_merge_node *gone = &nodes[node->behind];
    node->id = node->merged;
    node->behind = gone->behind;
    gone->rank = NO_RANK;
    if (node->behind != NOWHERE)
        nodes[node->behind].before = at;
    if (rank_node(m, nodes, at))
        push(room, entry_of(nodes, at));
    if (node->before != NOWHERE && rank_node(m, nodes, node->before))
        push(room, entry_of(nodes, node->before));
}

static int32_t apply_long(const lm_merges *m, int32_t *ids, size_t *n, lm_merge_room *room)
{
    if (*n >= NOWHERE / 2)
        return lm_fail(LLM_E_LIMIT, "one piece of text of %llu bytes is too long to encode",
                       (unsigned long long)*n);
    LM_TRY(make_room(room, *n));
    fill(m, ids, (uint32_t)*n, room);
    while (room->n_heap > 0) {
        uint64_t best = pop(room);
        uint32_t at = (uint32_t)best;
        /* A pair has one rank, so an entry whose rank is still the node's is still true. */
        if (room->nodes[at].rank == (uint32_t)(best >> 32))
            merge_at(m, room, at);
    }
    size_t count = 0;
    for (uint32_t at = 0; at != NOWHERE; at = room->nodes[at].behind)
        ids[count++] = room->nodes[at].id;
    *n = count;
    return LLM_OK;
}

int32_t lm_merges_apply(const lm_merges *merges, int32_t *ids, size_t *n, lm_merge_room *room)
{
    if (*n > SHORT)
        return apply_long(merges, ids, n, room);
    *n = apply_short(merges, ids, *n);
    return LLM_OK;
}

void lm_merge_room_finish(lm_merge_room *room)
{
    lm_free_array(room->alloc, room->nodes, room->n_nodes, sizeof *room->nodes);
    lm_free_array(room->alloc, room->heap, room->heap_capacity, sizeof *room->heap);
}
