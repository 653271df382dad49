/* rig - a small network and a device to run it on. A model is built once, from steps under test;
 * any number of rigs load it on devices with different options and feed the same sequences in
 * different ways. Inputs are a function of sequence, position and column, never of the batch. */
#ifndef TEST_BACKEND_RIG_H
#define TEST_BACKEND_RIG_H

#include "support/support.h"

#include <stdio.h>

#include "backend/registry.h"

#define RIG_WEIGHTS 32

#define RIG_SLOTS   8  /* that cross the border */
#define RIG_SEQS    16 /* at most; see rig_options */
#define RIG_CONTEXT 1200

/* --- the model -------------------------------------------------------------------------------- */

typedef struct rig_border {
    uint32_t slot;
    uint32_t ids; /* I32 inputs: values lie in [-1, ids) */
} rig_border;

typedef struct rig_model {
    lm_allocator alloc;
    lm_network network;
    lm_graph graph;
    lm_builder b;
    uint64_t seed;
    void *data[RIG_WEIGHTS];    /* as a file would hold them: at odd addresses, fenced */
    size_t sizes[RIG_WEIGHTS];  /* of data, odd */
    float *values[RIG_WEIGHTS]; /* decoded */
    rig_border inputs[RIG_SLOTS], outputs[RIG_SLOTS];
    uint32_t n_inputs, n_outputs;
    bool tree;    /* rows of a run see a random subset of the earlier ones */
    bool all_see; /* rows see the whole run */
    /* From this position on the inputs of this sequence are NaN; 0: none. */
    uint32_t nan_seq, nan_from;
} rig_model;

void rig_model_init(rig_model *m, uint64_t seed);
void rig_model_finish(rig_model *m);

/* Normal numbers around `mean`, encoded; fails the test when the format has no encoder. */
uint32_t rig_weight(rig_model *m, uint32_t format, uint32_t rows, uint32_t cols, uint32_t experts,
                    uint32_t uses, double mean, double deviation);
uint32_t rig_matrix(rig_model *m, uint32_t format, uint32_t rows, uint32_t cols);
uint32_t rig_vector(rig_model *m, uint32_t count, double mean, double deviation);
uint32_t rig_input(rig_model *m, uint32_t width);
uint32_t rig_input_ids(rig_model *m, uint32_t width, uint32_t ids);
uint32_t rig_slot(rig_model *m, uint32_t width); /* of all rows */
void rig_output(rig_model *m, uint32_t slot);
void rig_step(rig_model *m, const lm_step *step);
lm_step rig_make(uint32_t kind, uint32_t in0, uint32_t in1, uint32_t out);

/* What input number `input` holds. */
float rig_value(const rig_model *m, uint32_t input, uint32_t seq, uint32_t position,
                uint32_t column);
int32_t rig_id(const rig_model *m, uint32_t input, uint32_t seq, uint32_t position,
               uint32_t column);
int32_t rig_token(const rig_model *m, uint32_t seq, uint32_t position);
uint32_t rig_axis(uint32_t position, uint32_t axis); /* position on an axis */
bool rig_tree_sees(uint32_t row, uint32_t other);    /* rows of one run and sequence */

/* --- a device with the model on it ------------------------------------------------------------ */

typedef struct rig_options {
    const char *backend;
    uint32_t threads, page_tokens; /* 0: 1, 32 */
    uint32_t n_seqs, context;      /* 0: 4, RIG_CONTEXT */
    uint32_t k_format, v_format;   /* F32 is 0 */
    uint64_t shuffle;              /* order in which pages are given out */
    bool mapped;                   /* weights in place */
    bool free_pages;               /* window groups: give pages behind the window back */
    bool one_state;                /* write each state where it was read */
    bool fast;                     /* numerics that may depend on the number of rows */
    llm_parallel_fn parallel;
    uint32_t max_rows;        /* 0: 80 */
    bool unfused;             /* coarse steps are run as their primitives */
    uint64_t features_masked; /* instruction sets not to use */
    const struct rig *beside; /* an open one, to share the device of; NULL: a device of its own */
} rig_options;

typedef struct rig_seq {
    uint32_t length;
    uint32_t *pages[LM_MAX_GROUPS]; /* by page of the sequence */
    uint32_t n_pages[LM_MAX_GROUPS], first_page[LM_MAX_GROUPS];
    uint32_t state;            /* slot read next, LM_NONE at the start */
    float *results[RIG_SLOTS]; /* [RIG_CONTEXT, width] */
    bool have[RIG_SLOTS][RIG_CONTEXT];
} rig_seq;

typedef struct rig {
    const rig_model *m;
    rig_options o;
    test_memory memory;
    lm_host host;
    const lm_backend *backend;
    lm_device *device;
    lm_queue *queue;
    lm_weight *weights[RIG_WEIGHTS];
    lm_cache *caches[LM_MAX_GROUPS];
    lm_cache_desc cache_desc[LM_MAX_GROUPS];
    uint32_t members[LM_MAX_GROUPS][16];
    uint32_t slots_in[RIG_SLOTS], slots_out[RIG_SLOTS];
    lm_graph lowered; /* of coarse steps that the device does not take */
    lm_program_desc desc;
    lm_program *program;
    uint32_t *free_pages[LM_MAX_GROUPS];
    uint32_t n_free[LM_MAX_GROUPS], max_pages[LM_MAX_GROUPS];
    rig_seq seqs[RIG_SEQS];
} rig;

extern uint64_t rig_seed;       /* mixed into every model's numbers; 0: the usual ones */
extern const char *rig_modules; /* the folder of modules; NULL: beside the program */
const lm_backend *rig_backend(const char *name);

/* Opens and loads; asserts that all goes well. */
void rig_open(rig *r, const rig_model *m, const rig_options *o);
/* The same in parts that may fail, for the tests of failure. All may be undone by rig_close. */
void rig_prepare(rig *r, const rig_model *m, const rig_options *o);
int32_t rig_load(rig *r);
void rig_close(rig *r);

typedef struct rig_part {
    uint32_t seq, rows;
} rig_part;

int32_t rig_run(rig *r, const rig_part *parts, uint32_t n_parts);
/* As rig_run, but hands the run to `change` before it is used. */
int32_t rig_run_changed(rig *r, const rig_part *parts, uint32_t n_parts,
                        void (*change)(lm_run *run, void *user), void *user);

/* Brings every sequence to its length in `lengths`, in chunks; `together`: one chunk of each in
 * every run, else one sequence after the other. */
void rig_feed(rig *r, const uint32_t lengths[RIG_SEQS], uint32_t chunk, bool together);
/* A mixture of single rows, odd chunks and a long one, over three sequences. */
void rig_feed_mixed(rig *r);

/* The output row, or a failure when it was not computed. */
const float *rig_row(const rig *r, uint32_t output, uint32_t seq, uint32_t position);

/* Compares all rows both have: largest difference over the largest magnitude of the output. */
void rig_compare(const rig *got, const rig *wanted, double tolerance, const char *what);
double rig_difference(const rig *got, const rig *wanted, const char *what);
void rig_same(const rig *got, const rig *wanted, const char *what); /* bit for bit */

#endif
