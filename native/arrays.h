// Arrays as Python gives them: borrowed by the buffer protocol, checked, and refused by name with
// galago.errors.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>

#include "kernels.h"

namespace nb = nanobind;

namespace galago {

[[noreturn]] inline void refuse(const std::string& message) {
    nb::object error = nb::module_::import_("galago.errors").attr("UsageError")(message);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw nb::python_error();
}

struct Shape {
    const Py_ssize_t* sizes;
    int axes;

    friend bool operator==(Shape a, Shape b) {
        return a.axes == b.axes && std::equal(a.sizes, a.sizes + a.axes, b.sizes);
    }
};

inline std::string text(const char* part) { return part; }
inline std::string text(int64_t part) { return std::to_string(part); }
inline std::string text(Shape part) {
    std::string all;
    for (int i = 0; i < part.axes; ++i) all += (i > 0 ? ", " : "") + std::to_string(part.sizes[i]);
    return "[" + all + "]";
}

// The message is put together only when it is needed.
template <class... Parts>
void check(bool good, const Parts&... parts) {
    if (!good) refuse((text(parts) + ...));
}

template <class T>
struct Format;
template <>
struct Format<float> {
    static constexpr const char *codes = "f", *name = "float32";
};
template <>
struct Format<uint8_t> {
    static constexpr const char *codes = "B", *name = "uint8";
};
template <>
struct Format<int32_t> {
    static constexpr const char *codes = "i", *name = "int32";
};
template <>
struct Format<int64_t> {
    static constexpr const char *codes = "lq", *name = "int64";
};
template <>
struct Format<uint16_t> {  // bfloat16 as its bits, or float16
    static constexpr const char *codes = "He", *name = "uint16 or float16";
};

// A borrowed array of T: its memory stays in place as long as this lives. Strides are in values.
template <class T>
class Array {
public:
    Array(nb::handle source, const char* name, int axes, bool writable = false) : name_(name) {
        if (PyObject_GetBuffer(source.ptr(), &view_, writable ? PyBUF_RECORDS : PyBUF_RECORDS_RO) != 0) {
            PyErr_Clear();
            check(false, name, writable ? " is not a writable array" : " is not an array");
        }
        try {
            check(
                reinterpret_cast<uintptr_t>(view_.buf) % alignof(T) == 0, name_, " is not aligned in memory"
            );
            const char* format = view_.format != nullptr ? view_.format : "unknown";
            const bool right = view_.itemsize == sizeof(T) && format[0] != 0 && format[1] == 0 &&
                               std::strchr(Format<T>::codes, format[0]) != nullptr;
            check(right, name_, " must be ", Format<T>::name, ", not of format ", format);
            check(
                axes < 0 || view_.ndim == axes, name_, " must have ", axes, " axes, not the shape ", shape()
            );
        } catch (...) {
            PyBuffer_Release(&view_);
            throw;
        }
    }
    ~Array() { PyBuffer_Release(&view_); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    T* data() const { return static_cast<T*>(view_.buf); }
    int axes() const { return view_.ndim; }
    int64_t size(int axis) const { return view_.shape[axis]; }
    int64_t stride(int axis) const { return view_.strides[axis] / static_cast<int64_t>(sizeof(T)); }
    int64_t count() const { return view_.len / static_cast<int64_t>(sizeof(T)); }

    Shape shape() const { return {view_.shape, view_.ndim}; }

    // Axes from `first` on lie without gaps, and the others are whole values apart.
    const Array& packed_from(int first) const {
        int64_t wanted = 1;
        for (int i = view_.ndim - 1; i >= 0; --i) {
            if (i < first) {
                check(view_.strides[i] % static_cast<int64_t>(sizeof(T)) == 0, name_, " has odd strides");
            } else {
                check(
                    view_.shape[i] <= 1 || view_.len == 0 || stride(i) == wanted, name_,
                    first > 0 ? " must be C-contiguous in its last axis" : " must be C-contiguous"
                );
                wanted *= view_.shape[i];
            }
        }
        return *this;
    }

    const Array& sized(std::initializer_list<Py_ssize_t> sizes) const {
        const Shape wanted{sizes.begin(), static_cast<int>(sizes.size())};
        check(shape() == wanted, name_, " must have the shape ", wanted, ", not ", shape());
        return *this;
    }

private:
    Py_buffer view_{};
    const char* name_;
};

using Floats = Array<float>;

// An optional vector of floats.
class Bias {
public:
    Bias(nb::handle source, int64_t count) {
        if (!source.is_none()) array_.emplace(source, "bias", 1).packed_from(0).sized({count});
    }
    const float* data() const { return array_ ? array_->data() : nullptr; }

private:
    std::optional<Floats> array_;
};

inline Rows<const float> rows_of(const Floats& x) { return {x.packed_from(1).data(), x.stride(0)}; }

inline Heads<const float> heads_of(const Floats& x) {
    return {x.packed_from(2).data(), x.stride(0), x.stride(1)};
}

// The fields of packing.PackedWeight, checked, and the arrays they live in.
class Packed {
public:
    explicit Packed(const nb::tuple& fields)
        : codes_(fields[4], "codes", 4), scales_(fields[5], "scales", 3) {
        matrix_.bits = nb::cast<int>(fields[0]);
        matrix_.group = nb::cast<int64_t>(fields[1]);
        matrix_.rows = nb::cast<int64_t>(fields[2]);
        matrix_.cols = nb::cast<int64_t>(fields[3]);
        check(matrix_.bits == 4 || matrix_.bits == 8, "packed weights have 4 or 8 bits");
        check(matrix_.group > 0 && matrix_.group % 32 == 0, "a group must be a multiple of 32");
        const int64_t panels = matrix_.panels(), groups = matrix_.groups();
        codes_.packed_from(0).sized({panels, matrix_.padded_cols() * matrix_.bits / 32, panel_rows, 4});
        scales_.packed_from(0).sized({panels, groups, panel_rows});
        matrix_.codes = codes_.data();
        matrix_.scales = scales_.data();
        check(
            (matrix_.bits == 4) == !fields[6].is_none(), "weights of 4 bits have steps, those of 8 bits none"
        );
        if (!fields[6].is_none()) {
            steps_.emplace(fields[6], "steps", 3);
            steps_->packed_from(0).sized({panels, matrix_.padded_cols() / step_cols, panel_rows});
            matrix_.steps = steps_->data();
        }
        if (!fields[7].is_none()) {
            offsets_.emplace(fields[7], "offsets", 3);
            offsets_->packed_from(0).sized({panels, groups, panel_rows});
            matrix_.offsets = offsets_->data();
        }
    }
    const PackedMatrix& matrix() const { return matrix_; }

private:
    Array<uint8_t> codes_;
    Array<uint16_t> scales_;
    std::optional<Array<uint8_t>> steps_;
    std::optional<Array<uint16_t>> offsets_;
    PackedMatrix matrix_{};
};

}  // namespace galago
