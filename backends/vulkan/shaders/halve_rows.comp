// halve_rows.comp - rows of inputs as F16 for cooperative matrices, each under a power of two that brings
// its largest value to 2^14 or above, so that none overflows and few are lost. Rows are filled up with
// zeros to multiples of 32. One workgroup for each row. x: `times` for each row of the run.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "bytes.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from;
    uint64_t to;  // [rows, cols rounded up to 32] halves
    F32s scales;  // [rows] what to multiply sums by
    uint kind, times, cols;
};
PUSH(Args);

shared float peaks[LOCAL];

float largest_of(uint first)
{
    uint lane = gl_LocalInvocationID.x;
    float peak = 0;
    for (uint i = lane; i < push.args.cols; i += LOCAL) {
        float size = abs(push.args.from.v[first + i]);
        peak = size <= 3.4028234e38 ? max(peak, size) : peak; // a row with others is lost anyway
    }
    peaks[lane] = peak;
    for (uint half_way = LOCAL / 2; half_way > 0; half_way /= 2) {
        barrier();
        if (lane < half_way)
            peaks[lane] = max(peaks[lane], peaks[lane + half_way]);
    }
    barrier();
    return peaks[0];
}

void main()
{
    uint row = gl_WorkGroupID.x, cols = push.args.cols, padded = (cols + 31) / 32 * 32;
    if (row >= push.run.count[push.args.kind] * push.args.times)
        return;
    uint first = row * cols;
    uint exponent = max(floatBitsToUint(largest_of(first)) >> 23, 15u);
    float factor = uintBitsToFloat((268u - exponent) << 23);
    for (uint i = 2 * gl_LocalInvocationID.x; i < padded; i += 2 * LOCAL) {
        vec2 x = vec2(i < cols ? push.args.from.v[first + i] : 0,
                      i + 1 < cols ? push.args.from.v[first + i + 1] : 0);
        U32s(push.args.to).v[(row * padded + i) / 2] = packHalf2x16(x * factor);
    }
    if (gl_LocalInvocationID.x == 0)
        push.args.scales.v[row] = uintBitsToFloat((exponent - 14u) << 23);
}
