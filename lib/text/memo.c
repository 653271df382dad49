/* memo.c - a table with one place for each hash. */
#include "text/memo.h"

#include "base/hash.h"

#include <string.h>

enum {
    PLACES = 4096,   /* a power of two */
    WORTH_IT = 4096, /* bytes of text from which clearing the table costs little */
};

int32_t lm_memo_init(lm_memo *memo, lm_allocator *alloc, size_t text_size)
{
    *memo = (lm_memo){.alloc = alloc};
    if (text_size < WORTH_IT)
        return LLM_OK;
    memo->entries = LM_NEW_ARRAY(alloc, lm_memo_entry, PLACES);
    return memo->entries == NULL ? LLM_E_MEMORY : LLM_OK;
}

void lm_memo_finish(lm_memo *memo)
{
    if (memo->entries != NULL)
        lm_free_array(memo->alloc, memo->entries, PLACES, sizeof *memo->entries);
    memo->entries = NULL;
}

/* Texts that collide on purpose are only encoded again, so the hash need not be keyed. */
static lm_memo_entry *place_of(const lm_memo *memo, const char *text, size_t size)
{
    uint64_t words[(LM_MEMO_TEXT + 7) / 8] = {0};
    memcpy(words, text, size);
    uint64_t hash = lm_mix64(words[0] ^ (uint64_t)size << 56);
    for (size_t i = 1; i < sizeof words / sizeof *words && i * 8 < size; i++)
        hash = lm_mix64(hash ^ words[i]);
    return &memo->entries[hash % PLACES];
}

const lm_memo_entry *lm_memo_find(const lm_memo *memo, const char *text, size_t size)
{
    if (memo->entries == NULL || size == 0 || size > LM_MEMO_TEXT)
        return NULL;
    const lm_memo_entry *entry = place_of(memo, text, size);
    return entry->size == size && memcmp(entry->text, text, size) == 0 ? entry : NULL;
}

void lm_memo_keep(lm_memo *memo, const char *text, size_t size, const int32_t *ids, size_t n_ids)
{
    if (memo->entries == NULL || size == 0 || size > LM_MEMO_TEXT || n_ids > LM_MEMO_IDS)
        return;
    lm_memo_entry *entry = place_of(memo, text, size);
    entry->size = (uint8_t)size;
    entry->n_ids = (uint8_t)n_ids;
    memcpy(entry->text, text, size);
    if (n_ids > 0)
        memcpy(entry->ids, ids, n_ids * sizeof *ids);
}
