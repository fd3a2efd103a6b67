// Elementary functions over 16 lanes.
//
// Polynomials in a fixed order of fused multiply-adds, so that every instruction set gives the same bits.
#pragma once

namespace candlewick {

// e^x, at most 1 ulp off. Below -126 ln 2 (about -87.34), where results would be subnormal and slow, it is 0; it
// overflows to infinity, and NaN stays NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a minimax polynomial (relative error 3.1e-9).
template <class S>
static inline typename S::F32 exp(typename S::F32 x) {
    using F32 = typename S::F32;
    const F32 clamped = S::min(S::set1(89.0f), x);    // the second operand is kept where it is NaN
    const F32 n = S::round(S::mul(clamped, S::set1(0x1.715476p+0f)));
    // ln 2 in two parts, the first short enough for an exact product.
    F32 r = S::fnma(n, S::set1(0x1.62e4p-1f), clamped);
    r = S::fnma(n, S::set1(1.4286068202862268e-06f), r);

    F32 p = S::set1(0x1.6a23d0p-10f);
    p = S::fma(p, r, S::set1(0x1.123a20p-7f));
    p = S::fma(p, r, S::set1(0x1.5558f2p-5f));
    p = S::fma(p, r, S::set1(0x1.555492p-3f));
    p = S::fma(p, r, S::set1(0x1.fffffcp-2f));
    p = S::fma(p, r, S::set1(1.0f));
    p = S::fma(p, r, S::set1(1.0f));

    return S::select(S::less(x, S::set1(-87.336544f)), S::zero(), S::scale(p, n));
}

// x / (1 + e^-x).
template <class S>
static inline typename S::F32 silu(typename S::F32 x) {
    const typename S::F32 one = S::set1(1.0f);
    return S::div(x, S::add(one, exp<S>(S::sub(S::zero(), x))));
}

}    // namespace candlewick
