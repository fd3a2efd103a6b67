#include "simd/neon.h"

#include "isa/make_kernels.h"

namespace candlewick {

extern const Kernels neon_kernels;
constinit const Kernels neon_kernels = make_kernels<Neon>();

}    // namespace candlewick
