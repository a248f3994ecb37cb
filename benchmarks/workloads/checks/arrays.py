"""numpy."""

import io
import os
import pickle
import tempfile

import numpy as np

from checks import close, equal, expect, raises


def elementary():
    values = np.arange(12, dtype=np.float64).reshape(3, 4)
    equal(values.sum(), 66.0)
    close(values.mean(axis=0), [4.0, 5.0, 6.0, 7.0])
    close(np.exp(np.log(values + 1)), values + 1)
    equal((values[::2, 1:3] * 2).tolist(), [[2.0, 4.0], [18.0, 20.0]])
    equal(np.where(values > 9, 1, 0).sum(), 2)
    close(np.concatenate([values, values]).std(), values.std())
    with np.errstate(divide="raise"):
        raises(FloatingPointError, np.divide, 1.0, np.zeros(1))
    raises(ValueError, np.reshape, values, (5, 5))


def linalg():
    matrix = np.array([[4.0, 1.0, 2.0], [1.0, 3.0, 0.0], [2.0, 0.0, 5.0]])
    close(matrix @ np.linalg.solve(matrix, [1.0, 2.0, 3.0]), [1.0, 2.0, 3.0])
    close(np.linalg.det(matrix), 43.0)
    close(np.linalg.inv(matrix) @ matrix, np.eye(3))
    values, vectors = np.linalg.eigh(matrix)
    close(vectors @ np.diag(values) @ vectors.T, matrix)
    close(np.sort(np.linalg.eigvals(matrix).real), values)
    left, singular, right = np.linalg.svd(matrix)
    close(left @ np.diag(singular) @ right, matrix)
    q, r = np.linalg.qr(matrix)
    close(q @ r, matrix)
    root = np.linalg.cholesky(matrix)
    close(root @ root.T, matrix)
    slope, *_ = np.linalg.lstsq(np.array([[1.0], [2.0]]), np.array([2.0, 4.0]), rcond=None)
    close(slope, [2.0])
    close(np.linalg.norm([3.0, 4.0]), 5.0)
    raises(np.linalg.LinAlgError, np.linalg.inv, np.zeros((2, 2)))
    big = np.random.default_rng(1).standard_normal((200, 200))
    close((big @ np.linalg.inv(big)).trace(), 200.0, 1e-6)


def fft():
    signal = np.cos(2 * np.pi * 3 * np.arange(32) / 32)
    spectrum = np.fft.rfft(signal)
    equal(int(np.abs(spectrum).argmax()), 3)
    close(np.abs(spectrum[3]), 16.0)
    close(np.fft.irfft(spectrum), signal)
    close(np.fft.ifft2(np.fft.fft2(np.eye(4))).real, np.eye(4))
    close(np.fft.fftfreq(4), [0.0, 0.25, -0.5, -0.25])


def random():
    close(np.random.default_rng(0).random(), 0.6369616873214543)
    close(np.random.RandomState(0).rand(), 0.5488135039273248)
    for kind in (np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM):
        draws = np.random.Generator(kind(7)).normal(size=2000)
        expect(abs(draws.mean()) < 0.1 and abs(draws.std() - 1) < 0.1)
    rng = np.random.default_rng(3)
    equal(sorted(rng.permutation(5).tolist()), [0, 1, 2, 3, 4])
    expect(abs(rng.poisson(4.0, 5000).mean() - 4) < 0.2)
    equal(rng.choice([1, 2], size=9, p=[0.0, 1.0]).tolist(), [2] * 9)
    again = pickle.loads(pickle.dumps(rng))
    equal(again.integers(1 << 40), rng.integers(1 << 40))


def einsum():
    left, right = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    close(np.einsum("ij,jk->ik", left, right), left @ right)
    close(np.einsum("ij,jk,k->i", left, right, np.ones(4), optimize=True), [98.0, 296.0])
    close(np.tensordot(left, right, 1), left @ right)
    close(np.kron([1.0, 2.0], [1.0, 3.0]), [1.0, 3.0, 2.0, 6.0])
    equal(np.einsum_path("ij,jk->ik", left, right)[0], ["einsum_path", (0, 1)])


