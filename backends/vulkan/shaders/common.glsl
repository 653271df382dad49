// common.glsl - what every shader includes first: extensions, pointers, the run block, the workgroup.
// The host's side of the run block is run_block.h.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int32 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_control_flow_attributes : require

// Specialisation constant 0 is the workgroup's size; a shader's own constants start at 1.
layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
#define LOCAL gl_WorkGroupSize.x

// Pointers to plain arrays: F32s(address).v[i].
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32s { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer I32s { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32s { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer U64s { uint64_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer U16s { uint16_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer U8s { uint8_t v[]; };

#define NONE 0xffffffffu
#define ROWS_ALL    0u
#define ROWS_WANTED 1u
#define ROWS_SEQS   2u

#define MAX_GROUPS 4

// One sequence's part of one cache group.
struct RunPages {
    uint64_t pages;      // address of U64s: pages[i] is the address of the page that holds the slots from
                         // (first_page + i) * page_tokens on
    uint64_t state_read; // address of the state read; 0: start from zeros
    uint64_t state_write;
    uint n_pages, first_page;
};

struct RunSeq {
    uint first_row, n_rows;
    uint past; // tokens in the cache before this run
    uint flags;
    RunPages groups[MAX_GROUPS];
};

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer RunSeqs { RunSeq v[]; };

// All of a run that shaders see. Rows of one sequence are adjacent and in order.
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Run {
    uint count[3];           // by kind: rows, wanted rows, sequences
    uint ancestor_words;     // 32-bit words of `ancestors` per row
    I32s tokens;             // [rows]; negative: the row of `embeddings` is used
    F32s embeddings;         // [rows, width]
    U32s positions;          // [rows, 4]
    U32s slots;              // [rows] the token's place in its sequence's cache
    U32s row_seq;            // [rows]
    U32s visible_end;        // [rows] first slot the row does not see
    U32s wanted;             // [wanted] row numbers, rising
    RunSeqs seqs;            // [seqs]
    uint64_t ancestors;      // address of U32s: [rows, ancestor_words] bit j: the row sees row j; or 0
};

// The one thing pushed: where this step's arguments lie, and the run block. A shader that has arguments
// says PUSH(its struct) and reads push.args.*, push.run.*.
#define PUSH(Struct)                                                                                  \
    layout(push_constant, scalar) uniform Push { Struct args; Run run; } push

// The row of the run behind row `i` of a slot that has all rows or the wanted ones.
#define RUN_ROW(kind, i) ((kind) == ROWS_WANTED ? push.run.wanted.v[i] : (i))
