/* support - what the tests share: a failing allocator, files, test data, random numbers. Includes
 * cmocka with the headers it needs. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"

#include <llm/llm_types.h>

/* An allocator that counts live blocks and fails its n-th allocation (0: never). Blocks of a page and
 * more are fenced. */
typedef struct test_memory {
    lm_allocator alloc;
    _Atomic uint64_t live_blocks, live_bytes;
    _Atomic uint64_t calls;
    uint64_t fail_at; /* fails the call with this number, counted from 1 */
    int fail_after;   /* nonzero: all later ones too */
} test_memory;

void test_memory_init(test_memory *m);
/* Asserts that everything was given back. */
void test_memory_check(const test_memory *m);
llm_allocator test_memory_host(test_memory *m);

/* Memory that ends where an untouchable page begins, so that code which no sanitizer sees cannot
 * read or write beyond it. */
void *test_fenced(size_t size);
void test_unfence(void *block, size_t size);

/* A file in the repository's tests folder or in the external test data. test_data_path skips the
 * running test by name when no folder was configured; a configured folder without the file fails it.
 * The path is static until the next call. */
const char *test_file_path(const char *relative);
const char *test_data_path(const char *relative);
/* Reads all; the caller frees with free(). A NUL is added behind. */
unsigned char *test_read(const char *path, size_t *size);
void test_write(const char *path, const void *data, size_t size);
/* A path for a scratch file of this test program, static until the next call. */
const char *test_scratch(const char *name);

/* Asserts that a model opened on several devices really has steps on more than one. */
void test_assert_split(const llm_model *model);

/* Deterministic random numbers. */
uint64_t test_random(uint64_t *state);
double test_random_unit(uint64_t *state);   /* [0, 1) */
double test_random_normal(uint64_t *state); /* mean 0, deviation 1 */

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        int32_t status_ = (expr);                                                                  \
        if (status_ < 0)                                                                           \
            fail_msg("%s: %s: %s", #expr, llm_status_name(status_), llm_last_error());             \
    } while (0)

#define assert_status(expr, wanted)                                                                \
    do {                                                                                           \
        int32_t status_ = (expr);                                                                  \
        if (status_ != (wanted))                                                                   \
            fail_msg("%s: %s where %s was wanted (%s)", #expr, llm_status_name(status_),           \
                     llm_status_name(wanted), llm_last_error());                                   \
    } while (0)

#endif
