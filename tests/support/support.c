/* support.c - shared helpers of the test programs. */
#define _DEFAULT_SOURCE /* mmap */
#include "support/support.h"

#include "base/hash.h"

#include <llm/llm_model.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *test_fenced(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (size + page - 1) / page * page;
    char *start =
        mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(start != MAP_FAILED && mprotect(start + used, page, PROT_NONE) == 0);
    return start + used - size;
}

void test_unfence(void *block, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (size + page - 1) / page * page;
    munmap((char *)block + size - used, used + page);
}

/* Before each block. Large ones are fenced. */
typedef struct block_head {
    void *start;
    size_t fenced; /* its size; 0: from malloc */
} block_head;

static void *memory_alloc(void *user, uint64_t size, uint64_t align)
{
    test_memory *m = user;
    m->calls++;
    if (m->fail_at != 0 && (m->calls == m->fail_at || (m->fail_after && m->calls > m->fail_at)))
        return NULL;
    size_t room = (size_t)size + (size_t)align + sizeof(block_head);
    block_head head = {NULL, size < 4096 ? 0 : room};
    head.start = head.fenced == 0 ? malloc(room) : test_fenced(room);
    if (head.start == NULL)
        return NULL;
    uintptr_t at =
        ((uintptr_t)head.start + sizeof head + (uintptr_t)align) & ~((uintptr_t)align - 1);
    memcpy((void *)(at - sizeof head), &head, sizeof head);
    m->live_blocks++;
    m->live_bytes += size;
    return (void *)at;
}

static void memory_free(void *user, void *block, uint64_t size)
{
    test_memory *m = user;
    block_head head;
    memcpy(&head, (char *)block - sizeof head, sizeof head);
    m->live_blocks--;
    m->live_bytes -= size;
    if (head.fenced == 0)
        free(head.start);
    else
        test_unfence(head.start, head.fenced);
}

llm_allocator test_memory_host(test_memory *m)
{
    return (llm_allocator){m, memory_alloc, memory_free};
}

void test_memory_init(test_memory *m)
{
    memset(m, 0, sizeof *m);
    llm_allocator host = test_memory_host(m);
    lm_allocator_init(&m->alloc, &host);
}

void test_memory_check(const test_memory *m)
{
    if (m->live_blocks != 0 || m->live_bytes != 0)
        fail_msg("%llu blocks (%lld bytes) were not given back", (unsigned long long)m->live_blocks,
                 (long long)m->live_bytes);
}

static char path_buffer[4096];

const char *test_file_path(const char *relative)
{
    snprintf(path_buffer, sizeof path_buffer, "%s/%s", TESTS_DIR, relative);
    return path_buffer;
}

const char *test_data_path(const char *relative)
{
    if (TESTDATA_DIR[0] == '\0') {
        print_message("skipped: needs '%s' from the testdata option\n", relative);
        skip();
    }
    snprintf(path_buffer, sizeof path_buffer, "%s/%s", TESTDATA_DIR, relative);
    FILE *file = fopen(path_buffer, "rb");
    if (file == NULL)
        fail_msg("the test data folder has no '%s'", relative);
    else
        fclose(file);
    return path_buffer;
}

unsigned char *test_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open '%s'", path);
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    fseek(file, 0, SEEK_SET);
    unsigned char *data = malloc((size_t)length + 1);
    if (data == NULL || fread(data, 1, (size_t)length, file) != (size_t)length)
        fail_msg("cannot read '%s'", path);
    else
        data[length] = 0;
    fclose(file);
    *size = (size_t)length;
    return data;
}

void test_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size)
        fail_msg("cannot write '%s'", path);
    if (file != NULL)
        fclose(file);
}

const char *test_scratch(const char *name)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path_buffer, sizeof path_buffer, "%s/libllm-test-%llx-%s", folder ? folder : "/tmp",
             (unsigned long long)lm_mix64((uint64_t)(uintptr_t)path_buffer), name);
    return path_buffer;
}

void test_assert_split(const llm_model *model)
{
    llm_step_info step = {.struct_size = sizeof step};
    uint32_t segments = 0;
    for (uint64_t i = 0; llm_model_step_at(model, i, &step) == LLM_OK; i++)
        segments = step.segment + 1;
    assert_true(segments > 1);
}

uint64_t test_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return lm_mix64(*state);
}

double test_random_unit(uint64_t *state)
{
    return (double)(test_random(state) >> 11) * 0x1p-53;
}

double test_random_normal(uint64_t *state)
{
    double u = 1.0 - test_random_unit(state), v = test_random_unit(state);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
