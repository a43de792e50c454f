// The largest elements of a product with a large matrix, of which little is read.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "ops.h"
#include "pieces.h"

namespace galago::ops {
namespace {

// The rows of one panel as a matrix of their own.
PackedMatrix panel_of(const PackedMatrix& whole, int64_t panel) {
    PackedMatrix one = whole;
    const int64_t scales = panel * whole.groups() * panel_rows;
    one.codes += panel * whole.panel_bytes();
    one.scales += scales;
    if (one.steps != nullptr) one.steps += panel * (whole.padded_cols() / step_cols) * panel_rows;
    if (one.offsets != nullptr) one.offsets += scales;
    one.rows = std::min(panel_rows, whole.rows - panel * panel_rows);
    return one;
}

// The largest element of each panel, without NaN, and the `count` largest of these among others.
struct Peaks {
    std::vector<float> of_panel, largest;
};

// Keeps the `most` largest values as a heap whose front is the least.
void keep(std::vector<float>& heap, size_t most, float value) {
    if (heap.size() == most) {
        if (value <= heap.front()) return;
        std::pop_heap(heap.begin(), heap.end(), std::greater<>());
        heap.back() = value;
    } else {
        heap.push_back(value);
    }
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
}

Peaks peaks(const Place& place, const float* y, int64_t rows, int64_t count) {
    const int64_t panels = ceil_div(rows, panel_rows), parts = place.pool.threads();
    Peaks found{std::vector<float>(static_cast<size_t>(panels), -std::numeric_limits<float>::infinity()), {}};
    std::vector<std::vector<float>> largest(static_cast<size_t>(parts));
    const auto peak = [&](int64_t panel) {
        constexpr int chains = 4;  // that do not wait for each other
        const int64_t begin = panel * panel_rows, end = std::min(begin + panel_rows, rows);
        float most[chains];
        std::fill_n(most, chains, found.of_panel[static_cast<size_t>(panel)]);
        for (int64_t n = begin; n < end; ++n) {
            float& old = most[(n - begin) % chains];
            old = y[n] > old ? y[n] : old;
        }
        return *std::max_element(most, most + chains);
    };
    place.pool.run(parts, [&](int64_t part) {
        std::vector<float> own;
        for (int64_t p = panels * part / parts; p < panels * (part + 1) / parts; ++p) {
            const float value = peak(p);
            found.of_panel[static_cast<size_t>(p)] = value;
            keep(own, static_cast<size_t>(count), value);
        }
        largest[static_cast<size_t>(part)] = std::move(own);
    });
    for (const auto& own : largest) found.largest.insert(found.largest.end(), own.begin(), own.end());
    return found;
}

float nth_largest(std::vector<float> values, int64_t n) {
    const auto at = values.begin() + (n - 1);
    std::nth_element(values.begin(), at, values.end(), std::greater<>());
    return *at;
}

}  // namespace

Status linear_best(const Place& place, Rows<const float> x, const Screening& s, bool* sure) {
    *sure = false;
    if (s.weight.panels() < 2 * s.candidates) return Status::done;
    const Target coarse{s.rough, nullptr, s.y};
    if (linear(place, x, 1, &coarse, 1) != Status::done) return Status::out_of_memory;

    Peaks found = peaks(place, s.y, s.weight.rows, s.candidates);
    const float least = nth_largest(std::move(found.largest), s.candidates);  // what is left out is not above it
    if (!std::isfinite(least)) return Status::done;
    std::vector<int64_t> chosen;
    for (int64_t p = 0; p < s.weight.panels(); ++p)
        if (found.of_panel[static_cast<size_t>(p)] >= least) chosen.push_back(p);

    std::vector<float> exact(chosen.size() * panel_rows);
    std::vector<Target> targets;
    for (const int64_t p : chosen)
        targets.push_back(
            {panel_of(s.weight, p), nullptr, exact.data() + targets.size() * static_cast<size_t>(panel_rows)}
        );
    const auto count = static_cast<int64_t>(targets.size());
    if (linear(place, x, 1, targets.data(), count) != Status::done) return Status::out_of_memory;

    std::vector<float> values;
    double squares = 0;
    for (size_t i = 0; i < chosen.size(); ++i) {
        float* old = s.y + chosen[i] * panel_rows;
        for (int64_t n = 0; n < targets[i].weight.rows; ++n) {
            const double error = double{targets[i].y[n]} - old[n];
            squares += error * error;
            values.push_back(targets[i].y[n]);
            old[n] = targets[i].y[n];
        }
    }
    const double error = std::sqrt(squares / static_cast<double>(values.size()));
    *sure = nth_largest(std::move(values), s.best) - least >= s.margin * error;
    return Status::done;
}

}  // namespace galago::ops
