/* tool.h - what the example programs share: options, messages, progress, JSON. Uses the public API
 * only. */
#ifndef EXAMPLES_TOOL_H
#define EXAMPLES_TOOL_H

#include <llm/llm.h>

#include <stdbool.h>
#include <stdio.h>

/* --- options ---------------------------------------------------------------------------------- */

typedef enum tool_kind {
    TOOL_FLAG,
    TOOL_TEXT,
    TOOL_TEXTS,
    TOOL_COUNT,
    TOOL_NUMBER,
    TOOL_SIZE
} tool_kind;

#define TOOL_MOST_TEXTS 16

typedef struct tool_texts {
    const char *items[TOOL_MOST_TEXTS];
    uint32_t count;
} tool_texts;

/* One option. `target`: bool, const char *, tool_texts, uint64_t, double, uint64_t (bytes, "2G").
 */
typedef struct tool_option {
    const char *name; /* "--temp" or "-t" */
    tool_kind kind;
    void *target;
    const char *value; /* how help names the value */
    const char *help;
    double most; /* largest number; 0: any */
} tool_option;

typedef struct tool_program {
    const char *name, *usage, *about;
    const tool_option *options; /* ends with a NULL name */
    const char **words;         /* [n_words] positional arguments, all required */
    int n_words;
} tool_program;

/* Fills options and words. Prints help and exits 0, or one line and exits 2. */
void tool_parse(const tool_program *program, int argc, char **argv);

/* --- ending ----------------------------------------------------------------------------------- */

/* "name: message" on stderr, and exit 1 (what was asked cannot be done) or 2 (it was asked
 * wrongly). */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2), noreturn))
#endif
void tool_fail(const char *format, ...);
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2), noreturn))
#endif
void tool_misused(const char *format, ...);

/* A file is being written (NULL: it is finished). When the program fails or is interrupted before, what
 * there is of it is removed; interrupts take effect at the next tool_progress(). */
void tool_unfinished(llm_writer *writer);

/* Fails with the library's message when a status is negative. */
void tool_check(int32_t status);

/* The last thing before exit 0: fails when what was printed could not be written. */
void tool_flush(void);

/* --- models ----------------------------------------------------------------------------------- */

/* Options of every program that computes. */
typedef struct tool_compute {
    const char *devices;
    uint64_t budget, threads, context;
    const char *cache, *modules;
    bool fast;
} tool_compute;

#define TOOL_COMPUTE_OPTIONS(c)                                                                    \
    {                                                                                              \
        "--device",                                                                                \
        TOOL_TEXT,                                                                                 \
        &(c).devices,                                                                              \
        "LIST",                                                                                    \
        "where to run: cpu, ref, vulkan:0,cpu, ... [cpu]",                                         \
        0},                                                                                        \
        {"--budget", TOOL_SIZE, &(c).budget, "BYTES", "hard bound of memory, like 512M or 4G", 0}, \
        {"--fast",                                                                                 \
         TOOL_FLAG,                                                                                \
         &(c).fast,                                                                                \
         NULL,                                                                                     \
         "arithmetic that may differ with the batch, where it is faster",                          \
         0},                                                                                       \
        {"--modules",                                                                              \
         TOOL_TEXT,                                                                                \
         &(c).modules,                                                                             \
         "FOLDER",                                                                                 \
         "where modules of backends lie [beside the library]",                                     \
         0},                                                                                       \
    {                                                                                              \
        "-t", TOOL_COUNT, &(c).threads, "N", "compute threads [all the process may use]", 4096     \
    }

typedef struct tool_model {
    llm_runtime *runtime;
    llm_model *model;
    llm_engine *engine;
    llm_model_info info;
} tool_model;

/* Opens a model for computing, with a progress line while it loads. `shape` may be NULL. */
void tool_open(const char *path, const tool_compute *compute, const llm_engine_params *shape,
               tool_model *out);
void tool_close(tool_model *m);

/* --- text ------------------------------------------------------------------------------------- */

/* Whole file or stream, with a NUL behind it; the caller frees. */
char *tool_read(FILE *from, const char *name, uint64_t *size);
char *tool_read_file(const char *path, uint64_t *size);

/* Ids of a text; the caller frees. */
llm_token *tool_encode(const llm_tokenizer *tokenizer, const char *text, uint64_t size,
                       uint32_t flags, uint64_t *count);
/* Ids written as numbers with commas or blanks between them, from an option or (NULL) from input;
 * the caller frees. */
llm_token *tool_ids(const char *text, const char *option, uint64_t *count);

/* A JSON string. What is no UTF-8 becomes U+FFFD. */
void tool_json_text(FILE *to, const char *text, uint64_t size);
/* Text for a terminal: control characters and what is no UTF-8 are spelt out. */
void tool_plain_text(FILE *to, const char *text, uint64_t size);

/* --- progress and figures --------------------------------------------------------------------- */

double tool_now(void); /* seconds, monotonic */
/* A line that overwrites itself on stderr, only when that is a terminal. done == total ends it. */
void tool_progress(const char *what, uint64_t done, uint64_t total);
/* "1.5 GiB" into a buffer of 32. */
const char *tool_bytes(uint64_t bytes, char *text);
uint64_t tool_memory(const tool_model *m); /* bytes libllm holds now, host and devices */

#endif
