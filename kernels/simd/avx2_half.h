// Eight of Scalar's 16 lanes (scalar.h) in one 256-bit register: what products of quantised matrices need of it.
//
// Addresses are those of all 16 lanes; Half is which eight of them are meant. Half a panel at a time leaves registers
// for six tokens, which share the work of unpacking the weights.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace candlewick {

template <int Half>
struct Avx2Half {
    static constexpr int max_linear_tile = 6;

    using F32 = __m256;
    using I32 = __m256i;
    using Bytes = __m256i;

    // -- floats ---------------------------------------------------------------------------------------------------
    static F32 zero() { return _mm256_setzero_ps(); }
    static F32 set1(float x) { return _mm256_set1_ps(x); }
    static F32 load(const float* p) { return _mm256_loadu_ps(p + 8 * Half); }
    static void store(float* p, F32 a) { _mm256_storeu_ps(p + 8 * Half, a); }
    static F32 mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
    static F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
    static F32 fnma(F32 a, F32 b, F32 c) { return _mm256_fnmadd_ps(a, b, c); }
    static F32 less(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
    static F32 select(F32 mask, F32 a, F32 b) { return _mm256_blendv_ps(b, a, mask); }
    static F32 load_half(const uint16_t* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8 * Half)));
    }

    // -- 32-bit integers ------------------------------------------------------------------------------------------
    static I32 zero_int() { return _mm256_setzero_si256(); }
    static I32 set1_int(int32_t x) { return _mm256_set1_epi32(x); }
    static I32 load_int(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p) + Half); }
    static I32 load_line(const void* p) {
        I32 line = load_int(p);
#if defined(__GNUC__)
        asm("" : "+x"(line));
#endif
        return line;
    }
    static I32 add_int(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
    static I32 sub_int(I32 a, I32 b) { return _mm256_sub_epi32(a, b); }
    static I32 mul_int(I32 a, I32 b) { return _mm256_mullo_epi32(a, b); }
    static I32 and_int(I32 a, I32 b) { return _mm256_and_si256(a, b); }
    static I32 or_int(I32 a, I32 b) { return _mm256_or_si256(a, b); }
    template <int N>
    static I32 shift_left(I32 a) {
        return _mm256_slli_epi32(a, N);
    }
    template <int N>
    static I32 shift_right(I32 a) {
        return _mm256_srli_epi32(a, N);
    }
    static F32 to_float(I32 a) { return _mm256_cvtepi32_ps(a); }
    static F32 bits_to_float(I32 a) { return _mm256_castsi256_ps(a); }

    // -- dot products ---------------------------------------------------------------------------------------------
    // vpmaddubsw leaves pairs of products in 16 bits. They are summed there, and one vpmaddwd brings both halves of a
    // lane together and multiplies them by the scale.
    using Dots = __m256i;     // 16 x 16 bits
    using Scale = __m256i;    // 16 bits, twice a lane
    static constexpr int most_dot_steps(int bits) { return 32767 / (2 * 127 * ((1 << bits) - 1)); }
    static constexpr int most_dot_steps_wide = 1;
    static constexpr int dot_chains = 1;
    static Dots zero_dots() { return _mm256_setzero_si256(); }
    static Scale as_scale(I32 scale) {
        return _mm256_blend_epi16(scale, _mm256_slli_epi32(scale, 16), 0b10101010);
    }
    static I32 add_dots(I32 total, Dots dots) { return add_scaled(total, dots, _mm256_set1_epi16(1)); }
    static I32 add_scaled(I32 total, Dots dots, Scale scale) {
        return _mm256_add_epi32(total, _mm256_madd_epi16(dots, scale));
    }
    static Dots dot4(Dots dots, Bytes w, const int8_t* a) {
        return in_order(_mm256_add_epi16(dots, _mm256_maddubs_epi16(w, broadcast(a))));
    }
    // vpmaddubsw would saturate on large unsigned weights: move the sign of (w - 128) to the activation instead.
    static constexpr int dot4_wide_offset = 128;
    static Dots dot4_wide(Dots dots, Bytes w, const int8_t* a) {
        const __m256i centred = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
        return in_order(_mm256_add_epi16(
            dots, _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(broadcast(a), centred))));
    }
    static I32 dot2(I32 sum, I32 w, const int16_t* pair) {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(w, broadcast(pair)));
    }

    // -- unpacking ------------------------------------------------------------------------------------------------
    static Bytes load_bytes(const void* p) { return load_int(p); }
    static Bytes as_bytes(I32 a) { return a; }
    static Bytes look_up(Bytes index, const uint8_t* table) {
        const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(sixteen), index);
    }
    static I32 widen_unsigned(const uint8_t* p) {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8 * Half)));
    }
    static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

  private:
    // Keeps sums in the order in which they are written. Compilers turn them into trees, whose leaves need more
    // registers than there are: half of the speed.
    static Dots in_order(Dots dots) {
#if defined(__GNUC__)
        asm volatile("" : "+x"(dots));
#endif
        return dots;
    }
    static __m256i broadcast(const void* four_bytes) {
        int32_t four;
        __builtin_memcpy(&four, four_bytes, 4);
        return _mm256_set1_epi32(four);
    }
};

}    // namespace candlewick
