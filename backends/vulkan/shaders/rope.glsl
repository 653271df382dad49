// rope.glsl - pairs of a head's values turned by position times speed. Speeds are fractions of a turn in
// 64 bits, so that the product wraps where the angle does and loses nothing at far positions. For shaders
// whose arguments have
//
//   uint dims              rotated values of a head
//   uint sections[4]       pairs taken from each position axis, again and again; all 0: axis 0
//   float magnitude
//   uint64_t turns[]       [dims / 2]

// Of an angle in turns of 2^64.
void sincos(uint64_t angle, out float s, out float c)
{
    uint64_t shifted = angle + (uint64_t(1) << 61);
    uint quarter = uint(shifted >> 62);
    // what is left, within an eighth of a turn of the quarter's middle, as 2^-34 turns
    int rest = int(int64_t(angle - (uint64_t(quarter) << 62)) >> 30);
    precise float x = float(rest) * 3.6572951981346e-10; // 2 pi / 2^34
    precise float z = x * x;
    precise float sine = fma(fma(fma(-1.9515295891e-4, z, 8.3321608736e-3), z, -1.6666654611e-1) * z, x, x);
    precise float cosine = fma(fma(fma(2.443315711809948e-5, z, -1.388731625493765e-3), z,
                                   4.166664568298827e-2) * z - 0.5, z, 1.0);
    bool swap = (quarter & 1u) != 0;
    s = swap ? cosine : sine;
    c = swap ? sine : cosine;
    s = quarter >= 2 ? -s : s;
    c = quarter == 1 || quarter == 2 ? -c : c;
}

uint axis_of(uint pair)
{
    uint total = push.args.sections[0] + push.args.sections[1] + push.args.sections[2] +
                 push.args.sections[3];
    if (total == 0)
        return 0;
    uint at = pair % total, axis = 0;
    while (at >= push.args.sections[axis])
        at -= push.args.sections[axis++];
    return axis;
}

// A pair of a row of the run.
vec2 turned(uint run_row, uint pair, float x, float y)
{
    float s, c;
    sincos(push.run.positions.v[run_row * 4 + axis_of(pair)] * push.args.turns[pair], s, c);
    precise float sine = s * push.args.magnitude, cosine = c * push.args.magnitude;
    precise float turned_x = x * cosine - y * sine, turned_y = x * sine + y * cosine;
    return vec2(turned_x, turned_y);
}
