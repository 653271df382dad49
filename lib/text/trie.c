/* trie.c - sorts the texts, counts the nodes they need, then lays the nodes out level by level. */
#include "text/trie.h"

/* What sorting compares first: the first eight bytes as one number. */
typedef struct sort_item {
    uint64_t head;
    uint32_t key;
} sort_item;

/* The sorted texts whose first bytes lead to a node: [low, high). */
typedef struct range {
    uint32_t low, high;
} range;

typedef struct builder {
    lm_allocator *alloc;
    const lm_trie_key *keys;
    size_t n_keys;     /* as given */
    sort_item *sorted; /* [n_keys], of which n are used */
    sort_item *spare;  /* [n_keys] */
    size_t n;
    range *ranges; /* [trie->n_nodes] */
    size_t n_made; /* nodes laid out */
} builder;

static uint64_t head_of(lm_str text)
{
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++)
        head = head << 8 | (i < text.size ? (unsigned char)text.data[i] : 0);
    return head;
}

static bool is_after(const builder *b, const sort_item *x, const sort_item *y)
{
    if (x->head != y->head)
        return x->head > y->head;
    lm_str p = b->keys[x->key].text, q = b->keys[y->key].text;
    int order = memcmp(p.data, q.data, p.size < q.size ? p.size : q.size);
    return order != 0 ? order > 0 : p.size > q.size;
}

static void merge(const builder *b, const sort_item *from, size_t low, size_t middle, size_t high,
                  sort_item *to)
{
    size_t left = low, right = middle;
    for (size_t i = low; i < high; i++) {
        bool take_right =
            left == middle || (right < high && is_after(b, &from[left], &from[right]));
        to[i] = from[take_right ? right++ : left++];
    }
}

/* A stable merge sort from the bottom up: equal texts stay in the order given. */
static void sort(builder *b)
{
    for (size_t width = 1; width < b->n; width *= 2) {
        for (size_t low = 0; low < b->n; low += 2 * width) {
            size_t middle = low + width < b->n ? low + width : b->n;
            size_t high = middle + width < b->n ? middle + width : b->n;
            merge(b, b->sorted, low, middle, high, b->spare);
        }
        sort_item *sorted = b->spare;
        b->spare = b->sorted;
        b->sorted = sorted;
    }
}

static lm_str text_at(const builder *b, size_t i)
{
    return b->keys[b->sorted[i].key].text;
}

/* Each text adds a node for every byte that it does not share with the one before it. */
static int32_t count_nodes(const builder *b, size_t *out)
{
    uint64_t nodes = 1;
    lm_str before = {"", 0};
    for (size_t i = 0; i < b->n; i++) {
        lm_str text = text_at(b, i);
        size_t shared = 0;
        while (shared < text.size && shared < before.size &&
               text.data[shared] == before.data[shared])
            shared++;
        nodes += text.size - shared;
        before = text;
    }
    if (nodes >= INT32_MAX)
        return lm_fail(LLM_E_LIMIT, "the tokens of this vocabulary have too many bytes");
    *out = (size_t)nodes;
    return LLM_OK;
}

/* Node `at`, whose texts share `depth` bytes: takes the one that ends there, appends the children.
 */
static void lay_out(lm_trie *trie, builder *b, size_t at, size_t depth)
{
    uint32_t low = b->ranges[at].low, high = b->ranges[at].high;
    trie->nodes[at] = (lm_trie_node){(uint32_t)b->n_made, -1};
    for (; low < high && text_at(b, low).size == depth; low++)
        trie->nodes[at].id = b->keys[b->sorted[low].key].id;
    while (low < high) {
        char byte = text_at(b, low).data[depth];
        uint32_t end = low + 1;
        while (end < high && text_at(b, end).data[depth] == byte)
            end++;
        trie->labels[b->n_made] = (unsigned char)byte;
        if (at == 0)
            trie->root[(unsigned char)byte] = (uint32_t)b->n_made;
        b->ranges[b->n_made++] = (range){low, end};
        low = end;
    }
}

static int32_t build(lm_trie *trie, builder *b)
{
    b->sorted = LM_NEW_ARRAY(b->alloc, sort_item, b->n_keys);
    b->spare = LM_NEW_ARRAY(b->alloc, sort_item, b->n_keys);
    if (b->sorted == NULL || b->spare == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < b->n_keys; i++)
        if (b->keys[i].text.size != 0)
            b->sorted[b->n++] = (sort_item){head_of(b->keys[i].text), (uint32_t)i};
    sort(b);
    LM_TRY(count_nodes(b, &trie->n_nodes));
    trie->nodes = LM_NEW_ARRAY(b->alloc, lm_trie_node, trie->n_nodes + 1);
    trie->labels = LM_NEW_ARRAY(b->alloc, unsigned char, trie->n_nodes);
    b->ranges = LM_NEW_ARRAY(b->alloc, range, trie->n_nodes);
    if (trie->nodes == NULL || trie->labels == NULL || b->ranges == NULL)
        return LLM_E_MEMORY;
    b->ranges[0] = (range){0, (uint32_t)b->n};
    b->n_made = 1;
    size_t depth = 0, level_end = 1;
    for (size_t at = 0; at < trie->n_nodes; at++) {
        if (at == level_end) {
            level_end = b->n_made;
            depth++;
        }
        lay_out(trie, b, at, depth);
    }
    trie->nodes[trie->n_nodes].first = (uint32_t)b->n_made;
    return LLM_OK;
}

int32_t lm_trie_check(const lm_trie_key *keys, size_t n_keys)
{
    for (size_t i = 0; i < n_keys; i++)
        if (keys[i].text.size > LM_TRIE_LONGEST)
            return lm_fail(LLM_E_LIMIT, "token %d has %llu bytes; at most %u can be looked for",
                           (int)keys[i].id, (unsigned long long)keys[i].text.size, LM_TRIE_LONGEST);
    return LLM_OK;
}

int32_t lm_trie_init(lm_trie *trie, lm_allocator *alloc, const lm_trie_key *keys, size_t n_keys)
{
    memset(trie, 0, sizeof *trie);
    trie->alloc = alloc;
    if (n_keys > UINT32_MAX)
        return lm_fail(LLM_E_LIMIT, "the vocabulary has too many tokens");
    builder b = {.alloc = alloc, .keys = keys, .n_keys = n_keys};
    int32_t rc = build(trie, &b);
    lm_free_array(alloc, b.sorted, n_keys, sizeof *b.sorted);
    lm_free_array(alloc, b.spare, n_keys, sizeof *b.spare);
    lm_free_array(alloc, b.ranges, trie->n_nodes, sizeof *b.ranges);
    if (rc < 0)
        lm_trie_finish(trie);
    return rc;
}

void lm_trie_finish(lm_trie *trie)
{
    if (trie->alloc == NULL)
        return;
    lm_free_array(trie->alloc, trie->nodes, trie->n_nodes + 1, sizeof *trie->nodes);
    lm_free_array(trie->alloc, trie->labels, trie->n_nodes, sizeof *trie->labels);
    memset(trie, 0, sizeof *trie);
}

int32_t lm_trie_longest(const lm_trie *trie, uint32_t at, const char *text, size_t size,
                        size_t *length)
{
    int32_t id = -1;
    *length = 0;
    for (size_t i = 0; i < size; i++) {
        at = lm_trie_step(trie, at, (unsigned char)text[i]);
        if (at == 0)
            break;
        if (trie->nodes[at].id >= 0) {
            id = trie->nodes[at].id;
            *length = i + 1;
        }
    }
    return id;
}
