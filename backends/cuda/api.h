/* api - every CUDA call the backend makes, as one table of functions. The module has the table over
 * the CUDA runtime (runtime.c, the only file that includes CUDA's headers); tests have a fake
 * that runs kernels on the host. All functions answer CUDA's own error codes. */
#ifndef LM_BACKENDS_CUDA_API_H
#define LM_BACKENDS_CUDA_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int lcu_result; /* cudaError_t */
enum {
    LCU_OK = 0,
    LCU_OUT_OF_MEMORY = 2,
    LCU_OLD_DRIVER = 35,
    LCU_NO_DEVICE = 100,
    LCU_NOT_READY = 600,
};

typedef void *lcu_stream;
typedef void *lcu_event;
typedef void *lcu_graph; /* recorded and ready to be launched */

typedef struct lcu_properties {
    char name[128];
    uint8_t uuid[16];
    uint64_t memory;
    uint32_t capability;   /* 90 for 9.0 */
    uint32_t processors;   /* streaming multiprocessors */
    uint32_t shared_bytes; /* that one block may ask for */
    uint64_t cache_bytes;  /* of the second cache, which all processors share */
} lcu_properties;

enum { LCU_TO_DEVICE, LCU_TO_HOST, LCU_ON_DEVICE };

typedef struct lcu_shape {
    uint32_t grid[3];
    uint32_t threads, shared_bytes;
    bool early; /* may begin before the launch in front of it has ended */
} lcu_shape;

/* A library of products that may be there; see library.c. */
enum { LCU_LIBRARY_CALLS = 12 };
typedef struct lcu_library {
    void *module, *handle; /* handle NULL: absent */
    void *calls[LCU_LIBRARY_CALLS];
} lcu_library;

/* out[count][rows] = scale * x[count][cols] * weight[rows][cols] + residual; rows of weight and x are
 * `stride` values apart, those of the residual and the result `out_stride`. */
typedef struct lcu_gemm {
    const void *weight, *x; /* BF16 */
    uint32_t rows, cols, count, stride, out_stride;
    const float *residual; /* laid out as the result, or NULL */
    float *out;
    float scale;
    void *workspace;
    size_t workspace_bytes;
} lcu_gemm;

typedef struct lcu_api {
    const char *(*error_text)(lcu_result error);
    lcu_result (*device_count)(int *count);
    lcu_result (*device_properties)(int index, lcu_properties *out);
    lcu_result (*device_use)(int index); /* by this thread */
    lcu_result (*memory_info)(size_t *free, size_t *total);

    lcu_result (*memory_take)(size_t bytes, void **out); /* aligned to 256 */
    lcu_result (*memory_give)(void *memory);
    lcu_result (*pinned_take)(size_t bytes, void **out); /* host memory for asynchronous copies */
    lcu_result (*pinned_give)(void *memory);

    lcu_result (*stream_create)(lcu_stream *out);
    lcu_result (*stream_destroy)(lcu_stream stream);
    lcu_result (*stream_wait)(lcu_stream stream); /* by the host, for all of it */
    lcu_result (*event_create)(bool timing, lcu_event *out);
    lcu_result (*event_destroy)(lcu_event event);
    lcu_result (*event_record)(lcu_event event, lcu_stream stream);
    lcu_result (*event_query)(lcu_event event); /* LCU_NOT_READY */
    lcu_result (*event_wait)(lcu_event event);
    lcu_result (*event_elapsed)(lcu_event from, lcu_event to, float *milliseconds);

    /* On the stream; the host's side must be pinned. */
    lcu_result (*copy)(void *to, const void *from, size_t bytes, int direction, lcu_stream stream);
    lcu_result (*set)(void *at, int byte, size_t bytes, lcu_stream stream);
    /* `args` is the one argument of the kernel, copied before it returns. */
    lcu_result (*launch)(const void *function, const void *args, size_t args_bytes,
                         const lcu_shape *shape, lcu_stream stream);
    lcu_result (*kernel_shared)(const void *function,
                                uint32_t bytes); /* allows so much per block */

    lcu_result (*record_begin)(lcu_stream stream);
    lcu_result (*record_end)(lcu_stream stream, lcu_graph *out);
    lcu_result (*graph_launch)(lcu_graph graph, lcu_stream stream);
    lcu_result (*graph_destroy)(lcu_graph graph);

    lcu_result (*library_open)(lcu_library *out); /* LCU_OK when it is absent */
    lcu_result (*library_close)(lcu_library *library);
    lcu_result (*library_product)(const lcu_library *library, const lcu_gemm *gemm,
                                  lcu_stream stream);
} lcu_api;

/* All of them, for the tables. */
/* clang-format off */
#define LCU_CALLS(X)                                                                               \
    X(error_text) X(device_count) X(device_properties) X(device_use) X(memory_info)                \
    X(memory_take) X(memory_give) X(pinned_take) X(pinned_give)                                    \
    X(stream_create) X(stream_destroy) X(stream_wait)                                              \
    X(event_create) X(event_destroy) X(event_record) X(event_query) X(event_wait) X(event_elapsed) \
    X(copy) X(set) X(launch) X(kernel_shared)                                                      \
    X(record_begin) X(record_end) X(graph_launch) X(graph_destroy)                                 \
    X(library_open) X(library_close) X(library_product)
/* clang-format on */

extern const lcu_api lcu_calls;

#endif
