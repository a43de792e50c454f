"""What the tests of the kernels share: every instruction set of this machine, and the numpy judge."""

import numpy as np
import pytest

from galago import kernels


@pytest.fixture(params=kernels.available())
def isa(request):
    with kernels.using(isa=request.param, threads=2):
        yield request.param


@pytest.fixture
def random():
    generator = np.random.default_rng(11)
    return lambda *shape: generator.standard_normal(shape, dtype=np.float32)


@pytest.fixture
def agrees():
    """Compare with the numpy definition; `terms` is the length of the sums.

    A float32 sum of n random terms errs by about sqrt(n) half-ulps of its terms' scale; 8 leaves room for the
    worst of many elements.
    """

    def check(function, *, terms=1):
        got = function()
        with kernels.using(backend="numpy"):
            want = function()
        assert got.dtype == np.float32
        assert got.shape == want.shape
        scale = np.nanmax(np.abs(want), initial=1e-6)
        np.testing.assert_allclose(got, want, rtol=0, atol=8 * 2**-24 * max(terms, 4) ** 0.5 * scale)

    return check
