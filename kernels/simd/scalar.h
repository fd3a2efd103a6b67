// The specification of the vector type that every kernel is written over: 16 lanes, one operation after the other.
//
// Each instruction set has a struct with the same members (scalar.h, avx2.h, avx512.h, neon.h); a kernel is a template over it.
// All members are exact IEEE operations or exact integer operations, so every instruction set gives the same bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace candlewick {

struct Scalar {
    static constexpr const char* name = "scalar";
    static constexpr int lanes = 16;
    static constexpr int max_linear_tile = 1;       // tokens that one pass over a panel serves
    static constexpr int max_attention_rows = 1;    // query rows that share one read of the keys or values
    static constexpr int attention_vectors = 1;     // vectors of keys or values that they multiply in one pass

    struct F32 {
        float lane[lanes];
    };
    struct I32 {
        int32_t lane[lanes];
    };
    struct Bytes {
        uint8_t byte[64];    // lane r holds the bytes 4r … 4r + 3
    };
    struct Mask {
        bool lane[lanes];
    };

    template <class Function>
    static F32 each(Function function) {
        F32 out;
        for (int i = 0; i < lanes; ++i) out.lane[i] = function(i);
        return out;
    }
    template <class Function>
    static I32 each_int(Function function) {
        I32 out;
        for (int i = 0; i < lanes; ++i) out.lane[i] = function(i);
        return out;
    }

