"""What the extension refuses, and what it does with threads, forks and the interpreter's lock."""

import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest

from galago import kernels, packing
from galago.errors import UsageError

F32 = np.float32
TASKS = Path("/proc/self/task")


def ones(*shape, dtype=F32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kernels.linear(ones(2, 3), ones(4, 5)),
            r"weight must have the shape|must have the shape \[4, 3\]",
        ),
        (
            lambda: kernels.linear(ones(2, 3, dtype=np.float64), ones(4, 3)),
            "x must be float32, not of format d",
        ),
        (lambda: kernels.linear(ones(2, 3), ones(4, 3, dtype=np.float64)), "weight must be float32"),
        (
            lambda: kernels.linear(ones(2, 3), ones(4, 3), ones(5)),
            r"bias must have the shape \[4\], not \[5\]",
        ),
        (
            lambda: kernels.linear(ones(2, 32), packing.pack(ones(4, 32), 8), None, ones(2, 3)),
            r"residual .* \[2, 4\], not \[2, 3\]",
        ),
        (lambda: kernels.linear(ones(3, 2).T, ones(4, 3)), "x must be C-contiguous in its last axis"),
        (lambda: kernels.linear(ones(2, 3), ones(3, 4).T), "weight must be C-contiguous"),
        (lambda: kernels.linear(ones(2, 8), packing.pack(ones(4, 32), 8)), r"\[2, 32\], not \[2, 8\]"),
        (lambda: kernels.embed(ones(4, 3), np.array([4])), "id 4 does not fit an embedding of 4 rows"),
        (lambda: kernels.embed(ones(4, 3), np.array([-1])), "id -1 does not fit"),
        (lambda: kernels.rms_norm(ones(2, 3), ones(4), 1e-6), "weight must have the shape"),
        (lambda: kernels.layer_norm(ones(2, 3), ones(3), ones(4), 1e-6), "bias must have the shape"),
        (lambda: kernels.rotate(ones(2, 1, 3), ones(2, 1), ones(2, 1)), "cannot be turned in pairs"),
        (lambda: kernels.rotate(ones(2, 1, 4), ones(1, 2), ones(1, 2)), "cos must have the shape"),
        (lambda: kernels.silu_mul(ones(2, 3), ones(3, 2)), "differ"),
        (lambda: kernels.silu(ones(4)[::2]), "x must be C-contiguous"),
    ],
)
def test_arrays_that_do_not_fit_are_misuse(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"q": ones(3, 3, 4)}, "3 query heads are no multiple of 2"),
        ({"k": ones(5, 2, 8)}, "k must have the shape"),
        ({"q": ones(6, 2, 4), "causal": True}, "6 tokens are more than 5 keys"),
        ({"k": ones(0, 2, 4), "v": ones(0, 2, 4)}, "no keys"),
        ({"bounds": np.array([0, 3], np.int32)}, "bounds are for self-attention"),
        ({"q": ones(5, 2, 4), "bounds": np.array([0, 3], np.int32)}, "bounds must rise from 0 to 5"),
        ({"q": ones(5, 2, 4), "bounds": np.array([0, 4, 3, 5], np.int32)}, "bounds must rise"),
        ({"q": ones(5, 2, 4), "bounds": np.array([0, 5])}, "bounds must be int32"),
    ],
)
def test_attention_that_cannot_be_is_misuse(arguments, message):
    given = {"q": ones(3, 2, 4), "k": ones(5, 2, 4), "v": ones(5, 2, 4), "causal": False, **arguments}
    with pytest.raises(UsageError, match=message):
        kernels.attention(**given)


def test_unaligned_arrays_are_misuse():
    shifted = np.frombuffer(bytes(4 * 6 + 1), np.uint8)[1:].view(F32).reshape(2, 3)
    with pytest.raises(UsageError, match="weight is not aligned"):
        kernels.linear(ones(1, 3), shifted)


def test_an_instruction_set_that_is_not_there_is_misuse():
    with (
        pytest.raises(UsageError, match="'abacus'"),
        kernels.using(isa="abacus"),
    ):
        pass


def test_the_plainest_instruction_set_is_always_there():
    assert kernels.available()[0] == "generic"


def test_read_only_weights_are_fine(random, agrees):
    weight = random(7, 5)
    weight.flags.writeable = False
    x = random(2, 5)
    agrees(lambda: kernels.linear(x, weight), terms=5)


def test_two_python_threads_may_share_a_pool(random):
    weight, x = random(300, 500), random(20, 500)
    want = kernels.linear(x, weight)
    pool, wrong = kernels.ThreadPool(3), []

    def work():
        with kernels.using(threads=pool):
            wrong.extend(i for i in range(30) if not np.array_equal(kernels.linear(x, weight), want))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _product(queue, x, weight, pool):
    with kernels.using(threads=pool):
        queue.put((kernels.linear(x, weight), len(list(TASKS.iterdir()))))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.skipif(not TASKS.is_dir(), reason="counts threads as Linux shows them")
def test_a_forked_child_has_workers_of_its_own(random):
    weight, x = random(300, 500), random(20, 500)
    pool = kernels.ThreadPool(2)
    with kernels.using(threads=pool):
        want = kernels.linear(x, weight)
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=_product, args=(queue, x, weight, pool))
    child.start()
    got, threads = queue.get()
    child.join()
    np.testing.assert_array_equal(got, want)
    assert threads >= 2
    assert child.exitcode == 0


@pytest.mark.parametrize("threads", [0, -1])
def test_a_pool_without_threads_is_misuse(threads):
    with pytest.raises(UsageError, match="threads is"):
        kernels.ThreadPool(threads)
