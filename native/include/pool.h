// A persistent thread pool for short pieces of work, and scratch memory that each thread keeps.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace galago {

// The calling thread works too, so a pool of 1 has no threads of its own. Workers start at the first shared
// work, spin briefly after each, then sleep. Each thread takes its own run of the pieces first: where pieces
// follow the order of what they work on, it finds in its cache what it left there. Then it takes what others
// have not begun, so the caller never waits for a sleeping worker. One job at a time: a second caller, or one
// inside a piece, does its work alone. After a fork the child starts workers of its own.
class Pool {
public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return threads_; }

    // piece(i) for every i in [0, count), in any order and on any thread; returns when all are done.
    template <class F>
    void run(int64_t count, const F& piece) {
        run(count, [](const void* context, int64_t i) { (*static_cast<const F*>(context))(i); }, &piece);
    }

    // Pieces that follow others: a phase begins when all pieces of the one before are done.
    struct alignas(64) Phase {
        int64_t count;
        std::atomic<int64_t> next{0}, done{0};
        explicit Phase(int64_t pieces) : count(pieces) {}
    };

    // piece(phase, i) for every i in [0, count) of each phase, phase by phase; a Phase serves once. Costs one
    // waking of workers for all, and who comes late takes up where the others are.
    template <class F>
    void run(Phase* phases, int64_t count, const F& piece) {
        run(threads_, [&](int64_t) {
            for (int64_t p = 0; p < count; ++p) {
                Phase& phase = phases[p];
                for (int64_t i; (i = phase.next.fetch_add(1, std::memory_order_relaxed)) < phase.count;) {
                    if (p > 0) wait_for(phases[p - 1]);
                    piece(p, i);
                    phase.done.fetch_add(1, std::memory_order_release);
                }
            }
        });
    }

private:
    static void wait_for(const Phase&);
    using Piece = void (*)(const void* context, int64_t index);
    struct Workers;
    struct alignas(64) Own {
        std::atomic<int64_t> next{0};
        int64_t end = 0;
    };

    void run(int64_t count, Piece piece, const void* context);
    Workers* workers();

    const int threads_;
    const std::unique_ptr<Own[]> own_;  // each thread's pieces of the job
    std::atomic<Workers*> workers_{nullptr};  // leaked in a forked child, where their threads do not exist
};

// Scratch memory of this thread: at least `bytes`, aligned to 64, kept until the thread ends or asks for
// more. `shared` is for what a caller prepares for all pieces, `own` for the inside of a piece. Null when
// memory is out.
enum class Scratch { shared, own };
void* scratch(Scratch which, size_t bytes);

}  // namespace galago
