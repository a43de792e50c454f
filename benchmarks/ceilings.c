// This machine's rates, as one line of JSON: bytes read from memory, multiply-adds of int8 and float32 (each counted
// as two operations), in all of THREADS threads together, the best of RUNS.
// cc -O3 -march=native -pthread ceilings.c -o ceilings && ./ceilings THREADS
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { RUNS = 5, SUMS = 14, MOST_THREADS = 64 };
static const size_t BYTES = 2ull << 30;
static const long STEPS = 8000000;

typedef struct {
    double (*work)(const char*, size_t);
    const char* data;
    size_t size;
    double operations;
} Job;

// Fourteen sums that depend on nothing but themselves hide the latency; the compiler keeps them in registers.
#define CHAIN(NAME, TYPE, INSTRUCTION, PER_STEP)                                                                       \
    static double NAME(const char* data, size_t size) {                                                                \
        (void)data;                                                                                                    \
        (void)size;                                                                                                    \
        TYPE a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0}, g = {0}, h = {0}, i = {0}, j = {0}, k = {0},        \
             l = {0}, m = {0}, n = {0}, x = {0};                                                                       \
        for (long step = 0; step < STEPS; step++)                                                                      \
            __asm__ volatile(INSTRUCTION " %14,%14,%0\n" INSTRUCTION " %14,%14,%1\n" INSTRUCTION " %14,%14,%2\n"      \
                             INSTRUCTION " %14,%14,%3\n" INSTRUCTION " %14,%14,%4\n" INSTRUCTION " %14,%14,%5\n"      \
                             INSTRUCTION " %14,%14,%6\n" INSTRUCTION " %14,%14,%7\n" INSTRUCTION " %14,%14,%8\n"      \
                             INSTRUCTION " %14,%14,%9\n" INSTRUCTION " %14,%14,%10\n" INSTRUCTION " %14,%14,%11\n"    \
                             INSTRUCTION " %14,%14,%12\n" INSTRUCTION " %14,%14,%13\n"                                 \
                             : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i),        \
                               "+v"(j), "+v"(k), "+v"(l), "+v"(m), "+v"(n)                                             \
                             : "v"(x));                                                                                \
        return (double)STEPS * SUMS * (PER_STEP);                                                                      \
    }
CHAIN(int8_sums, __m512i, "vpdpbusd", 128)
CHAIN(f32_sums, __m512, "vfmadd231ps", 32)

static double read_all(const char* data, size_t size) {
    __m512i sums[4] = {{0}, {0}, {0}, {0}};
    const size_t part = size / 4;
    for (size_t at = 0; at < part; at += 64)  // four streams, as a product of a vector with rows reads them
        for (int stream = 0; stream < 4; stream++) {
            const char* from = data + stream * part + at;
            _mm_prefetch(from + 2048, _MM_HINT_T0);
            sums[stream] = _mm512_add_epi64(sums[stream], _mm512_load_si512(from));
        }
    __m512i all = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
    return _mm512_reduce_add_epi64(all) == 1 ? 0 : (double)size;
}

static void* run(void* given) {
    Job* job = given;
    job->operations = job->work(job->data, job->size);
    return NULL;
}

static double rate(double (*work)(const char*, size_t), const char* data, int threads) {
    double best = 0;
    for (int attempt = 0; attempt < RUNS; attempt++) {
        pthread_t ids[MOST_THREADS];
        Job jobs[MOST_THREADS];
        struct timespec began, ended;
        double operations = 0;
        clock_gettime(CLOCK_MONOTONIC, &began);
        for (int t = 0; t < threads; t++) {
            const size_t share = BYTES / threads / 4096 * 4096;
            jobs[t] = (Job){work, data + t * share, share, 0};
            pthread_create(&ids[t], NULL, run, &jobs[t]);
        }
        for (int t = 0; t < threads; t++) {
            pthread_join(ids[t], NULL);
            operations += jobs[t].operations;
        }
        clock_gettime(CLOCK_MONOTONIC, &ended);
        const double seconds = (ended.tv_sec - began.tv_sec) + 1e-9 * (ended.tv_nsec - began.tv_nsec);
        if (operations / seconds > best) best = operations / seconds;
    }
    return best;
}

int main(int count, char** arguments) {
    const int threads = count > 1 ? atoi(arguments[1]) : 2;
    if (threads < 1 || threads > MOST_THREADS) return 2;
    char* data = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return 1;
    madvise(data, BYTES, MADV_HUGEPAGE);
    memset(data, 1, BYTES);
    const double bytes = rate(read_all, data, threads);
    printf("{\"read_bytes_per_s\": %.4g, \"int8_operations_per_s\": %.4g, \"f32_operations_per_s\": %.4g}\n", bytes,
           rate(int8_sums, data, threads), rate(f32_sums, data, threads));
    return 0;
}
