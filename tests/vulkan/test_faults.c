/* test_faults.c - Vulkan fails: any call once, memory that runs out, devices that are lost. A status
 * every time; what was on that device is lost with it and nothing else; a model opened anew works, here
 * and on the processor. Also other shapes of devices: two of them, memory that the host does not see. */
#include "support/support.h"
#include "vulkan/fake_vulkan.h"

#include <llm/llm.h>

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PROMPT = 20,
    MADE = 4,
    OUT_OF_HOST_MEMORY = -1,
    OUT_OF_DEVICE_MEMORY = -2,
    DEVICE_LOST = -4
};

static const char *modules;
static fake_vulkan *fake;

/* --- a little work ---------------------------------------------------------------------------- */

typedef struct work {
    llm_model *model;
    llm_session *session;
    llm_token made[MADE];
} work;

static int32_t open_work(llm_runtime *rt, const char *devices, work *w)
{
    llm_model_params mp = {.struct_size = sizeof mp, .devices = devices, .source = LLM_SOURCE_READ};
    memset(w, 0, sizeof *w);
    int32_t rc = llm_model_open(rt, test_file_path("model/data/llama.gguf"), &mp, &w->model);
    return rc < 0 ? rc : llm_session_create(w->model, NULL, &w->session);
}

static void close_work(work *w)
{
    llm_session_destroy(w->session);
    llm_model_release(w->model);
}

static llm_token best(const float *logits, uint32_t count)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < count; i++)
        at = logits[i] > logits[at] ? i : at;
    return (llm_token)at;
}

/* The prompt and the most likely tokens behind it; may be called again after a failure. */
static int32_t do_work(work *w)
{
    llm_token prompt[PROMPT];
    const float *logits;
    uint32_t count;
    uint64_t length = llm_session_length(w->session);
    for (int32_t i = 0; i < PROMPT; i++)
        prompt[i] = i * 7 % 80;
    int32_t rc = LLM_OK;
    if (length < PROMPT)
        rc = llm_session_feed(w->session, prompt + length, PROMPT - length, NULL);
    for (uint32_t i = length < PROMPT ? 0 : (uint32_t)(length - PROMPT); rc >= 0 && i < MADE; i++) {
        rc = llm_session_logits(w->session, &logits, &count);
        if (rc >= 0) {
            w->made[i] = best(logits, count);
            rc = llm_session_feed(w->session, &w->made[i], 1, NULL);
        }
    }
    return rc < 0 ? rc : llm_session_logits(w->session, &logits, &count);
}

static void assert_works(llm_runtime *rt, const char *devices, const llm_token *wanted)
{
    work w;
    assert_ok(open_work(rt, devices, &w));
    assert_ok(do_work(&w));
    assert_memory_equal(w.made, wanted, sizeof w.made);
    close_work(&w);
}

static void expected_tokens(llm_token *out)
{
    llm_runtime *rt;
    work w;
    assert_ok(llm_runtime_create(NULL, &rt));
    assert_ok(open_work(rt, "ref", &w));
    assert_ok(do_work(&w));
    memcpy(out, w.made, sizeof w.made);
    close_work(&w);
    llm_runtime_destroy(rt);
}

static llm_runtime *make_runtime(test_memory *memory)
{
    llm_runtime *rt;
    test_memory_init(memory);
    llm_runtime_params rp = {
        .struct_size = sizeof rp, .allocator = test_memory_host(memory), .module_folder = modules};
    assert_ok(llm_runtime_create(&rp, &rt));
    return rt;
}

static int reset(void **state)
{
    (void)state;
    memset(fake, 0, sizeof *fake);
    return 0;
}

/* --- any call --------------------------------------------------------------------------------- */

/* A session whose work failed: lost with its device, else good for another try. */
static void check_session(work *w, int32_t rc, const llm_token *wanted)
{
    int32_t again = do_work(w);
    if (rc == LLM_E_DEVICE) {
        assert_int_equal(again, LLM_E_DEVICE);
        return;
    }
    if (again < 0)
        fail_msg("after a failure of %s: %s: %s", fake->failed, llm_status_name(again),
                 llm_last_error());
    assert_memory_equal(w->made, wanted, sizeof w->made);
}

