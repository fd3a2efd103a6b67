// Tests of the kernels, without a framework; exits with 1 when a check fails. To build and run:
//   cmake -S . -B build/kernels -DCANDLEWICK_BUILD_TESTS=ON -DCMAKE_BUILD_TYPE=Release
//   cmake --build build/kernels --target kernel_tests && build/kernels/kernel_tests
// With -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined -O1" it takes some minutes.
#include "tests/check.h"

int main() {
    using namespace candlewick::tests;
    for (const candlewick::Kernels* kernels : all_kernels()) std::printf("instruction set: %s\n", kernels->name);
    test_rows();
    test_linear();
    test_program();
    test_attention();
    test_sampling();
    test_thread_pool();
    std::printf("%d checks, %d failed\n", results().checks, results().failures);
    return results().failures == 0 ? 0 : 1;
}
