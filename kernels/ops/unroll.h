// A loop whose index is a constant in every round.
#pragma once

#include <utility>

namespace candlewick {

template <class Function, int... I>
static inline __attribute__((always_inline)) void unroll(std::integer_sequence<int, I...>, Function&& function) {
    (function.template operator()<I>(), ...);
}

// function.operator()<0>() … <N - 1>(), so that shifts and offsets are constants.
template <int N, class Function>
static inline __attribute__((always_inline)) void unroll(Function&& function) {
    unroll(std::make_integer_sequence<int, N>{}, static_cast<Function&&>(function));
}

}    // namespace candlewick