/* One failure at call `n`; false: there are fewer calls. */
static bool fail_one(uint64_t n, int32_t result, const llm_token *wanted)
{
    test_memory memory;
    work w;
    memset(fake, 0, sizeof *fake);
    llm_runtime *rt = make_runtime(&memory);
    fake->fail_at = n;
    fake->result = result;
    int32_t rc = open_work(rt, "vulkan", &w);
    bool opened = rc >= 0;
    if (opened)
        rc = do_work(&w);
    bool reached = fake->failed != NULL;
    if (reached) {
        bool known = rc == LLM_E_MEMORY || rc == LLM_E_DEVICE || rc == LLM_E_NOT_FOUND;
        if (!known || llm_last_error()[0] == '\0')
            fail_msg("%s fails with %d: %s: %s", fake->failed, (int)result, llm_status_name(rc),
                     llm_last_error());
        assert_true(result == DEVICE_LOST || rc != LLM_E_DEVICE);
        if (opened)
            check_session(&w, rc, wanted);
        assert_works(rt, "cpu", wanted);
        assert_works(rt, "vulkan", wanted);
    }
    close_work(&w);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
    assert_int_equal(fake->allocations, 0);
    assert_int_equal(fake->objects, 0);
    return reached;
}

static void test_faults__any_call(void **state)
{
    static const int32_t results[] = {OUT_OF_DEVICE_MEMORY, DEVICE_LOST, OUT_OF_HOST_MEMORY};
    llm_token wanted[MADE];
    uint64_t n = 1;
    (void)state;
    expected_tokens(wanted);
    while (fail_one(n, results[n % 3], wanted))
        n++;
    print_message("%llu calls failed, one after the other\n", (unsigned long long)n - 1);
    assert_true(n > 60);
}

/* --- lost while others work ------------------------------------------------------------------- */

static void test_faults__only_that_device(void **state)
{
    test_memory memory;
    work lost, other;
    llm_token wanted[MADE];
    (void)state;
    expected_tokens(wanted);
    llm_runtime *rt = make_runtime(&memory);
    assert_ok(open_work(rt, "vulkan", &lost));
    assert_ok(open_work(rt, "cpu", &other));
    fake->fail_at = fake->calls + 3;
    fake->result = DEVICE_LOST;
    assert_status(do_work(&lost), LLM_E_DEVICE);
    assert_ok(do_work(&other));
    assert_memory_equal(other.made, wanted, sizeof wanted);
    assert_status(do_work(&lost), LLM_E_DEVICE);
    close_work(&lost);
    close_work(&other);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
}

/* --- other devices ---------------------------------------------------------------------------- */

static void test_faults__small_memory(void **state)
{
    test_memory memory;
    work w;
    llm_token wanted[MADE];
    (void)state;
    expected_tokens(wanted);
    llm_runtime *rt = make_runtime(&memory);
    fake->memory = 3 << 19;
    int32_t rc = open_work(rt, "vulkan", &w);
    assert_status(rc < 0 ? rc : do_work(&w), LLM_E_MEMORY);
    close_work(&w);
    assert_int_equal(fake->allocations, 0);
    assert_int_equal(fake->objects, 0);
    assert_works(rt, "cpu", wanted);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
}

static void test_faults__small_allocations(void **state)
{
    test_memory memory;
    work w;
    (void)state;
    llm_runtime *rt = make_runtime(&memory);
    fake->largest = 4096;
    int32_t rc = open_work(rt, "vulkan", &w);
    assert_true(rc == LLM_E_UNSUPPORTED || rc == LLM_E_MEMORY);
    close_work(&w);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
}

static void test_faults__hidden_memory(void **state)
{
    test_memory memory;
    llm_token wanted[MADE];
    (void)state;
    expected_tokens(wanted);
    llm_runtime *rt = make_runtime(&memory);
    fake->hidden = 1;
    assert_works(rt, "vulkan", wanted);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
    assert_int_equal(fake->allocations, 0);
    assert_int_equal(fake->objects, 0);
}

/* Bytes of weights on the first device of a list. */
static uint64_t first_weights(llm_runtime *rt, const char *devices)
{
    llm_memory_plan plan = {.struct_size = sizeof plan};
    work w;
    assert_ok(open_work(rt, devices, &w));
    assert_ok(llm_model_plan(w.model, NULL, 0, &plan));
    close_work(&w);
    return plan.weights;
}

/* The cut passes before every layer, until all is on the second. */
static void test_faults__two_devices(void **state)
{
    test_memory memory;
    llm_token wanted[MADE];
    char list[64];
    uint32_t cuts = 0;
    work w;
    (void)state;
    expected_tokens(wanted);
    llm_runtime *rt = make_runtime(&memory);
    fake->devices = 2;
    for (uint64_t bytes = first_weights(rt, "vulkan:1"); bytes > 0; cuts++) {
        snprintf(list, sizeof list, "vulkan:1=%llu,vulkan:0", (unsigned long long)bytes - 1);
        bytes = first_weights(rt, list);
        assert_works(rt, list, wanted);
    }
    assert_true(cuts >= 2);
    assert_status(open_work(rt, "vulkan:2", &w), LLM_E_NOT_FOUND);
    close_work(&w);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
}

