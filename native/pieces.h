// How packed products are cut into pieces, and what a piece computes: shared by whole operations (ops.cpp)
// and by the layers of a decoder (decoder.cpp).
#pragma once

#include <algorithm>

#include "ops.h"

namespace galago::ops {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t parts_per_thread = 4;  // so that a thread that is held up does not hold up the others

// Panels of a product in spans that shrink, down to a few panels: who is done first waits for little, and yet
// most panels are read in long pieces, as each start costs (LOG 2026-11-28). A round of spans has one for each
// thread and takes half of what is left.
class Shrinking {
public:
    Shrinking(int64_t panels, int64_t threads) : panels_(panels), threads_(threads) {
        while (at(count_) < panels_) ++count_;
    }
    int64_t count() const { return count_; }
    Span operator[](int64_t i) const { return {at(i), at(i + 1)}; }

private:
    int64_t each(int64_t left) const {
        constexpr int64_t least = 4;
        return ceil_div(std::max(left / (2 * threads_), int64_t{1}), least) * least;
    }
    int64_t at(int64_t i) const {
        if (threads_ == 1) return std::min(i, int64_t{1}) * panels_;
        int64_t begin = 0, left = panels_;
        for (; i > threads_; i -= threads_, left = panels_ - begin)
            begin += std::min(threads_ * each(left), left);
        return std::min(begin + i * each(left), panels_);
    }

    int64_t panels_, threads_, count_ = 0;
};

inline PackedProduct product_of(const Target& target, const Activations& rounded, int64_t start) {
    const int64_t rows = target.weight.rows, first = start * rows;
    PackedProduct product{target.weight, rounded, target.bias, {target.y + first, rows}};
    if (target.residual != nullptr) product.residual = {target.residual + first, rows};
    return product;
}

// Some of the panels of all targets together, counted on from one target to the next, for tokens from `start`
// on. False when memory is out.
bool multiply(
    const Kernels&, const Target* targets, int64_t count, const Activations&, int64_t start, Span part
);

// The same for gate and up, whose panels are computed together.
bool multiply_gated(
    const Kernels&, const Target& gate, const Target& up, const Activations&, int64_t start, Span part
);

}  // namespace galago::ops
