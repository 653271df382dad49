// linear_tile.glsl - a workgroup's tile of a product, TILE_ROWS rows of the weight by COLUMNS places:
// which it is, who loads what of it, and where it goes.

layout(constant_id = 4) const uint COLUMNS = 32; // 16, 32 or 64
const uint TILE_ROWS = 64;
const uint EACH = COLUMNS / 16; // an invocation computes 8 rows of EACH columns

shared uint places[COLUMNS];

// Which part and matrix this tile is of, and how many places it has; their numbers go to `places`.
uint find_places(out uint matrix)
{
    find_part(TILE_ROWS);
    uint first, live, n = gl_LocalInvocationID.x;
    if (MODE == MODE_EXPERTS) {
        U32s order = U32s(push.args.order);
        if (gl_WorkGroupID.y >= order.v[0])
            return 0;
        uint entry = 1 + 3 * gl_WorkGroupID.y;
        matrix = order.v[entry];
        first = order.v[entry + 1];
        live = order.v[entry + 2];
        if (n < live)
            places[n] = order.v[first + n];
    } else {
        uint count = push.run.count[push.args.kind];
        first = gl_WorkGroupID.y * COLUMNS;
        matrix = gl_WorkGroupID.z;
        live = first < count ? min(COLUMNS, count - first) : 0;
        if (n < live)
            places[n] = MODE == MODE_HEADS ? (first + n) * push.args.matrices + matrix : first + n;
    }
    return live;
}

// The row of the weight and the input that this invocation loads; 0: none.
uint64_t loaded_row(uint matrix)
{
    return weight_row(matrix, tile * TILE_ROWS + gl_LocalInvocationID.x % TILE_ROWS);
}

uint64_t loaded_input(uint live)
{
    uint n = gl_LocalInvocationID.x % COLUMNS;
    return n < live ? from_place(places[n]) : 0;
}

// Sums of invocation i: rows 4 (i % 8) to + 3 and those 32 further, columns i / 8 and every sixteenth.
void store_tile(vec4 sums[2][EACH], uint matrix, uint live)
{
    uint tm = gl_LocalInvocationID.x % 8, tn = gl_LocalInvocationID.x / 8;
    for (uint j = 0; j < EACH; j++) {
        uint column = tn + 16 * j;
        for (uint i = 0; i < 8 && column < live; i++) {
            uint row = tile * TILE_ROWS + i / 4 * 32 + tm * 4 + i % 4;
            if (row < push.args.parts[part].rows)
                store(matrix, places[column], row, sums[i / 4][j][i % 4]);
        }
    }
}
