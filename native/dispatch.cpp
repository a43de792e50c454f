// Which kernel tables this machine can run: the processor must have the instructions, and the operating
// system must save the registers they use.
#include "kernels.h"

#include <utility>

#if defined(GALAGO_X86)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(GALAGO_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace galago {
namespace {

#if defined(GALAGO_X86)

struct X86 {
    bool avx2 = false;
    bool avx512_vnni = false;
    bool avx512_bf16 = false;
    bool amx = false;
    bool amd = false;

    X86() {
        unsigned a = 0, b = 0, c = 0, d = 0;
        if (__get_cpuid(0, &a, &b, &c, &d) == 0) return;
        amd = b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
        if (__get_cpuid(1, &a, &b, &c, &d) == 0) return;
        const bool fma = bit(c, 12), xsave = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29);
        if (!xsave || !avx || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return;

        constexpr uint64_t avx_state = 0x06;     // XMM, YMM
        constexpr uint64_t avx512_state = 0xE6;  // and mask registers, upper halves of ZMM, ZMM 16-31
        const uint64_t saved = saved_state();
        avx2 = (saved & avx_state) == avx_state && bit(b, 5) && fma && f16c;
        const bool f = bit(b, 16), dq = bit(b, 17), bw = bit(b, 30), vl = bit(b, 31), vnni = bit(c, 11);
        avx512_vnni = avx2 && (saved & avx512_state) == avx512_state && f && dq && bw && vl && vnni;
        constexpr uint64_t amx_state = 0x60000;  // tiles and their shapes
        const bool int8 = bit(d, 25), tiles = bit(d, 24);
        amx = avx512_vnni && (saved & amx_state) == amx_state && int8 && tiles && tiles_permitted();
        avx512_bf16 = avx512_vnni && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && bit(a, 5);
    }

    static bool bit(unsigned word, int place) { return (word >> place & 1) != 0; }

    // XCR0: the register files that the operating system saves.
    static uint64_t saved_state() {
        uint32_t low = 0, high = 0;
        asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        return uint64_t{high} << 32 | low;
    }

    // Linux gives a process the 8 KB of tiles in every saved state of a thread only when it asks.
    static bool tiles_permitted() {
#if defined(__linux__) && defined(SYS_arch_prctl)
        constexpr int request_permission = 0x1023, tile_data = 18;
        return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
        return false;
#endif
    }
};

#elif defined(GALAGO_ARM)

// Every 64-bit ARM processor has NEON. For the others Linux says what both it and the processor offer; other
// systems are not asked.
struct Arm {
    bool dotprod = false;
    bool i8mm = false;

    Arm() {
#if defined(__linux__)
        constexpr unsigned long hwcap_asimddp = 1UL << 20, hwcap2_i8mm = 1UL << 13;
        dotprod = (getauxval(AT_HWCAP) & hwcap_asimddp) != 0;
        i8mm = dotprod && (getauxval(AT_HWCAP2) & hwcap2_i8mm) != 0;
#endif
    }
};

#endif

struct Tables {
    Kernels made[5] = {};
    const Kernels* list[5] = {};
    int count = 0;

    // Each table starts from the one before: better entries overwrite.
    void add(void (*fill)(Kernels&)) {
        made[count] = count == 0 ? Kernels{} : made[count - 1];
        fill(made[count]);
        list[count] = &made[count];
        ++count;
    }

    Tables() {
        add(generic::fill);
#if defined(GALAGO_X86)
        const X86 cpu;
        if (cpu.avx2) add(avx2::fill);
        if (cpu.avx512_vnni) add(avx512_vnni::fill);
#if defined(GALAGO_AVX512_BF16)
        if (cpu.avx512_bf16) add(avx512_bf16::fill);
#endif
#if defined(GALAGO_AMX)
        if (cpu.amx) add(amx::fill);
#endif
        // AMD's processors read few streams faster, Intel's many (LOG 2026-11-28).
        for (int i = 0; i < count && cpu.amd; ++i)
            std::swap(made[i].linear_packed, made[i].linear_packed_otherwise);
#elif defined(GALAGO_ARM)
        const Arm cpu;
        add(neon::fill);
        if (cpu.dotprod) add(neon_dotprod::fill);
        if (cpu.i8mm) add(neon_i8mm::fill);
#endif
    }
};

}  // namespace

KernelList available_kernels() {
    static const Tables tables;
    return {tables.list, tables.count};
}

}  // namespace galago
