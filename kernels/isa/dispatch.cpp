// Chooses among the compiled instruction sets at run time; none of them is used before the CPU was asked.
#include <cstring>

#include "isa/kernels.h"

#if defined(CANDLEWICK_ARM) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#if defined(CANDLEWICK_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace candlewick {

extern const Kernels scalar_kernels;
#if defined(CANDLEWICK_X86)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#if defined(CANDLEWICK_AMX)
Kernels make_amx_kernels();
#endif

namespace {

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

#if defined(CANDLEWICK_AMX)
// The tiles' state is large, so Linux wants to be asked before a process uses them (Documentation/arch/x86/xstate.rst).
bool has_amx() {
    unsigned eax, ebx, ecx, edx;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    const bool has_tiles = ((edx >> 24) & 1) && ((edx >> 25) & 1);
    constexpr long request_permission = 0x1023, tile_data = 18;
    return has_tiles && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

}    // namespace
#endif

#if defined(CANDLEWICK_ARM)
extern const Kernels neon_kernels;

namespace {

bool has_dot_products() {
#if defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
    return true;    // Apple's processors all have them
#endif
}

}    // namespace
#endif

const Kernels* const* available_kernels() {
    struct List {
        const Kernels* entries[5] = {};
        List() {
            int count = 0;
#if defined(CANDLEWICK_AMX)
            if (has_amx()) {
                // Even building this table takes the instructions that it is for.
                static const Kernels amx_kernels = make_amx_kernels();
                entries[count++] = &amx_kernels;
            }
#endif
#if defined(CANDLEWICK_X86)
            if (has_avx512()) entries[count++] = &avx512_kernels;
            if (has_avx2()) entries[count++] = &avx2_kernels;
#endif
#if defined(CANDLEWICK_ARM)
            if (has_dot_products()) entries[count++] = &neon_kernels;
#endif
            entries[count] = &scalar_kernels;
        }
    };
    static const List list;
    return list.entries;
}

const Kernels* find_kernels(const char* name) {
    const Kernels* const* all = available_kernels();
    if (*name == '\0') return all[0];
    for (; *all; ++all)
        if (std::strcmp((*all)->name, name) == 0) return *all;
    return nullptr;
}

}    // namespace candlewick
