/* marks.c - the automaton: a trie of reversed texts with failure links. */
#include "text/marks.h"

#include <string.h>

/* What may be found: everything, or user-defined tokens alone. */
enum { FIND_ALL, FIND_USER, FIND_KINDS };

typedef struct node {
    uint32_t child, sibling; /* 0: none; the root is nobody's child */
    uint32_t fail;
    int32_t id[FIND_KINDS]; /* the longest token that ends here, -1: none */
    unsigned char byte;
} node;

struct lm_marks {
    lm_allocator *alloc;
    node *nodes;
    size_t n_nodes, capacity;
    uint32_t root[256];
};

static uint32_t child_of(const lm_marks *m, uint32_t at, unsigned char byte)
{
    if (at == 0)
        return m->root[byte];
    uint32_t child = m->nodes[at].child;
    while (child != 0 && m->nodes[child].byte != byte)
        child = m->nodes[child].sibling;
    return child;
}

static uint32_t step(const lm_marks *m, uint32_t at, unsigned char byte)
{
    uint32_t child = child_of(m, at, byte);
    while (child == 0 && at != 0) {
        at = m->nodes[at].fail;
        child = child_of(m, at, byte);
    }
    return child;
}

static int32_t add_node(lm_marks *m, uint32_t parent, unsigned char byte, uint32_t *out)
{
    if (m->n_nodes >= INT32_MAX)
        return lm_fail(LLM_E_LIMIT, "the marked tokens of this vocabulary have too many bytes");
    void *items = m->nodes;
    LM_TRY(lm_grow(m->alloc, &items, &m->capacity, m->n_nodes + 1, sizeof *m->nodes));
    m->nodes = items;
    uint32_t at = (uint32_t)m->n_nodes++;
    m->nodes[at] = (node){.id = {-1, -1}, .byte = byte};
    if (at != 0) {
        m->nodes[at].sibling = m->nodes[parent].child;
        m->nodes[parent].child = at;
        if (parent == 0)
            m->root[byte] = at;
    }
    *out = at;
    return LLM_OK;
}

static int32_t add_text(lm_marks *m, lm_str text, int32_t id, bool user)
{
    uint32_t at = 0;
    for (size_t i = text.size; i-- > 0;) {
        unsigned char byte = (unsigned char)text.data[i];
        uint32_t next = child_of(m, at, byte);
        if (next == 0)
            LM_TRY(add_node(m, at, byte, &next));
        at = next;
    }
    m->nodes[at].id[FIND_ALL] = id;
    if (user)
        m->nodes[at].id[FIND_USER] = id;
    return LLM_OK;
}

/* Breadth first, so that a node's failure link, which is shorter, is complete before it. */
static int32_t link_nodes(lm_marks *m)
{
    uint32_t *queue = LM_NEW_ARRAY(m->alloc, uint32_t, m->n_nodes);
    if (queue == NULL)
        return LLM_E_MEMORY;
    size_t head = 0, tail = 0;
    for (uint32_t child = m->nodes[0].child; child != 0; child = m->nodes[child].sibling)
        queue[tail++] = child;
    while (head < tail) {
        uint32_t at = queue[head++];
        const node *fail = &m->nodes[m->nodes[at].fail];
        for (int k = 0; k < FIND_KINDS; k++)
            if (m->nodes[at].id[k] < 0)
                m->nodes[at].id[k] = fail->id[k];
        for (uint32_t child = m->nodes[at].child; child != 0; child = m->nodes[child].sibling) {
            m->nodes[child].fail = step(m, m->nodes[at].fail, m->nodes[child].byte);
            queue[tail++] = child;
        }
    }
    lm_free_array(m->alloc, queue, m->n_nodes, sizeof *queue);
    return LLM_OK;
}

static bool is_marked(uint8_t type)
{
    return type == LM_TOKEN_CONTROL || type == LM_TOKEN_UNKNOWN || type == LM_TOKEN_USER_DEFINED;
}

static int32_t build(lm_marks *m, const lm_tokenizer *t)
{
    uint32_t root;
    LM_TRY(add_node(m, 0, 0, &root));
    for (uint32_t id = 0; id < t->n_tokens; id++)
        if (is_marked(t->types[id]) && t->tokens[id].size != 0)
            LM_TRY(add_text(m, t->tokens[id], (int32_t)id, t->types[id] == LM_TOKEN_USER_DEFINED));
    return link_nodes(m);
}

int32_t lm_marks_create(const lm_tokenizer *t, lm_marks **out)
{
    *out = NULL;
    uint32_t id = 0;
    while (id < t->n_tokens && !is_marked(t->types[id]))
        id++;
    if (id == t->n_tokens)
        return LLM_OK;
    lm_marks *m = LM_NEW(t->alloc, lm_marks);
    if (m == NULL)
        return LLM_E_MEMORY;
    m->alloc = t->alloc;
    int32_t rc = build(m, t);
    if (rc < 0)
        lm_marks_destroy(m);
    else
        *out = m;
    return rc;
}

void lm_marks_destroy(lm_marks *marks)
{
    if (marks == NULL)
        return;
    lm_free_array(marks->alloc, marks->nodes, marks->capacity, sizeof *marks->nodes);
    LM_DELETE(marks->alloc, marks);
}

int32_t lm_marks_find(const lm_marks *marks, const char *text, size_t size, bool control,
                      lm_mark_list *list)
{
    int kind = control ? FIND_ALL : FIND_USER;
    uint32_t at = 0;
    for (size_t i = size; i-- > 0;) {
        at = step(marks, at, (unsigned char)text[i]);
        int32_t id = marks->nodes[at].id[kind];
        if (id < 0)
            continue;
        void *items = list->items;
        LM_TRY(lm_grow(list->alloc, &items, &list->capacity, list->count + 1, sizeof *list->items));
        list->items = items;
        list->items[list->count++] = (lm_mark){i, id};
    }
    return LLM_OK;
}
