// scan_state.comp - the Mamba-2 recurrence, token after token. A workgroup has 8 values of a head of
// one sequence; LANES invocations share the state behind each, which stays in registers. Each token's
// sum over the state is taken by one invocation in fixed order. x: heads and their eighths of
// head_dim; y: sequences. 128 invocations.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

layout(constant_id = 1) const uint STATE = 128;
const uint LANES = 16, VALUES = 8, TOKENS = 8; // TOKENS: per exchange through shared memory
const uint EACH = (STATE + LANES - 1) / LANES;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s xbc;  // [rows, heads * head_dim + 2 * groups * STATE]: x, B, C
    F32s dt;   // [rows, heads]
    F32s to;   // [rows, heads * head_dim]
    F32s a;    // [heads]
    uint64_t d, dt_bias; // [heads] or 0
    uint heads, head_dim, groups;
    uint group, offset; // of the cache
};
PUSH(Args);

shared float parts[TOKENS][VALUES][LANES + 1];

void main()
{
    uint blocks = (push.args.head_dim + VALUES - 1) / VALUES;
    uint head = gl_WorkGroupID.x / blocks, s = gl_WorkGroupID.y;
    if (s >= push.run.count[ROWS_SEQS])
        return;
    RunSeq seq = push.run.seqs.v[s];
    uint lane = gl_LocalInvocationID.x % LANES, value = gl_LocalInvocationID.x / LANES;
    uint p = gl_WorkGroupID.x % blocks * VALUES + value;
    bool here = p < push.args.head_dim;
    uint inner = push.args.heads * push.args.head_dim;
    uint width = inner + 2 * push.args.groups * STATE;
    uint b_at = inner + head / (push.args.heads / push.args.groups) * STATE;
    uint c_at = b_at + push.args.groups * STATE, x_at = head * push.args.head_dim;
    uint64_t state_at = push.args.offset + uint64_t(x_at + p) * STATE * 4;
    float a = push.args.a.v[head], bias = 0, d = 0;
    if (push.args.dt_bias != 0)
        bias = F32s(push.args.dt_bias).v[head];
    if (push.args.d != 0)
        d = F32s(push.args.d).v[head];

    precise float h[EACH];
    uint64_t from = seq.groups[push.args.group].state_read;
    for (uint e = 0; e < EACH; e++) {
        uint n = e * LANES + lane;
        h[e] = from != 0 && here && n < STATE ? F32s(from + state_at).v[n] : 0;
    }
    for (uint first = 0; first < seq.n_rows; first += TOKENS) {
        uint tokens = min(TOKENS, seq.n_rows - first);
        for (uint t = 0; t < tokens; t++) {
            uint row = seq.first_row + first + t;
            F32s xbc = F32s(uint64_t(push.args.xbc) + uint64_t(row) * width * 4);
            precise float dt = push.args.dt.v[row * push.args.heads + head];
            dt = lm_act(ACT_SOFTPLUS, dt + bias);
            precise float decay = lm_exp(dt * a), gain = here ? dt * xbc.v[x_at + p] : 0, sum = 0;
            for (uint e = 0; e < EACH; e++) {
                uint n = e * LANES + lane;
                if (n >= STATE)
                    break;
                h[e] = fma(gain, xbc.v[b_at + n], h[e] * decay);
                sum = fma(h[e], xbc.v[c_at + n], sum);
            }
            parts[t][value][lane] = sum;
        }
        barrier();
        if (lane < tokens && here) {
            uint row = seq.first_row + first + lane;
            precise float y = 0;
            for (uint i = 0; i < LANES; i++)
                y = y + parts[lane][value][i];
            if (push.args.d != 0)
                y = fma(d, push.args.xbc.v[row * width + x_at + p], y);
            push.args.to.v[row * inner + x_at + p] = y;
        }
        barrier();
    }
    uint64_t to = seq.groups[push.args.group].state_write;
    for (uint e = 0; e < EACH; e++) {
        uint n = e * LANES + lane;
        if (here && n < STATE)
            F32s(to + state_at).v[n] = h[e];
    }
}