/* What lives on both is lost with either; what lives on the other goes on. */
static void test_faults__one_of_two_devices(void **state)
{
    test_memory memory;
    llm_token wanted[MADE];
    char list[64];
    work both, other;
    (void)state;
    expected_tokens(wanted);
    llm_runtime *rt = make_runtime(&memory);
    fake->devices = 2;
    snprintf(list, sizeof list, "vulkan:1=%llu,vulkan:0",
             (unsigned long long)first_weights(rt, "vulkan:1") - 1);
    assert_ok(open_work(rt, list, &both));
    test_assert_split(both.model);
    assert_ok(open_work(rt, "vulkan:0", &other));
    fake->fail_at = fake->calls + 3;
    fake->result = DEVICE_LOST;
    assert_status(do_work(&both), LLM_E_DEVICE);
    assert_ok(do_work(&other));
    assert_memory_equal(other.made, wanted, sizeof wanted);
    assert_status(do_work(&both), LLM_E_DEVICE);
    close_work(&both);
    close_work(&other);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
}

/* --- compiled kernels ------------------------------------------------------------------------- */

/* The one file in the folder, "" when there is none. */
static void kept_file(const char *folder, char *path, size_t size)
{
    DIR *d = opendir(folder);
    path[0] = '\0';
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        assert_int_equal(path[0], '\0');
        assert_non_null(strstr(e->d_name, ".kernels"));
        snprintf(path, size, "%s/%s", folder, e->d_name);
    }
    closedir(d);
}

static void work_with_folder(const char *folder, const llm_token *wanted)
{
    test_memory memory;
    llm_runtime *rt;
    test_memory_init(&memory);
    llm_runtime_params rp = {.struct_size = sizeof rp,
                             .allocator = test_memory_host(&memory),
                             .module_folder = modules,
                             .kernel_cache = folder};
    assert_ok(llm_runtime_create(&rp, &rt));
    assert_works(rt, "vulkan", wanted);
    llm_runtime_destroy(rt);
    test_memory_check(&memory);
}

/* Kept in the folder, taken from there, and no worse for a file that is damaged or of another
 * driver. */
static void test_faults__kernels_are_kept(void **state)
{
    char folder[4096], path[4400];
    llm_token wanted[MADE];
    size_t size, again;
    (void)state;
    expected_tokens(wanted);
    snprintf(folder, sizeof folder, "%s", test_scratch("kernels"));
    mkdir(folder, 0700);
    for (kept_file(folder, path, sizeof path); path[0] != '\0';
         kept_file(folder, path, sizeof path))
        remove(path);
    work_with_folder(folder, wanted);
    kept_file(folder, path, sizeof path);
    unsigned char *kept = test_read(path, &size);
    assert_true(size >= 32);
    work_with_folder(folder, wanted);
    for (size_t cut = 0; cut <= 20; cut += 20) {
        test_write(path, kept, cut);
        work_with_folder(folder, wanted);
    }
    kept[20] ^= 1;
    test_write(path, kept, size);
    work_with_folder(folder, wanted);
    kept[20] ^= 1;
    unsigned char *now = test_read(path, &again);
    assert_memory_equal(now, kept, 32); /* replaced by what this driver makes */
    free(now);
    free(kept);
    remove(path);
    work_with_folder("/nowhere/at/all", wanted);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_faults__any_call, reset),
        cmocka_unit_test_setup(test_faults__only_that_device, reset),
        cmocka_unit_test_setup(test_faults__small_memory, reset),
        cmocka_unit_test_setup(test_faults__small_allocations, reset),
        cmocka_unit_test_setup(test_faults__hidden_memory, reset),
        cmocka_unit_test_setup(test_faults__two_devices, reset),
        cmocka_unit_test_setup(test_faults__one_of_two_devices, reset),
        cmocka_unit_test_setup(test_faults__kernels_are_kept, reset),
    };
    if (argc != 2)
        return 2;
    modules = argv[1];
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    fake = library == NULL ? NULL : dlsym(library, "fake_vulkan_control");
    if (fake == NULL)
        return fprintf(stderr, "libvulkan.so.1 is not the test's: set LD_LIBRARY_PATH\n"), 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
