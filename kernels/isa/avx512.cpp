#include "simd/avx512.h"

#include "isa/make_kernels.h"

namespace candlewick {

extern const Kernels avx512_kernels;
constinit const Kernels avx512_kernels = make_kernels<Avx512>();

}    // namespace candlewick