    // -- floats ---------------------------------------------------------------------------------------------------
    static F32 zero() { return set1(0.0f); }
    static F32 set1(float x) {
        return each([&](int) { return x; });
    }
    static F32 load(const float* p) {
        return each([&](int i) { return p[i]; });
    }
    static void store(float* p, F32 a) { std::memcpy(p, a.lane, sizeof a.lane); }
    // The first n lanes (0 <= n <= 16); the others are zero, and memory behind them is not touched.
    static F32 load_first(const float* p, int n) {
        return each([&](int i) { return i < n ? p[i] : 0.0f; });
    }
    static void store_first(float* p, F32 a, int n) {
        for (int i = 0; i < n; ++i) p[i] = a.lane[i];
    }
    static F32 add(F32 a, F32 b) {
        return each([&](int i) { return a.lane[i] + b.lane[i]; });
    }
    static F32 sub(F32 a, F32 b) {
        return each([&](int i) { return a.lane[i] - b.lane[i]; });
    }
    static F32 mul(F32 a, F32 b) {
        return each([&](int i) { return a.lane[i] * b.lane[i]; });
    }
    static F32 div(F32 a, F32 b) {
        return each([&](int i) { return a.lane[i] / b.lane[i]; });
    }
    // a * b + c with one rounding.
    static F32 fma(F32 a, F32 b, F32 c) {
        return each([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
    }
    // c - a * b with one rounding.
    static F32 fnma(F32 a, F32 b, F32 c) {
        return each([&](int i) { return __builtin_fmaf(-a.lane[i], b.lane[i], c.lane[i]); });
    }
    // As x86: the second operand where either is NaN or the two are equal.
    static F32 max(F32 a, F32 b) {
        return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static F32 min(F32 a, F32 b) {
        return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static F32 abs(F32 a) {
        return each([&](int i) { return std::fabs(a.lane[i]); });
    }
    // To the nearest whole number, ties to even.
    static F32 round(F32 a) {
        return each([&](int i) { return std::nearbyintf(a.lane[i]); });
    }
    // a * 2^exponent in one rounding, for whole exponents from -126 to 128 and 0.5 <= a < 2; elsewhere undefined, but
    // for NaN, which stays NaN.
    static F32 scale(F32 a, F32 exponent) {
        return each([&](int i) {
            const float e = exponent.lane[i];
            return e >= -126.0f && e <= 128.0f ? __builtin_ldexpf(a.lane[i], int(e)) : a.lane[i];
        });
    }
    // Sum in a fixed tree: lanes i and i + 8, then i and i + 4, i + 2, i + 1.
    static float sum(F32 a) {
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) a.lane[i] = a.lane[i] + a.lane[i + half];
        return a.lane[0];
    }
    static float max_lane(F32 a) {
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
        return a.lane[0];
    }

    // -- pairs of lanes -------------------------------------------------------------------------------------------
    // Lanes 2i and 2i + 1 change places.
    static F32 swap_pairs(F32 a) {
        return each([&](int i) { return a.lane[i ^ 1]; });
    }
    // p[i] in lanes 2i and 2i + 1 for the first n (0 <= n <= 8) numbers; the other lanes are zero.
    static F32 load_twice(const float* p, int n) {
        return each([&](int i) { return i / 2 < n ? p[i / 2] : 0.0f; });
    }

    // -- half precision -------------------------------------------------------------------------------------------
    static float half_to_float(uint16_t h) {
        const uint32_t sign = uint32_t(h & 0x8000u) << 16;
        const uint32_t exponent = (h >> 10) & 0x1f;
        const uint32_t fraction = h & 0x3ffu;
        uint32_t bits;
        if (exponent == 0x1f) {
            bits = sign | 0x7f800000u | (fraction << 13) | (fraction ? 0x400000u : 0);    // NaNs become quiet
        } else if (exponent != 0) {
            bits = sign | ((exponent + 112) << 23) | (fraction << 13);
        } else {
            const float magnitude = float(fraction) * 5.9604644775390625e-8f;    // 2^-24
            std::memcpy(&bits, &magnitude, 4);
            bits |= sign;
        }
        float out;
        std::memcpy(&out, &bits, 4);
        return out;
    }
    // To nearest, ties to even; overflow gives infinity.
    static uint16_t float_to_half(float x) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        const uint32_t sign = (bits >> 16) & 0x8000u;
        const uint32_t magnitude = bits & 0x7fffffffu;
        if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
        if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);
        if (magnitude < 0x38800000u) {    // subnormal: let the addition round
            float shifted;
            std::memcpy(&shifted, &magnitude, 4);
            shifted += 0.5f;
            uint32_t rounded;
            std::memcpy(&rounded, &shifted, 4);
            return uint16_t(sign | (rounded - 0x3f000000u));
        }
        const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
        return uint16_t(sign | ((rounded - 0x38000000u) >> 13));
    }
    static F32 load_half(const uint16_t* p) {
        return each([&](int i) { return half_to_float(p[i]); });
    }
    static void store_half(uint16_t* p, F32 a) {
        for (int i = 0; i < lanes; ++i) p[i] = float_to_half(a.lane[i]);
    }
    // The first n lanes, as load_first and store_first.
    static F32 load_half_first(const uint16_t* p, int n) {
        return each([&](int i) { return i < n ? half_to_float(p[i]) : 0.0f; });
    }
    static void store_half_first(uint16_t* p, F32 a, int n) {
        for (int i = 0; i < n; ++i) p[i] = float_to_half(a.lane[i]);
    }
    static F32 load_bfloat(const uint16_t* p) {
        return each([&](int i) {
            const uint32_t bits = uint32_t(p[i]) << 16;
            float out;
            std::memcpy(&out, &bits, 4);
            return out;
        });
    }

    // -- masks ----------------------------------------------------------------------------------------------------
    static Mask less(F32 a, F32 b) {
        Mask out;
        for (int i = 0; i < lanes; ++i) out.lane[i] = a.lane[i] < b.lane[i];
        return out;
    }
    static Mask greater_equal(F32 a, F32 b) {
        Mask out;
        for (int i = 0; i < lanes; ++i) out.lane[i] = a.lane[i] >= b.lane[i];
        return out;
    }
    // Lanes 0 … n - 1.
    static Mask first(int n) {
        Mask out;
        for (int i = 0; i < lanes; ++i) out.lane[i] = i < n;
        return out;
    }
    // Where the mask holds a, elsewhere b.
    static F32 select(Mask mask, F32 a, F32 b) {
        return each([&](int i) { return mask.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    // Bit i is lane i.
    static uint32_t mask_bits(Mask mask) {
        uint32_t out = 0;
        for (int i = 0; i < lanes; ++i) out |= uint32_t(mask.lane[i]) << i;
        return out;
    }

    // -- 32-bit integers ------------------------------------------------------------------------------------------
    static I32 zero_int() { return set1_int(0); }
    static I32 set1_int(int32_t x) {
        return each_int([&](int) { return x; });
    }
    static I32 load_int(const void* p) {
        I32 out;
        std::memcpy(out.lane, p, sizeof out.lane);
        return out;
    }
    static I32 load_line(const void* p) { return load_int(p); }    // planes of weights, used several times
    static void store_int(void* p, I32 a) { std::memcpy(p, a.lane, sizeof a.lane); }
    static I32 add_int(I32 a, I32 b) {
        return each_int([&](int i) { return int32_t(uint32_t(a.lane[i]) + uint32_t(b.lane[i])); });
    }
    static I32 sub_int(I32 a, I32 b) {
        return each_int([&](int i) { return int32_t(uint32_t(a.lane[i]) - uint32_t(b.lane[i])); });
    }
    static I32 mul_int(I32 a, I32 b) {
        return each_int([&](int i) { return int32_t(uint32_t(a.lane[i]) * uint32_t(b.lane[i])); });
    }
    static I32 and_int(I32 a, I32 b) {
        return each_int([&](int i) { return a.lane[i] & b.lane[i]; });
    }
    static I32 or_int(I32 a, I32 b) {
        return each_int([&](int i) { return a.lane[i] | b.lane[i]; });
    }
    template <int N>
    static I32 shift_left(I32 a) {
        return each_int([&](int i) { return int32_t(uint32_t(a.lane[i]) << N); });
    }
    template <int N>
    static I32 shift_right(I32 a) {    // zeros come in
        return each_int([&](int i) { return int32_t(uint32_t(a.lane[i]) >> N); });
    }
    template <int N>
    static I32 shift_right_signed(I32 a) {
        return each_int([&](int i) { return a.lane[i] >> N; });
    }
    static F32 to_float(I32 a) {    // to nearest, ties to even
        return each([&](int i) { return float(a.lane[i]); });
    }
    static I32 round_to_int(F32 a) {    // to nearest, ties to even; out of range and NaN give INT32_MIN, as x86 does
        return each_int([&](int i) {
            const float x = a.lane[i];
            return x >= -2147483648.0f && x < 2147483648.0f ? int32_t(std::nearbyintf(x)) : INT32_MIN;
        });
    }
    static F32 bits_to_float(I32 a) {
        F32 out;
        std::memcpy(out.lane, a.lane, sizeof out.lane);
        return out;
    }
    static I32 float_to_bits(F32 a) {
        I32 out;
        std::memcpy(out.lane, a.lane, sizeof out.lane);
        return out;
    }
    // The low byte of each lane, 16 bytes.
    static void store_low_bytes(void* p, I32 a) {
        for (int i = 0; i < lanes; ++i) static_cast<uint8_t*>(p)[i] = uint8_t(a.lane[i]);
    }

    // -- dot products ---------------------------------------------------------------------------------------------
    // The products may be kept in narrower sums, `Dots`, for as many steps as they surely fit.
    using Dots = I32;
    using Scale = I32;
    static constexpr int most_dot_steps(int) { return 8; }    // of weights with so many bits, and |a| <= 127
    static constexpr int most_dot_steps_wide = 8;
    static constexpr int dot_chains = 1;    // how many sums of dots a token has at once: 1 or 2
    static Dots zero_dots() { return zero_int(); }
    static Scale as_scale(I32 scale) { return scale; }    // of at most 8 bits and a sign
    static I32 add_dots(I32 total, Dots dots) { return add_int(total, dots); }
    static I32 add_scaled(I32 total, Dots dots, Scale scale) { return add_int(total, mul_int(dots, scale)); }
    // lane r += sum over b of (unsigned byte 4r + b of w) * (signed byte b of a[0 … 3]); w must be below 128.
    static Dots dot4(Dots sum, Bytes w, const int8_t* a) {
        return each_int([&](int r) {
            int32_t out = sum.lane[r];
            for (int b = 0; b < 4; ++b) out += int32_t(w.byte[4 * r + b]) * a[b];
            return out;
        });
    }
    // The same for any w, but for a constant: the result is the sum over (w - dot4_wide_offset) * a.
    static constexpr int dot4_wide_offset = 0;
    static Dots dot4_wide(Dots sum, Bytes w, const int8_t* a) { return dot4(sum, w, a); }
    // lane r += (low int16 of w) * pair[0] + (high int16 of w) * pair[1].
    static I32 dot2(I32 sum, I32 w, const int16_t* pair) {
        return each_int([&](int r) {
            return sum.lane[r] + int32_t(int16_t(w.lane[r])) * pair[0] + (w.lane[r] >> 16) * pair[1];
        });
    }

    // -- unpacking ------------------------------------------------------------------------------------------------
    static Bytes load_bytes(const void* p) {
        Bytes out;
        std::memcpy(out.byte, p, 64);
        return out;
    }
    static I32 as_int(Bytes a) {
        I32 out;
        std::memcpy(out.lane, a.byte, 64);
        return out;
    }
    static Bytes as_bytes(I32 a) {
        Bytes out;
        std::memcpy(out.byte, a.lane, 64);
        return out;
    }
    // Every byte below 16 becomes table[byte].
    static Bytes look_up(Bytes index, const uint8_t* table) {
        Bytes out;
        for (int i = 0; i < 64; ++i) out.byte[i] = table[index.byte[i] & 15];
        return out;
    }
    // 16 unsigned or signed bytes, widened.
    static I32 widen_signed(const int8_t* p) {
        return each_int([&](int i) { return int32_t(p[i]); });
    }
    static I32 widen_unsigned(const uint8_t* p) {
        return each_int([&](int i) { return int32_t(p[i]); });
    }
    static void prefetch(const void*) {}

    // -- parts ----------------------------------------------------------------------------------------------------
    // Matrix products may go over a panel in parts of its rows, each with a vector type of its own, so that more
    // tokens find room in the registers.
    static constexpr int num_linear_parts = 1;
    template <class Function>
    static void for_each_linear_part(Function&& function) {
        function.template operator()<Scalar>();
    }
};

}    // namespace candlewick