def kinds_of_values():
    days = np.arange("2024-02-27", "2024-03-02", dtype="datetime64[D]")
    equal(len(days), 4)
    equal(str(days[-1] - np.timedelta64(1, "D")), "2024-02-29")
    equal(int(np.busday_count("2024-01-01", "2024-01-08")), 5)
    records = np.array([(2, "b"), (1, "a")], dtype=[("n", "i4"), ("s", "U1")])
    equal(np.sort(records, order="n")["s"].tolist(), ["a", "b"])
    equal(np.strings.upper(np.array(["ab", "c"])).tolist(), ["AB", "C"])
    equal(np.char.add("a", ["b"]).tolist(), ["ab"])
    equal(np.float16(0.1).nbytes, 2)
    close((np.complex128(1 + 2j) * 2).imag, 4.0)
    masked = np.ma.masked_less([1, 5, 9], 4)
    close(masked.mean(), 7.0)
    equal(np.unique([3, 1, 3], return_counts=True)[1].tolist(), [1, 2])
    equal(np.array(["x", None], dtype=object).tolist(), ["x", None])


def functions_of_the_library():
    close(np.polynomial.Polynomial([1, 2, 3])(2.0), 17.0)
    close(np.polyfit([0, 1, 2], [1, 3, 5], 1), [2.0, 1.0])
    close(np.interp(1.5, [1, 2], [10, 20]), 15.0)
    close(np.trapezoid([0.0, 1.0, 2.0]), 2.0)
    close(np.percentile(np.arange(101), [5, 50]), [5.0, 50.0])
    equal(np.histogram([1, 2, 2, 3], bins=3)[0].tolist(), [1, 2, 1])
    close(np.convolve([1, 2], [1, 1]), [1.0, 3.0, 2.0])
    close(np.corrcoef([1, 2, 3], [2, 4, 6])[0, 1], 1.0)
    double = np.vectorize(lambda x: 2 * x)
    equal(double([1, 2]).tolist(), [2, 4])
    window = np.lib.stride_tricks.sliding_window_view(np.arange(5), 3)
    equal(window.sum(axis=1).tolist(), [3, 6, 9])
    equal(np.array2string(np.array([1.0, 2.5])), "[1.  2.5]")
    np.testing.assert_allclose([1.0], [1.0 + 1e-9])
    raises(AssertionError, np.testing.assert_array_equal, [1], [2])
    expect("Build Dependencies" in np.show_config(mode="dicts"))


def files():
    values = np.arange(6).reshape(2, 3)
    with tempfile.TemporaryDirectory() as folder:
        np.savez_compressed(f"{folder}/a.npz", values=values)
        with np.load(f"{folder}/a.npz") as archive:
            equal(archive["values"].tolist(), values.tolist())
        mapped = np.memmap(f"{folder}/m.bin", dtype="i8", mode="w+", shape=(2, 3))
        mapped[:] = values
        mapped.flush()
        equal(os.path.getsize(f"{folder}/m.bin"), 48)
    text = io.StringIO()
    np.savetxt(text, values, fmt="%d", delimiter=",")
    equal(text.getvalue(), "0,1,2\n3,4,5\n")
    equal(np.loadtxt(io.StringIO(text.getvalue()), delimiter=",").tolist(), values.tolist())
    equal(np.genfromtxt(["1,,3"], delimiter=",", filling_values=0).tolist(), [1.0, 0.0, 3.0])
    equal(pickle.loads(pickle.dumps(values, protocol=5)).tolist(), values.tolist())
    equal(np.frombuffer(values.tobytes(), dtype=values.dtype).tolist(), list(range(6)))


CHECKS = (
    elementary, linalg, fft, random, einsum, kinds_of_values, functions_of_the_library, files,
)  # fmt: skip
