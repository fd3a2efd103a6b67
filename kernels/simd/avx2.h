// Scalar's members (scalar.h) over two 256-bit registers, but for what products of quantised matrices use: they go over
// a panel in two halves (avx2_half.h). Needs AVX2, FMA and F16C.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/avx2_half.h"

namespace candlewick {

struct Avx2 {
    static constexpr const char* name = "avx2";
    static constexpr int lanes = 16;
    static constexpr int max_attention_rows = 3;
    static constexpr int attention_vectors = 2;

    struct F32 {
        __m256 low, high;    // lanes 0 … 7 and 8 … 15
    };
    struct I32 {
        __m256i low, high;
    };
    using Bytes = I32;
    struct Mask {
        __m256 low, high;
    };

    // -- floats ---------------------------------------------------------------------------------------------------
    static F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static F32 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
    static F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static void store(float* p, F32 a) {
        _mm256_storeu_ps(p, a.low);
        _mm256_storeu_ps(p + 8, a.high);
    }
    static F32 load_first(const float* p, int n) {
        const Mask mask = first(n);
        return {_mm256_maskload_ps(p, _mm256_castps_si256(mask.low)),
                _mm256_maskload_ps(p + 8, _mm256_castps_si256(mask.high))};
    }
    static void store_first(float* p, F32 a, int n) {
        const Mask mask = first(n);
        _mm256_maskstore_ps(p, _mm256_castps_si256(mask.low), a.low);
        _mm256_maskstore_ps(p + 8, _mm256_castps_si256(mask.high), a.high);
    }
    static F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
    static F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
    static F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
    static F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
    static F32 fma(F32 a, F32 b, F32 c) {
        return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
    }
    static F32 fnma(F32 a, F32 b, F32 c) {
        return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
    }
    static F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
    static F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
    static F32 abs(F32 a) {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
    }
    static F32 round(F32 a) {
        constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        return {_mm256_round_ps(a.low, nearest), _mm256_round_ps(a.high, nearest)};
    }
    // Two factors, since 2^128 by itself is no float.
    static F32 scale(F32 a, F32 exponent) {
        const I32 whole = round_to_int(exponent);
        const I32 half = shift_right_signed<1>(whole);
        return mul(mul(a, power_of_two(half)), power_of_two(sub_int(whole, half)));
    }
    static float sum(F32 a) {
        const __m256 eight = _mm256_add_ps(a.low, a.high);
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
    static float max_lane(F32 a) {
        const __m256 eight = _mm256_max_ps(a.low, a.high);
        const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
    }

    // -- pairs of lanes -------------------------------------------------------------------------------------------
    static F32 swap_pairs(F32 a) {
        return {_mm256_permute_ps(a.low, 0b10110001), _mm256_permute_ps(a.high, 0b10110001)};
    }
    static F32 load_twice(const float* p, int n) {
        const __m256 eight = _mm256_maskload_ps(p, _mm256_castps_si256(first(n).low));
        return {_mm256_permutevar8x32_ps(eight, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                _mm256_permutevar8x32_ps(eight, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
    }

    // -- half precision -------------------------------------------------------------------------------------------
    static F32 load_half(const uint16_t* p) {
        return {_mm256_cvtph_ps(load_half_register(p)), _mm256_cvtph_ps(load_half_register(p + 8))};
    }
    static void store_half(uint16_t* p, F32 a) {
        constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.low, nearest));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.high, nearest));
    }
    static F32 load_half_first(const uint16_t* p, int n) {
        uint16_t half[lanes] = {};
        __builtin_memcpy(half, p, size_t(n) * sizeof(uint16_t));
        return load_half(half);
    }
    static void store_half_first(uint16_t* p, F32 a, int n) {
        uint16_t half[lanes];
        store_half(half, a);
        __builtin_memcpy(p, half, size_t(n) * sizeof(uint16_t));
    }
    static F32 load_bfloat(const uint16_t* p) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half_register(p)), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half_register(p + 8)), 16))};
    }

    // -- masks ----------------------------------------------------------------------------------------------------
    static Mask less(F32 a, F32 b) {
        return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
    }
    static Mask greater_equal(F32 a, F32 b) {
        return {_mm256_cmp_ps(a.low, b.low, _CMP_GE_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GE_OQ)};
    }
    static Mask first(int n) {
        const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), index)),
                _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), index))};
    }
    static F32 select(Mask mask, F32 a, F32 b) {
        return {_mm256_blendv_ps(b.low, a.low, mask.low), _mm256_blendv_ps(b.high, a.high, mask.high)};
    }
    static uint32_t mask_bits(Mask mask) {
        return uint32_t(_mm256_movemask_ps(mask.low)) | uint32_t(_mm256_movemask_ps(mask.high)) << 8;
    }

    // -- 32-bit integers ------------------------------------------------------------------------------------------
    static I32 zero_int() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static I32 set1_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
    static I32 load_int(const void* p) {
        const auto* halves = static_cast<const __m256i*>(p);
        return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
    }
    static void store_int(void* p, I32 a) {
        auto* halves = static_cast<__m256i*>(p);
        _mm256_storeu_si256(halves, a.low);
        _mm256_storeu_si256(halves + 1, a.high);
    }
    static I32 add_int(I32 a, I32 b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
    static I32 sub_int(I32 a, I32 b) { return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)}; }
    static I32 mul_int(I32 a, I32 b) { return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)}; }
    static I32 and_int(I32 a, I32 b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
    static I32 or_int(I32 a, I32 b) { return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)}; }
    template <int N>
    static I32 shift_left(I32 a) {
        return {_mm256_slli_epi32(a.low, N), _mm256_slli_epi32(a.high, N)};
    }
    template <int N>
    static I32 shift_right(I32 a) {
        return {_mm256_srli_epi32(a.low, N), _mm256_srli_epi32(a.high, N)};
    }
    template <int N>
    static I32 shift_right_signed(I32 a) {
        return {_mm256_srai_epi32(a.low, N), _mm256_srai_epi32(a.high, N)};
    }
    static F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
    static I32 round_to_int(F32 a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
    static F32 bits_to_float(I32 a) { return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)}; }
    static I32 float_to_bits(F32 a) { return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)}; }
    static void store_low_bytes(void* p, I32 a) {
        const __m256i mask = _mm256_set1_epi32(255);
        const __m256i words =
            _mm256_packus_epi32(_mm256_and_si256(a.low, mask), _mm256_and_si256(a.high, mask));
        const __m256i ordered = _mm256_permute4x64_epi64(words, 0b11011000);
        _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packus_epi16(_mm256_castsi256_si128(ordered),
                                                                    _mm256_extracti128_si256(ordered, 1)));
    }

    static I32 widen_signed(const int8_t* p) {
        return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
    }
    static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

    // -- parts ----------------------------------------------------------------------------------------------------
    static constexpr int max_linear_tile = Avx2Half<0>::max_linear_tile;
    static constexpr int num_linear_parts = 2;
    template <class Function>
    static void for_each_linear_part(Function&& function) {
        function.template operator()<Avx2Half<0>>();
        function.template operator()<Avx2Half<1>>();
    }

  private:
    static F32 power_of_two(I32 exponent) {
        return bits_to_float(shift_left<23>(add_int(exponent, set1_int(127))));
    }
    static __m128i load_half_register(const uint16_t* p) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    }
};

}    // namespace candlewick
