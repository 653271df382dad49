/* model - one opened model file: metadata, tokenizer, and the network its architecture describes. Knows
 * nothing of devices; loading weights is lib/plan's. Immutable once open. */
#ifndef LM_MODEL_MODEL_H
#define LM_MODEL_MODEL_H

#include "arch/arch.h"
#include "format/gguf.h"
#include "text/tokenizer.h"

/* Where a weight of the network lies in the file. */
typedef struct lm_weight_source {
    const lm_gguf_tensor *tensor;
    uint64_t offset; /* of the view, in the tensor's bytes */
} lm_weight_source;

/* A part that could not be made is not fatal: a vocabulary-only file has no network, and metadata of an
 * unknown architecture can still be read. The failure is kept and told to whoever needs the part. */
typedef struct lm_part_status {
    int32_t code;
    char message[LM_MESSAGE_SIZE];
} lm_part_status;

typedef struct lm_model {
    lm_allocator *alloc;
    lm_log log;
    lm_arena arena;
    lm_gguf *gguf; /* owned */
    char arch_name[64];
    const lm_arch *arch;
    lm_hparams h;
    uint32_t *roles; /* [(n_layers + 1) * LM_ROLE_COUNT] weight indices */
    lm_network network;
    lm_weight_source *sources; /* [network.n_weights] */
    size_t sources_capacity;
    lm_part_status network_status;
    lm_tokenizer *tokenizer;
    lm_part_status tokenizer_status;
    uint32_t context;        /* the network was emitted for sequences of at most this */
    uint64_t fingerprint[2]; /* of the tensor table and samples of the data */
} lm_model;

typedef struct lm_model_options {
    uint32_t context;     /* 0: the model's own */
    bool vocabulary_only; /* do not look at the architecture */
} lm_model_options;

/* Takes over `gguf`, also on failure. */
int32_t lm_model_create(lm_allocator *alloc, const lm_log *log, lm_gguf *gguf,
                        const lm_model_options *options, lm_model **out);
void lm_model_destroy(lm_model *m);

int32_t lm_model_need_network(const lm_model *m);
int32_t lm_model_need_tokenizer(const lm_model *m);

/* --- inner pieces, one file each -------------------------------------------------------------- */

int32_t lm_hparams_read(lm_model *m);    /* hparams.c: fills m->h from metadata by the tables */
int32_t lm_weights_resolve(lm_model *m); /* weights.c: fills network.weights, sources and roles */

#endif
