/* lists.c - the two growing lists of the tokenizers: ids and bytes. */
#include "text/tokenizer.h"

#include "base/checked.h"

#include <string.h>

void lm_ids_init(lm_ids *ids, lm_allocator *alloc)
{
    *ids = (lm_ids){.alloc = alloc};
}

void lm_ids_finish(lm_ids *ids)
{
    lm_free_array(ids->alloc, ids->items, ids->capacity, sizeof *ids->items);
    lm_ids_init(ids, ids->alloc);
}

int32_t lm_ids_push(lm_ids *ids, int32_t id)
{
    if (ids->count == ids->capacity) {
        void *items = ids->items;
        LM_TRY(lm_grow(ids->alloc, &items, &ids->capacity, ids->count + 1, sizeof *ids->items));
        ids->items = items;
    }
    ids->items[ids->count++] = id;
    return LLM_OK;
}

void lm_text_init(lm_text *text, lm_allocator *alloc)
{
    *text = (lm_text){.alloc = alloc};
}

void lm_text_finish(lm_text *text)
{
    lm_free_array(text->alloc, text->data, text->capacity, 1);
    lm_text_init(text, text->alloc);
}

int32_t lm_text_reserve(lm_text *text, size_t capacity)
{
    void *items = text->data;
    LM_TRY(lm_grow(text->alloc, &items, &text->capacity, capacity, 1));
    text->data = items;
    return LLM_OK;
}

int32_t lm_text_append(lm_text *text, const void *data, size_t size)
{
    if (size == 0)
        return LLM_OK;
    size_t need;
    if (!lm_add_size(text->size, size, &need))
        return lm_fail(LLM_E_MEMORY, "out of memory: a text of more bytes than can be addressed");
    LM_TRY(lm_text_reserve(text, need));
    memcpy(text->data + text->size, data, size);
    text->size = need;
    return LLM_OK;
}
