/* trie - byte strings to ids, walked one byte at a time. Built once, level by level; the children
 * of a node lie side by side in the order of their bytes. */
#ifndef LM_TEXT_TRIE_H
#define LM_TEXT_TRIE_H

#include "text/tokenizer.h"

#include <string.h>

typedef struct lm_trie_key {
    lm_str text;
    int32_t id; /* >= 0 */
} lm_trie_key;

typedef struct lm_trie_node {
    uint32_t first; /* child; the next node's first child ends the list */
    int32_t id;     /* of the text that ends here, -1: none */
} lm_trie_node;

typedef struct lm_trie {
    lm_allocator *alloc;
    lm_trie_node *nodes;   /* [n_nodes + 1]; 0 is the root */
    unsigned char *labels; /* [n_nodes] the byte that leads to a node */
    size_t n_nodes;
    uint32_t root[256]; /* children of the root */
} lm_trie;

/* Encoders that begin a walk at every place of a text would take the square of its length for a
 * vocabulary made for it. No real token is a fifth as long. */
#define LM_TRIE_LONGEST 1024u
int32_t lm_trie_check(const lm_trie_key *keys, size_t n_keys); /* LLM_E_LIMIT for longer texts */

/* Of equal texts the last one's id is kept; empty texts are left out. The texts may go afterwards.
 * A trie of zeros is one that lm_trie_finish accepts. */
int32_t lm_trie_init(lm_trie *trie, lm_allocator *alloc, const lm_trie_key *keys, size_t n_keys);
void lm_trie_finish(lm_trie *trie);

/* The child of node `at` by `byte`; 0: none. */
static inline uint32_t lm_trie_step(const lm_trie *trie, uint32_t at, unsigned char byte)
{
    if (at == 0)
        return trie->root[byte];
    uint32_t first = trie->nodes[at].first, end = trie->nodes[at + 1].first;
    if (end - first > 8) {
        const unsigned char *found = memchr(trie->labels + first, byte, end - first);
        return found == NULL ? 0 : (uint32_t)(found - trie->labels);
    }
    for (uint32_t child = first; child < end; child++)
        if (trie->labels[child] == byte)
            return child;
    return 0;
}

/* The longest text that starts at `text`, walked from node `at`: its id or -1, and its bytes. */
int32_t lm_trie_longest(const lm_trie *trie, uint32_t at, const char *text, size_t size,
                        size_t *length);

#endif
