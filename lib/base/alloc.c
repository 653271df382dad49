/* alloc.c - counting wrapper around the host's allocator or the C library's. */
#include "base/alloc.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* C11 aligned_alloc is missing on Windows; keeping the start behind the block is portable. */
static void *libc_alloc(void *user, uint64_t size, uint64_t align)
{
    (void)user;
    uint64_t total;
    if (!lm_add_u64(size, align + sizeof(void *), &total) || !lm_fits_size(total))
        return NULL;
    char *start = malloc((size_t)total);
    if (start == NULL)
        return NULL;
    uintptr_t at =
        ((uintptr_t)start + sizeof(void *) + (uintptr_t)align - 1) & ~((uintptr_t)align - 1);
    memcpy((void *)(at - sizeof(void *)), &start, sizeof start);
    return (void *)at;
}

static void libc_free(void *user, void *block, uint64_t size)
{
    (void)user;
    (void)size;
    void *start;
    memcpy(&start, (char *)block - sizeof(void *), sizeof start);
    free(start);
}

void lm_allocator_init(lm_allocator *a, const llm_allocator *host)
{
    if (host != NULL && host->alloc != NULL && host->free != NULL)
        a->host = *host;
    else
        a->host = (llm_allocator){NULL, libc_alloc, libc_free};
    atomic_init(&a->bytes, 0);
    atomic_init(&a->peak, 0);
    atomic_init(&a->calls, 0);
}

static void count(lm_allocator *a, uint64_t size)
{
    uint64_t now = atomic_fetch_add(&a->bytes, size) + size;
    uint64_t peak = atomic_load(&a->peak);
    while (now > peak && !atomic_compare_exchange_weak(&a->peak, &peak, now)) {
    }
    atomic_fetch_add(&a->calls, 1);
}

void *lm_alloc(lm_allocator *a, size_t size)
{
    if (size == 0)
        size = 1;
    void *block = a->host.alloc(a->host.user, size, LM_ALIGN);
    if (block == NULL) {
        lm_fail(LLM_E_MEMORY, "out of memory: %llu bytes were refused", (unsigned long long)size);
        return NULL;
    }
    count(a, size);
    return block;
}

void *lm_alloc_zero(lm_allocator *a, size_t size)
{
    void *block = lm_alloc(a, size);
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

void *lm_alloc_array(lm_allocator *a, size_t count_, size_t size)
{
    size_t total;
    if (!lm_mul_size(count_, size, &total)) {
        lm_fail(LLM_E_MEMORY, "out of memory: %llu items of %llu bytes", (unsigned long long)count_,
                (unsigned long long)size);
        return NULL;
    }
    return lm_alloc_zero(a, total);
}

void lm_free(lm_allocator *a, void *block, size_t size)
{
    if (block == NULL)
        return;
    if (size == 0)
        size = 1;
    a->host.free(a->host.user, block, size);
    atomic_fetch_sub(&a->bytes, size);
}

void lm_free_array(lm_allocator *a, void *block, size_t count_, size_t size)
{
    lm_free(a, block, count_ * size);
}

char *lm_strdup(lm_allocator *a, const char *text, size_t length)
{
    size_t total;
    if (!lm_add_size(length, 1, &total)) {
        lm_fail(LLM_E_MEMORY, "out of memory: a text of %llu bytes", (unsigned long long)length);
        return NULL;
    }
    char *copy = lm_alloc(a, total);
    if (copy == NULL)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void lm_strfree(lm_allocator *a, char *text)
{
    if (text != NULL)
        lm_free(a, text, strlen(text) + 1);
}

int32_t lm_grow(lm_allocator *a, void **items, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return LLM_OK;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < need) {
        if (wanted > SIZE_MAX / 2)
            return lm_fail(LLM_E_MEMORY, "out of memory: %llu items", (unsigned long long)need);
        wanted *= 2;
    }
    void *bigger = lm_alloc_array(a, wanted, size);
    if (bigger == NULL)
        return LLM_E_MEMORY;
    if (*capacity > 0)
        memcpy(bigger, *items, *capacity * size);
    lm_free_array(a, *items, *capacity, size);
    *items = bigger;
    *capacity = wanted;
    return LLM_OK;
}
