/* host_device - what backends that compute in host memory share: the device structure, the class of
 * each step kind, and the queue that has always finished. Everything starts with lhost_. */
#ifndef LM_BACKENDS_HOST_DEVICE_H
#define LM_BACKENDS_HOST_DEVICE_H

#include "backend/backend.h"

typedef struct lhost_device lhost_device;

/* One run of one program, while it runs. */
typedef struct lhost_run {
    lhost_device *device;
    lm_program *program;
    const lm_run *run;
    size_t index; /* of the step being run */
} lhost_run;

/* How a backend does one kind of step. */
typedef struct lhost_step_class {
    int32_t (*run)(lhost_run *r, const lm_step *step); /* NULL: not this kind */
    /* Bytes of scratch it wants while it runs; NULL: none. */
    uint64_t (*scratch)(const lhost_device *d, const lm_program_desc *desc, const lm_step *step);
} lhost_step_class;

/* What makes one backend different from the next. */
typedef struct lhost_kind {
    const lhost_step_class *steps; /* [LM_STEP_COUNT] */
    bool cache_by_head;            /* a page holds [head][token][dim]; else [token][head][dim] */
    /* Both optional. `plan` answers the bytes a program keeps beside slots and scratch, and fills
     * `tags` [n_steps] with a number of its own per step when not NULL; `begin` prepares a run. */
    uint64_t (*plan)(const lhost_device *d, const lm_program_desc *desc, uint32_t *tags);
    int32_t (*begin)(lhost_run *r);
} lhost_kind;

struct lhost_device {
    lm_device base;
    lm_host host;
    const lhost_kind *kind;
    size_t size;         /* of the structure this one begins */
    lm_allocator books;  /* structures */
    lm_allocator memory; /* weights, pages, workspaces: what the memory plan promises */
};

/* A zeroed structure of `size` bytes that begins with an lhost_device. */
int32_t lhost_device_create(const lm_host *host, const lm_backend *backend, const lhost_kind *kind,
                            size_t size, lhost_device **out);
void lhost_device_close(lm_device *device);
uint64_t lhost_device_bytes(lm_device *device);
/* Memory as the system tells it; name and threads are the backend's to fill in. */
void lhost_device_memory(lm_device_info *out);

/* Work is done when its call returns, so a ticket is only a number. */
int32_t lhost_queue_create(lm_device *device, lm_queue **out);
void lhost_queue_destroy(lm_device *device, lm_queue *queue);
int32_t lhost_queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket);
int32_t lhost_queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns);

#endif
