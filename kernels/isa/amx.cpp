// AMX tiles for products with many tokens; all else is AVX-512.
#include "isa/kernels.h"
#include "ops/linear_amx.h"

namespace candlewick {

extern const Kernels avx512_kernels;

namespace {

// Up to 8 tokens the vector units read the weights once. From then on unpacking a panel to bytes pays, at once where that is
// cheap (linear_amx.h), later where it is not.
template <class Panel>
constexpr int fewest_tokens = Panel::k_family && has_minimum(Panel::scaling) ? 9 : 12;

// The more tokens, the less the unpacking costs each; all processors with AMX have a second-level cache of 2 MiB.
constexpr size_t group_bytes = size_t(1792) << 10;

void linear(const LinearTask& task) {
    const bool done = with_quantised_type(task.type, false, [&]<TensorType T>() {
        if (task.num_tokens < fewest_tokens<PanelOf<T>>) return false;
        if constexpr (PanelOf<T>::k_family)
            linear_amx_super<T>(task);
        else
            linear_amx_block<T>(task);
        return true;
    });
    if (!done) avx512_kernels.linear(task);
}

}    // namespace

Kernels make_amx_kernels() {
    Kernels kernels = avx512_kernels;
    kernels.name = "amx";
    kernels.linear = linear;
    kernels.group_bytes = group_bytes;
    return kernels;
}

}    // namespace candlewick
