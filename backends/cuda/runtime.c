/* runtime.c - the table of calls over CUDA's runtime, which is linked statically. */
#include "backends/cuda/library.h"

#include <cuda_runtime_api.h>

#include <string.h>

static const char *error_text(lcu_result error)
{
    return cudaGetErrorString((cudaError_t)error);
}

/* Errors are answered once: what the runtime remembers is cleared. */
static lcu_result answer(cudaError_t error)
{
    if (error != cudaSuccess)
        (void)cudaGetLastError();
    return (lcu_result)error;
}

static lcu_result device_count(int *count)
{
    return answer(cudaGetDeviceCount(count));
}

static lcu_result attribute(int index, enum cudaDeviceAttr what, uint32_t *out)
{
    int value = 0;
    lcu_result error = answer(cudaDeviceGetAttribute(&value, what, index));
    *out = (uint32_t)value;
    return error;
}

static lcu_result device_properties(int index, lcu_properties *out)
{
    struct cudaDeviceProp p;
    uint32_t major = 0, minor = 0, cache = 0;
    lcu_result error = answer(cudaGetDeviceProperties(&p, index));
    memset(out, 0, sizeof *out);
    if (error == LCU_OK)
        error = attribute(index, cudaDevAttrComputeCapabilityMajor, &major);
    if (error == LCU_OK)
        error = attribute(index, cudaDevAttrComputeCapabilityMinor, &minor);
    if (error == LCU_OK)
        error = attribute(index, cudaDevAttrMultiProcessorCount, &out->processors);
    if (error == LCU_OK)
        error = attribute(index, cudaDevAttrMaxSharedMemoryPerBlockOptin, &out->shared_bytes);
    if (error == LCU_OK)
        error = attribute(index, cudaDevAttrL2CacheSize, &cache);
    if (error != LCU_OK)
        return error;
    memcpy(out->name, p.name, sizeof out->name - 1);
    memcpy(out->uuid, &p.uuid, sizeof out->uuid);
    out->memory = p.totalGlobalMem;
    out->capability = major * 10 + minor;
    out->cache_bytes = cache;
    return LCU_OK;
}

static lcu_result device_use(int index)
{
    return answer(cudaSetDevice(index));
}

static lcu_result memory_info(size_t *free, size_t *total)
{
    return answer(cudaMemGetInfo(free, total));
}

/* --- memory ----------------------------------------------------------------------------------- */

static lcu_result memory_take(size_t bytes, void **out)
{
    return answer(cudaMalloc(out, bytes));
}

static lcu_result memory_give(void *memory)
{
    return answer(cudaFree(memory));
}

static lcu_result pinned_take(size_t bytes, void **out)
{
    return answer(cudaMallocHost(out, bytes));
}

static lcu_result pinned_give(void *memory)
{
    return answer(cudaFreeHost(memory));
}

/* --- streams and events ----------------------------------------------------------------------- */

static lcu_result stream_create(lcu_stream *out)
{
    return answer(cudaStreamCreateWithFlags((cudaStream_t *)out, cudaStreamNonBlocking));
}

static lcu_result stream_destroy(lcu_stream stream)
{
    return answer(cudaStreamDestroy(stream));
}

static lcu_result stream_wait(lcu_stream stream)
{
    return answer(cudaStreamSynchronize(stream));
}

static lcu_result event_create(bool timing, lcu_event *out)
{
    return answer(cudaEventCreateWithFlags((cudaEvent_t *)out,
                                           timing ? cudaEventDefault : cudaEventDisableTiming));
}

static lcu_result event_destroy(lcu_event event)
{
    return answer(cudaEventDestroy(event));
}

static lcu_result event_record(lcu_event event, lcu_stream stream)
{
    return answer(cudaEventRecord(event, stream));
}

static lcu_result event_query(lcu_event event)
{
    return answer(cudaEventQuery(event));
}

static lcu_result event_wait(lcu_event event)
{
    return answer(cudaEventSynchronize(event));
}

static lcu_result event_elapsed(lcu_event from, lcu_event to, float *milliseconds)
{
    return answer(cudaEventElapsedTime(milliseconds, from, to));
}

/* --- work ------------------------------------------------------------------------------------- */

static lcu_result copy(void *to, const void *from, size_t bytes, int direction, lcu_stream stream)
{
    static const enum cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                                cudaMemcpyDeviceToDevice};
    return answer(cudaMemcpyAsync(to, from, bytes, kinds[direction], stream));
}

static lcu_result set(void *at, int byte, size_t bytes, lcu_stream stream)
{
    return answer(cudaMemsetAsync(at, byte, bytes, stream));
}

static lcu_result launch(const void *function, const void *args, size_t args_bytes,
                         const lcu_shape *shape, lcu_stream stream)
{
    (void)args_bytes;
    cudaLaunchAttribute early;
    memset(&early, 0, sizeof early);
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config;
    memset(&config, 0, sizeof config);
    config.gridDim = (dim3){shape->grid[0], shape->grid[1], shape->grid[2]};
    config.blockDim = (dim3){shape->threads, 1, 1};
    config.dynamicSmemBytes = shape->shared_bytes;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = shape->early ? 1 : 0;
    void *all[] = {(void *)(uintptr_t)args};
    return answer(cudaLaunchKernelExC(&config, function, all));
}

static lcu_result kernel_shared(const void *function, uint32_t bytes)
{
    return answer(
        cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
}

/* --- graphs ----------------------------------------------------------------------------------- */

static lcu_result record_begin(lcu_stream stream)
{
    return answer(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
}

static lcu_result record_end(lcu_stream stream, lcu_graph *out)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    *out = NULL;
    lcu_result error = answer(cudaStreamEndCapture(stream, &graph));
    if (error == LCU_OK)
        error = answer(cudaGraphInstantiate(&ready, graph, 0));
    if (graph != NULL)
        (void)answer(cudaGraphDestroy(graph));
    if (error == LCU_OK)
        *out = ready;
    return error;
}

static lcu_result graph_launch(lcu_graph graph, lcu_stream stream)
{
    return answer(cudaGraphLaunch(graph, stream));
}

static lcu_result graph_destroy(lcu_graph graph)
{
    return answer(cudaGraphExecDestroy(graph));
}

/* --- the library ------------------------------------------------------------------------------ */

static lcu_result library_open(lcu_library *out)
{
    return lcu_library_open(out);
}

static lcu_result library_close(lcu_library *library)
{
    lcu_library_close(library);
    return LCU_OK;
}

static lcu_result library_product(const lcu_library *library, const lcu_gemm *gemm,
                                  lcu_stream stream)
{
    return lcu_library_product(library, gemm, stream);
}

#define CALL(name) .name = name,
const lcu_api lcu_calls = {LCU_CALLS(CALL)};
