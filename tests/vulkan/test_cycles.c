/* test_cycles.c - test_cycles FOLDER N: loads a model, generates and unloads it N times, and again N
 * times; the second half may not need more memory than the first, neither ours nor the driver's, and
 * no cycle may leave anything of Vulkan or an open file behind. */
#include "support/support.h"
#include "vulkan/fake_vulkan.h"

#include <llm/llm.h>

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPT = 20, MADE = 4 };

static const char *modules;
static uint32_t cycles;
static const fake_vulkan *fake;

/* Bytes of this process in memory. */
static uint64_t resident(void)
{
    unsigned long long all = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu %llu", &all, &here), 2);
    fclose(f);
    return here * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What lies in a folder of this process: its open files, its threads. */
static uint32_t entries(const char *path)
{
    uint32_t count = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static void one_cycle(void)
{
    test_memory memory;
    llm_runtime *rt;
    llm_model *model;
    llm_session *session;
    llm_piece piece = LLM_PIECE_INIT;
    llm_token prompt[PROMPT];
    test_memory_init(&memory);
    llm_runtime_params rp = {
        .struct_size = sizeof rp, .allocator = test_memory_host(&memory), .module_folder = modules};
    llm_model_params mp = {.struct_size = sizeof mp, .devices = "vulkan"};
    assert_ok(llm_runtime_create(&rp, &rt));
    assert_ok(llm_model_open(rt, test_file_path("model/data/llama.gguf"), &mp, &model));
    assert_ok(llm_session_create(model, NULL, &session));
    for (int32_t i = 0; i < PROMPT; i++)
        prompt[i] = i * 5 % 80;
    assert_ok(llm_session_feed(session, prompt, PROMPT, NULL));
    for (int i = 0; i < MADE; i++)
        assert_ok(llm_session_next(session, &piece));
    assert_true(fake->objects > 0 && fake->allocations > 0);
    llm_session_destroy(session);
    llm_model_release(model);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
    assert_int_equal(fake->objects, 0);
    assert_int_equal(fake->allocations, 0);
}

/* The most that is resident after any cycle of `count`. */
static uint64_t peak_of(uint32_t count)
{
    uint64_t peak = 0;
    for (uint32_t i = 0; i < count; i++) {
        one_cycle();
        uint64_t now = resident();
        peak = now > peak ? now : peak;
    }
    return peak;
}

static void test_cycles__no_growth(void **state)
{
    (void)state;
    one_cycle(); /* opens what the driver never closes */
    uint32_t files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    uint64_t first = peak_of(cycles), second = peak_of(cycles);
    uint64_t growth = second > first ? second - first : 0;
    print_message("%u cycles: %llu KiB, as many again: %llu KiB more\n", (unsigned)cycles,
                  (unsigned long long)first / 1024, (unsigned long long)growth / 1024);
    assert_int_equal(entries("/proc/self/fd"), files);
    assert_int_equal(entries("/proc/self/task"), threads);
    /* The allocators' pages settle slowly; what is left behind each time would add up. */
    assert_true(growth <= (1u << 20) + cycles * 4096ull);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cycles__no_growth)};
    if (argc != 3)
        return 2;
    modules = argv[1];
    cycles = (uint32_t)strtoul(argv[2], NULL, 10);
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    fake = library == NULL ? NULL : dlsym(library, "fake_vulkan_control");
    if (fake == NULL)
        return fprintf(stderr, "libvulkan.so.1 is not the test's: set LD_LIBRARY_PATH\n"), 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
