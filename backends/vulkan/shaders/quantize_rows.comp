// quantize_rows.comp - rows of inputs in blocks of 32 signed bytes under one scale, for integer dot
// products: 48 bytes a block, see linear_dot.glsl. A block with a value that is not finite gets the
// scale NaN. One invocation for each block. x: blocks of a row; y: rows, `times` for each of the run.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "bytes.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    uint64_t from, to;
    uint kind, times, cols;
};
PUSH(Args);

void main()
{
    uint row = gl_WorkGroupID.y, block = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[push.args.kind] * push.args.times || block >= push.args.cols / 32)
        return;
    uint64_t from = push.args.from + (uint64_t(row) * push.args.cols + block * 32) * 4;
    uint64_t to = push.args.to + (uint64_t(row) * (push.args.cols / 32) + block) * 48;
    vec4 x[8];
    float largest = 0;
    bool finite = true;
    for (uint j = 0; j < 8; j++) {
        x[j] = uintBitsToFloat(QuadAt(from + 16 * j).v);
        vec4 size = abs(x[j]);
        largest = max(largest, max(max(size.x, size.y), max(size.z, size.w)));
        finite = finite && !any(isnan(size)) && !any(isinf(size));
    }
    float factor = largest == 0 ? 0 : min(127 / largest, 3.4028234e38);
    int sums[2] = {0, 0};
    for (uint j = 0; j < 8; j++) {
        ivec4 q = finite ? ivec4(roundEven(x[j] * factor)) : ivec4(0);
        sums[j / 4] += q.x + q.y + q.z + q.w;
        U32s(to).v[j] = uint(q.x) & 255u | (uint(q.y) & 255u) << 8 | (uint(q.z) & 255u) << 16 | uint(q.w) << 24;
    }
    F32s(to).v[8] = finite ? largest / 127 : uintBitsToFloat(0x7fc00000u);
    U32s(to).v[9] = uint(sums[0]) & 0xffffu | uint(sums[1]) << 16;
}
