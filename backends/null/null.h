/* null - a backend that computes nothing and checks everything. It validates each call, records it,
 * can fail on command and pretends to be up to sixteen devices of any size. Its "logits" are a hash
 * of the tokens a row sees, read back through the page tables, so a wrong table, slot or mask
 * changes them. What is declared here is for tests. */
#ifndef LM_BACKENDS_NULL_NULL_H
#define LM_BACKENDS_NULL_NULL_H

#include "backend/backend.h"

extern const lm_backend lm_backend_null;

#define LNULL_DEVICES 16u

/* clang-format off */
#define LNULL_CALLS(X)                                                                             \
    X(INFO) X(WEIGHT_QUERY) X(WEIGHT_LOAD) X(WEIGHT_DESTROY) X(CACHE_QUERY) X(CACHE_CREATE)        \
    X(CACHE_DESTROY) X(CACHE_GROW) X(PAGE_COPY) X(PAGE_MOVE) X(PAGE_EXPORT) X(PAGE_IMPORT)         \
    X(STEP_QUERY) X(PROGRAM_QUERY) X(PROGRAM_CREATE) X(PROGRAM_DESTROY) X(PROGRAM_RUN)             \
    X(SLOT_WRITE) X(SLOT_READ) X(QUEUE_CREATE) X(QUEUE_DESTROY) X(QUEUE_SIGNAL) X(QUEUE_WAIT)
/* clang-format on */

enum {
#define X(name) LNULL_##name,
    LNULL_CALLS(X)
#undef X
        LNULL_CALL_COUNT,
    LNULL_ANY = LNULL_CALL_COUNT
};

/* One call. For runs: rows, sequences, wanted rows; for pages: from and to; for growth: pages. */
typedef struct lnull_record {
    uint32_t call;
    uint32_t a, b, c;
} lnull_record;

/* Memory the device pretends to have; 0 (the default): no limit and unknown. */
void lnull_set_memory(lm_device *device, uint64_t bytes);
/* Weights in place and slots readable in place; false by default. */
void lnull_set_host_memory(lm_device *device, bool on);
/* Takes coarse steps as they are; false by default: the core lowers them. */
void lnull_set_coarse(lm_device *device, bool on);

/* The `nth` call of a kind from now on (counted from 1; LNULL_ANY: of all kinds) answers `status`.
 * One fault at a time; nth 0 takes it back. Calls that answer nothing (the destroying ones) cannot
 * fail. */
void lnull_fail(lm_device *device, uint32_t call, uint64_t nth, int32_t status);
/* From now on every call that can fail answers LLM_E_DEVICE. */
void lnull_lose(lm_device *device);

uint64_t lnull_count(const lm_device *device, uint32_t call); /* LNULL_ANY: all */
/* The last calls, oldest first: up to LNULL_RECORDS of them. */
#define LNULL_RECORDS 256u
size_t lnull_records(const lm_device *device, lnull_record *list, size_t capacity);
void lnull_forget(lm_device *device); /* counts and records start anew */

const char *lnull_call_name(uint32_t call);

#endif
