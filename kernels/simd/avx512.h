// Scalar's members (scalar.h) over one 512-bit register. Needs AVX-512 F, BW, DQ, VL, VBMI and VNNI.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace candlewick {

struct Avx512 {
    static constexpr const char* name = "avx512";
    static constexpr int lanes = 16;
    static constexpr int max_linear_tile = 8;
    static constexpr int max_attention_rows = 6;
    static constexpr int attention_vectors = 4;

    using F32 = __m512;
    using I32 = __m512i;
    using Bytes = __m512i;
    using Mask = __mmask16;

    // -- floats ---------------------------------------------------------------------------------------------------
    static F32 zero() { return _mm512_setzero_ps(); }
    static F32 set1(float x) { return _mm512_set1_ps(x); }
    static F32 load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, F32 a) { _mm512_storeu_ps(p, a); }
    static F32 load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
    static void store_first(float* p, F32 a, int n) { _mm512_mask_storeu_ps(p, first(n), a); }
    static F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
    static F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
    static F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
    static F32 div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
    static F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
    static F32 fnma(F32 a, F32 b, F32 c) { return _mm512_fnmadd_ps(a, b, c); }
    static F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
    static F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
    static F32 abs(F32 a) { return _mm512_abs_ps(a); }
    static F32 round(F32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static F32 scale(F32 a, F32 exponent) { return _mm512_scalef_ps(a, exponent); }
    static float sum(F32 a) {
        const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
    static float max_lane(F32 a) {
        const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
        const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
    }

    // -- pairs of lanes -------------------------------------------------------------------------------------------
    static F32 swap_pairs(F32 a) { return _mm512_permute_ps(a, 0b10110001); }
    static F32 load_twice(const float* p, int n) {
        const __m256 eight = _mm256_maskz_loadu_ps(__mmask8((1u << n) - 1u), p);
        const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(eight));
    }

    // -- half precision -------------------------------------------------------------------------------------------
    static F32 load_half(const uint16_t* p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static void store_half(uint16_t* p, F32 a) {
        const __m256i half = _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), half);
    }
    static F32 load_half_first(const uint16_t* p, int n) {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
    }
    static void store_half_first(uint16_t* p, F32 a, int n) {
        _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    static F32 load_bfloat(const uint16_t* p) {
        const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
    }

    // -- masks ----------------------------------------------------------------------------------------------------
    static Mask less(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    static Mask greater_equal(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
    static Mask first(int n) { return Mask((1u << n) - 1u); }
    static F32 select(Mask mask, F32 a, F32 b) { return _mm512_mask_blend_ps(mask, b, a); }
    static uint32_t mask_bits(Mask mask) { return mask; }

    // -- 32-bit integers ------------------------------------------------------------------------------------------
    static I32 zero_int() { return _mm512_setzero_si512(); }
    static I32 set1_int(int32_t x) { return _mm512_set1_epi32(x); }
    static I32 load_int(const void* p) { return _mm512_loadu_si512(p); }
    static void store_int(void* p, I32 a) { _mm512_storeu_si512(p, a); }
    static I32 add_int(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
    static I32 sub_int(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
    static I32 mul_int(I32 a, I32 b) { return _mm512_mullo_epi32(a, b); }
    static I32 and_int(I32 a, I32 b) { return _mm512_and_si512(a, b); }
    static I32 or_int(I32 a, I32 b) { return _mm512_or_si512(a, b); }
    template <int N>
    static I32 shift_left(I32 a) {
        return _mm512_slli_epi32(a, N);
    }
    template <int N>
    static I32 shift_right(I32 a) {
        return _mm512_srli_epi32(a, N);
    }
    template <int N>
    static I32 shift_right_signed(I32 a) {
        return _mm512_srai_epi32(a, N);
    }
    static F32 to_float(I32 a) { return _mm512_cvtepi32_ps(a); }
    static I32 round_to_int(F32 a) {
        return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static F32 bits_to_float(I32 a) { return _mm512_castsi512_ps(a); }
    static I32 float_to_bits(F32 a) { return _mm512_castps_si512(a); }
    static void store_low_bytes(void* p, I32 a) {
        _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
    }

    // -- dot products ---------------------------------------------------------------------------------------------
    using Dots = I32;
    using Scale = I32;
    static constexpr int most_dot_steps(int) { return 8; }
    static constexpr int most_dot_steps_wide = 8;
    static constexpr int dot_chains = 2;
    static Dots zero_dots() { return zero_int(); }
    static Scale as_scale(I32 scale) { return scale; }
    static I32 add_dots(I32 total, Dots dots) { return add_int(total, dots); }
    static I32 add_scaled(I32 total, Dots dots, Scale scale) { return add_int(total, mul_int(dots, scale)); }
    // `low` and the upper half of `high`, each 16 bits, times the halves of `scale`.
    static I32 add_scaled_halves(I32 total, I32 low, I32 high, Scale scale) {
        const I32 both = _mm512_mask_blend_epi16(0x55555555, high, low);
        return _mm512_dpwssd_epi32(total, both, scale);
    }
    // Byte I of each lane in both of its halves.
    template <int I>
    static Scale byte_in_halves(I32 bytes) {
        constexpr int32_t first = int32_t(0x80008000u | I << 16 | I), lane = 0x00040004;
        const __m128i places = _mm_setr_epi32(first, first + lane, first + 2 * lane, first + 3 * lane);
        return _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(places));
    }
    // The broadcast is folded into the instruction by hand: compilers load it into a register of its own. Volatile, so
    // that the products stay in the order in which they are written: reordered, they need more registers than there are.
    static I32 dot4(I32 sum, Bytes w, const int8_t* a) {
#if defined(__GNUC__)
        struct Four {
            int8_t byte[4];
        };
        asm volatile("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*reinterpret_cast<const Four*>(a)));
        return sum;
#else
        int32_t four;
        __builtin_memcpy(&four, a, 4);
        return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
#endif
    }
    static constexpr int dot4_wide_offset = 0;
    static I32 dot4_wide(I32 sum, Bytes w, const int8_t* a) { return dot4(sum, w, a); }
    static I32 dot2(I32 sum, I32 w, const int16_t* pair) {
#if defined(__GNUC__)
        struct Two {
            int16_t value[2];
        };
        asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*reinterpret_cast<const Two*>(pair)));
        return sum;
#else
        int32_t both;
        __builtin_memcpy(&both, pair, 4);
        return _mm512_dpwssd_epi32(sum, w, _mm512_set1_epi32(both));
#endif
    }

    // -- unpacking ------------------------------------------------------------------------------------------------
    static Bytes load_bytes(const void* p) { return _mm512_loadu_si512(p); }
    // A line of which several values are unpacked; compilers would load it again for each.
    static I32 load_line(const void* p) {
        I32 line = load_int(p);
#if defined(__GNUC__)
        asm("" : "+v"(line));
#endif
        return line;
    }
    static I32 as_int(Bytes a) { return a; }
    static Bytes as_bytes(I32 a) { return a; }
    static Bytes look_up(Bytes index, const uint8_t* table) {
        const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(sixteen), index);
    }
    static I32 widen_unsigned(const uint8_t* p) {
        return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static I32 widen_signed(const int8_t* p) {
        return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

    // -- parts ----------------------------------------------------------------------------------------------------
    static constexpr int num_linear_parts = 1;
    template <class Function>
    static void for_each_linear_part(Function&& function) {
        function.template operator()<Avx512>();
    }
};

}    // namespace candlewick
