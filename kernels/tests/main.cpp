// Tests of the kernels, without a framework. CMake builds them as `kernel_tests`; it exits with 1 when a check fails.
#include "tests/check.h"

int main() {
    using namespace candlewick::tests;
    for (const candlewick::Kernels* kernels : all_kernels()) std::printf("instruction set: %s\n", kernels->name);
    test_rows();
    test_attention();
    test_sampling();
    std::printf("%d checks, %d failed\n", results().checks, results().failures);
    return results().failures == 0 ? 0 : 1;
}
