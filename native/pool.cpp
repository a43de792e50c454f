#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace galago {
namespace {

// Long enough to bridge the Python code between two layers, short enough to leave the processor to others.
constexpr auto spin_time = std::chrono::microseconds(60);

void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// For what other threads are about to do.
template <class F>
void wait_until(const F& done) {
    for (int spins = 0; !done(); ++spins) {
        if (spins < 2000) {
            relax();
        } else {
            std::this_thread::yield();
        }
    }
}

std::atomic<uint32_t> forks{0};

void watch_forks() {
#if defined(__unix__) || defined(__APPLE__)
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
    (void)registered;
#endif
}

constexpr size_t scratch_alignment = 64;

struct Buffer {
    void* data = nullptr;
    size_t bytes = 0;

    ~Buffer() { ::operator delete(data, std::align_val_t{scratch_alignment}); }

    void* get(size_t wanted) {
        if (wanted > bytes) {
            ::operator delete(data, std::align_val_t{scratch_alignment});
            bytes = 0;
            data = ::operator new(wanted, std::align_val_t{scratch_alignment}, std::nothrow);
            if (data != nullptr) bytes = wanted;
        }
        return data;
    }
};

}  // namespace

void* scratch(Scratch which, size_t bytes) {
    thread_local Buffer buffers[2];
    return buffers[static_cast<int>(which)].get(bytes == 0 ? 1 : bytes);
}

// The job is described by plain members that only change while no worker is inside. `state` guards them: an
// epoch, one bit for open, and the count of workers inside. A worker enters an open job by adding itself to
// the count.
struct Pool::Workers {
    static constexpr uint64_t open = uint64_t{1} << 31;
    static constexpr uint64_t inside = open - 1;
    static constexpr int epoch_shift = 32;

    const uint32_t born_at_fork = forks.load();
    const int wanted;
    std::atomic_flag busy = ATOMIC_FLAG_INIT;  // set by the caller whose job it is

    alignas(64) std::atomic<uint64_t> state{0};
    Own* const own;  // of the caller, then of each worker
    Piece piece = nullptr;
    const void* context = nullptr;

    std::mutex sleep;
    std::condition_variable wake;
    std::atomic<int> sleepers{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;

    Workers(int count_wanted, Own* pieces) : wanted(count_wanted), own(pieces) {}

    void start() {
        if (static_cast<int>(threads.size()) == wanted) return;
        try {
            threads.reserve(static_cast<size_t>(wanted));
            while (static_cast<int>(threads.size()) < wanted)
                threads.emplace_back([this, me = static_cast<int>(threads.size()) + 1] { work(me); });
        } catch (const std::exception&) {
            // No more threads to be had now: those that started, and the caller, do the work.
        }
    }

    ~Workers() {
        {
            const std::lock_guard<std::mutex> lock(sleep);
            stop.store(true);
        }
        wake.notify_all();
        for (auto& thread : threads) thread.join();
    }

    // First the own pieces, then what is left of the others'.
    void drain(int me) {
        for (int of = 0; of <= wanted; ++of) {
            Own& from = own[(me + of) % (wanted + 1)];
            for (int64_t i; (i = from.next.fetch_add(1, std::memory_order_relaxed)) < from.end;)
                piece(context, i);
        }
    }

    void run(int64_t pieces, Piece function, const void* what) {
        start();
        for (int64_t i = 0, all = wanted + 1; i < all; ++i) {
            own[i].next.store(pieces * i / all, std::memory_order_relaxed);
            own[i].end = pieces * (i + 1) / all;
        }
        piece = function;
        context = what;
        const uint64_t epoch = (state.load(std::memory_order_relaxed) >> epoch_shift) + 1;
        state.store(epoch << epoch_shift | open);
        if (sleepers.load() > 0) {
            {
                const std::lock_guard<std::mutex> lock(sleep);
            }
            wake.notify_all();
        }
        drain(0);
        state.fetch_and(~open);
        wait_until([&] { return (state.load(std::memory_order_acquire) & inside) == 0; });
    }

    bool has_job(uint64_t seen, uint64_t now) const {
        return (now & open) != 0 && now >> epoch_shift != seen;
    }

    void work(int me) {
        uint64_t seen = 0;
        while (wait_for_job(seen)) {
            uint64_t now = state.load();
            while (has_job(seen, now)) {
                if (state.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) {
                    seen = now >> epoch_shift;
                    drain(me);
                    state.fetch_sub(1, std::memory_order_release);
                    break;
                }
            }
        }
    }

    // False when the pool ends.
    bool wait_for_job(uint64_t seen) {
        const auto sleep_at = std::chrono::steady_clock::now() + spin_time;
        while (std::chrono::steady_clock::now() < sleep_at) {
            for (int i = 0; i < 64; ++i) {
                if (has_job(seen, state.load(std::memory_order_relaxed))) return true;
                relax();
            }
            if (stop.load(std::memory_order_relaxed)) return false;
        }
        std::unique_lock<std::mutex> lock(sleep);
        sleepers.fetch_add(1);
        wake.wait(lock, [&] { return stop.load() || has_job(seen, state.load()); });
        sleepers.fetch_sub(1);
        return !stop.load();
    }
};

void Pool::wait_for(const Phase& phase) {
    wait_until([&] { return phase.done.load(std::memory_order_acquire) == phase.count; });
}

Pool::Pool(int threads) : threads_(threads), own_(new Own[static_cast<size_t>(threads)]) { watch_forks(); }

Pool::~Pool() {
    Workers* workers = workers_.load();
    if (workers != nullptr && workers->born_at_fork == forks.load()) delete workers;
}

Pool::Workers* Pool::workers() {
    Workers* now = workers_.load();
    if (now != nullptr && now->born_at_fork == forks.load()) return now;
    auto* made = new (std::nothrow) Workers(threads_ - 1, own_.get());
    if (made == nullptr || workers_.compare_exchange_strong(now, made)) return made;
    delete made;  // another caller was faster
    return now;
}

void Pool::run(int64_t count, Piece piece, const void* context) {
    if (threads_ > 1 && count > 1) {
        Workers* workers = this->workers();
        if (workers != nullptr && !workers->busy.test_and_set(std::memory_order_acquire)) {
            workers->run(count, piece, context);
            workers->busy.clear(std::memory_order_release);
            return;
        }
    }
    for (int64_t i = 0; i < count; ++i) piece(context, i);
}

}  // namespace galago
