// Scalar's members (scalar.h) over four 128-bit registers. Needs AArch64 with the dot product extension (Armv8.2 and
// later: Apple's M series, Graviton 2, Raspberry Pi 5).
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace candlewick {

struct Neon {
    static constexpr const char* name = "neon";
    static constexpr int lanes = 16;
    static constexpr int max_linear_tile = 2;
    static constexpr int max_attention_rows = 3;
    static constexpr int attention_vectors = 2;

    struct F32 {
        float32x4_t part[4];    // lanes 4i … 4i + 3
    };
    struct I32 {
        int32x4_t part[4];
    };
    struct Bytes {
        uint8x16_t part[4];
    };
    struct Mask {
        uint32x4_t part[4];
    };

    // The result of function(0) … function(3) as the parts of a vector.
    template <class Vector, class Function>
    static Vector each(Function function) {
        return {{function(0), function(1), function(2), function(3)}};
    }

    // -- floats ---------------------------------------------------------------------------------------------------
    static F32 zero() { return set1(0.0f); }
    static F32 set1(float x) {
        return each<F32>([&](int) { return vdupq_n_f32(x); });
    }
    static F32 load(const float* p) {
        return each<F32>([&](int i) { return vld1q_f32(p + 4 * i); });
    }
    static void store(float* p, F32 a) {
        for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.part[i]);
    }
    static F32 load_first(const float* p, int n) {
        float all[lanes] = {};
        std::memcpy(all, p, size_t(n) * sizeof(float));
        return load(all);
    }
    static void store_first(float* p, F32 a, int n) {
        float all[lanes];
        store(all, a);
        std::memcpy(p, all, size_t(n) * sizeof(float));
    }
    static F32 add(F32 a, F32 b) {
        return each<F32>([&](int i) { return vaddq_f32(a.part[i], b.part[i]); });
    }
    static F32 sub(F32 a, F32 b) {
        return each<F32>([&](int i) { return vsubq_f32(a.part[i], b.part[i]); });
    }
    static F32 mul(F32 a, F32 b) {
        return each<F32>([&](int i) { return vmulq_f32(a.part[i], b.part[i]); });
    }
    static F32 div(F32 a, F32 b) {
        return each<F32>([&](int i) { return vdivq_f32(a.part[i], b.part[i]); });
    }
    static F32 fma(F32 a, F32 b, F32 c) {
        return each<F32>([&](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
    }
    static F32 fnma(F32 a, F32 b, F32 c) {
        return each<F32>([&](int i) { return vfmsq_f32(c.part[i], a.part[i], b.part[i]); });
    }
    // By comparison: Arm's own maximum and minimum treat NaN and the two zeros otherwise.
    static F32 max(F32 a, F32 b) {
        return each<F32>([&](int i) { return larger(a.part[i], b.part[i]); });
    }
    static F32 min(F32 a, F32 b) {
        return each<F32>([&](int i) {
            return vbslq_f32(vcltq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]);
        });
    }
    static F32 abs(F32 a) {
        return each<F32>([&](int i) { return vabsq_f32(a.part[i]); });
    }
    static F32 round(F32 a) {
        return each<F32>([&](int i) { return vrndnq_f32(a.part[i]); });
    }
    // Two factors, since 2^128 by itself is no float.
    static F32 scale(F32 a, F32 exponent) {
        const I32 whole = round_to_int(exponent);
        const I32 half = shift_right_signed<1>(whole);
        return mul(mul(a, power_of_two(half)), power_of_two(sub_int(whole, half)));
    }
    static float sum(F32 a) {
        const float32x4_t four =
            vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
        const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
        return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
    }
    static float max_lane(F32 a) {
        const float32x4_t four = larger(larger(a.part[0], a.part[2]), larger(a.part[1], a.part[3]));
        const float32x4_t two = larger(four, vextq_f32(four, four, 2));
        return vgetq_lane_f32(larger(two, vextq_f32(two, two, 1)), 0);
    }

    // -- pairs of lanes -------------------------------------------------------------------------------------------
    static F32 swap_pairs(F32 a) {
        return each<F32>([&](int i) { return vrev64q_f32(a.part[i]); });
    }
    static F32 load_twice(const float* p, int n) {
        float all[8] = {};
        std::memcpy(all, p, size_t(n) * sizeof(float));
        const float32x4_t low = vld1q_f32(all), high = vld1q_f32(all + 4);
        return {{vzip1q_f32(low, low), vzip2q_f32(low, low), vzip1q_f32(high, high), vzip2q_f32(high, high)}};
    }

    // -- half precision -------------------------------------------------------------------------------------------
    static F32 load_half(const uint16_t* p) {
        return each<F32>([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
    }
    static void store_half(uint16_t* p, F32 a) {
        for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.part[i])));
    }
    static F32 load_half_first(const uint16_t* p, int n) {
        uint16_t half[lanes] = {};
        std::memcpy(half, p, size_t(n) * sizeof(uint16_t));
        return load_half(half);
    }
    static void store_half_first(uint16_t* p, F32 a, int n) {
        uint16_t half[lanes];
        store_half(half, a);
        std::memcpy(p, half, size_t(n) * sizeof(uint16_t));
    }
    static F32 load_bfloat(const uint16_t* p) {
        return each<F32>([&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
    }

    // -- masks ----------------------------------------------------------------------------------------------------
    static Mask less(F32 a, F32 b) {
        return each<Mask>([&](int i) { return vcltq_f32(a.part[i], b.part[i]); });
    }
    static Mask greater_equal(F32 a, F32 b) {
        return each<Mask>([&](int i) { return vcgeq_f32(a.part[i], b.part[i]); });
    }
    static Mask first(int n) {
        const uint32_t index[4] = {0, 1, 2, 3};
        return each<Mask>([&](int i) {
            const int32_t left = n - 4 * i;
            return vcltq_u32(vld1q_u32(index), vdupq_n_u32(left > 0 ? uint32_t(left) : 0));
        });
    }
    static F32 select(Mask mask, F32 a, F32 b) {
        return each<F32>([&](int i) { return vbslq_f32(mask.part[i], a.part[i], b.part[i]); });
    }
    static uint32_t mask_bits(Mask mask) {
        const uint32_t weights[4] = {1, 2, 4, 8};
        uint32_t bits = 0;
        for (int i = 0; i < 4; ++i) bits |= vaddvq_u32(vandq_u32(mask.part[i], vld1q_u32(weights))) << (4 * i);
        return bits;
    }

    // -- 32-bit integers ------------------------------------------------------------------------------------------
    static I32 zero_int() { return set1_int(0); }
    static I32 set1_int(int32_t x) {
        return each<I32>([&](int) { return vdupq_n_s32(x); });
    }
    static I32 load_int(const void* p) {
        const auto* bytes = static_cast<const uint8_t*>(p);
        return each<I32>([&](int i) { return vreinterpretq_s32_u8(vld1q_u8(bytes + 16 * i)); });
    }
    static I32 load_line(const void* p) { return load_int(p); }
    static void store_int(void* p, I32 a) {
        auto* bytes = static_cast<uint8_t*>(p);
        for (int i = 0; i < 4; ++i) vst1q_u8(bytes + 16 * i, vreinterpretq_u8_s32(a.part[i]));
    }
    static I32 add_int(I32 a, I32 b) {
        return each<I32>([&](int i) { return vaddq_s32(a.part[i], b.part[i]); });
    }
    static I32 sub_int(I32 a, I32 b) {
        return each<I32>([&](int i) { return vsubq_s32(a.part[i], b.part[i]); });
    }
    static I32 mul_int(I32 a, I32 b) {
        return each<I32>([&](int i) { return vmulq_s32(a.part[i], b.part[i]); });
    }
    static I32 and_int(I32 a, I32 b) {
        return each<I32>([&](int i) { return vandq_s32(a.part[i], b.part[i]); });
    }
    static I32 or_int(I32 a, I32 b) {
        return each<I32>([&](int i) { return vorrq_s32(a.part[i], b.part[i]); });
    }
    template <int N>
    static I32 shift_left(I32 a) {
        if constexpr (N == 0)
            return a;
        else
            return each<I32>([&](int i) { return vshlq_n_s32(a.part[i], N); });
    }
    template <int N>
    static I32 shift_right(I32 a) {
        if constexpr (N == 0)
            return a;
        else
            return each<I32>([&](int i) {
                return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a.part[i]), N));
            });
    }
    template <int N>
    static I32 shift_right_signed(I32 a) {
        if constexpr (N == 0)
            return a;
        else
            return each<I32>([&](int i) { return vshrq_n_s32(a.part[i], N); });
    }
    static F32 to_float(I32 a) {
        return each<F32>([&](int i) { return vcvtq_f32_s32(a.part[i]); });
    }
    // Arm's conversion saturates and makes NaN 0; what is out of range becomes INT32_MIN here, as on x86.
    static I32 round_to_int(F32 a) {
        const float32x4_t end = vdupq_n_f32(2147483648.0f);
        return each<I32>([&](int i) {
            const uint32x4_t inside = vcaltq_f32(a.part[i], end);
            return vbslq_s32(inside, vcvtnq_s32_f32(a.part[i]), vdupq_n_s32(INT32_MIN));
        });
    }
    static F32 bits_to_float(I32 a) {
        return each<F32>([&](int i) { return vreinterpretq_f32_s32(a.part[i]); });
    }
    static I32 float_to_bits(F32 a) {
        return each<I32>([&](int i) { return vreinterpretq_s32_f32(a.part[i]); });
    }
    static void store_low_bytes(void* p, I32 a) {
        const int16x8_t low = vcombine_s16(vmovn_s32(a.part[0]), vmovn_s32(a.part[1]));
        const int16x8_t high = vcombine_s16(vmovn_s32(a.part[2]), vmovn_s32(a.part[3]));
        vst1q_s8(static_cast<int8_t*>(p), vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }

    // -- dot products ---------------------------------------------------------------------------------------------
    using Dots = I32;
    using Scale = I32;
    static constexpr int most_dot_steps(int) { return 8; }
    static constexpr int most_dot_steps_wide = 8;
    static constexpr int dot_chains = 1;
    static Dots zero_dots() { return zero_int(); }
    static Scale as_scale(I32 scale) { return scale; }
    static I32 add_dots(I32 total, Dots dots) { return add_int(total, dots); }
    static I32 add_scaled(I32 total, Dots dots, Scale scale) {
        return each<I32>([&](int i) { return vmlaq_s32(total.part[i], dots.part[i], scale.part[i]); });
    }
    // Weights below 128 are the same as signed bytes, which is what the instruction wants.
    static Dots dot4(Dots sum, Bytes w, const int8_t* a) {
        const int8x16_t four = broadcast(a);
        return each<I32>([&](int i) { return vdotq_s32(sum.part[i], vreinterpretq_s8_u8(w.part[i]), four); });
    }
    static constexpr int dot4_wide_offset = 128;
    static Dots dot4_wide(Dots sum, Bytes w, const int8_t* a) {
        const int8x16_t four = broadcast(a);
        return each<I32>([&](int i) {
            const int8x16_t centred = vreinterpretq_s8_u8(veorq_u8(w.part[i], vdupq_n_u8(128)));
            return vdotq_s32(sum.part[i], centred, four);
        });
    }
    static I32 dot2(I32 sum, I32 w, const int16_t* pair) {
        return each<I32>([&](int i) {
            const int32x4_t first = vmulq_n_s32(vshrq_n_s32(vshlq_n_s32(w.part[i], 16), 16), pair[0]);
            return vaddq_s32(sum.part[i], vmlaq_n_s32(first, vshrq_n_s32(w.part[i], 16), pair[1]));
        });
    }

    // -- unpacking ------------------------------------------------------------------------------------------------
    static Bytes load_bytes(const void* p) {
        const auto* bytes = static_cast<const uint8_t*>(p);
        return each<Bytes>([&](int i) { return vld1q_u8(bytes + 16 * i); });
    }
    static I32 as_int(Bytes a) {
        return each<I32>([&](int i) { return vreinterpretq_s32_u8(a.part[i]); });
    }
    static Bytes as_bytes(I32 a) {
        return each<Bytes>([&](int i) { return vreinterpretq_u8_s32(a.part[i]); });
    }
    static Bytes look_up(Bytes index, const uint8_t* table) {
        const uint8x16_t sixteen = vld1q_u8(table);
        return each<Bytes>([&](int i) { return vqtbl1q_u8(sixteen, index.part[i]); });
    }
    static I32 widen_unsigned(const uint8_t* p) {
        const uint8x16_t bytes = vld1q_u8(p);
        const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
        return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), vreinterpretq_s32_u32(vmovl_high_u16(low)),
                 vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), vreinterpretq_s32_u32(vmovl_high_u16(high))}};
    }
    static I32 widen_signed(const int8_t* p) {
        const int8x16_t bytes = vld1q_s8(p);
        const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
        return {{vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)),
                 vmovl_high_s16(high)}};
    }
    static void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

    // -- parts ----------------------------------------------------------------------------------------------------
    static constexpr int num_linear_parts = 1;
    template <class Function>
    static void for_each_linear_part(Function&& function) {
        function.template operator()<Neon>();
    }

  private:
    static float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static F32 power_of_two(I32 exponent) {
        return bits_to_float(shift_left<23>(add_int(exponent, set1_int(127))));
    }
    static int8x16_t broadcast(const int8_t* four_bytes) {
        int32_t four;
        std::memcpy(&four, four_bytes, 4);
        return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
};

}    // namespace candlewick
