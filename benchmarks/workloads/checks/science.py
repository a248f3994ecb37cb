"""scipy."""

import io

import numpy as np
import scipy.cluster.hierarchy
import scipy.cluster.vq
import scipy.constants
import scipy.fft as transforms
import scipy.integrate as integration
import scipy.interpolate as interpolation
import scipy.io as files
import scipy.linalg as dense
import scipy.ndimage as images
import scipy.optimize as optimization
import scipy.signal as signals
import scipy.sparse as matrices
import scipy.spatial as geometry
import scipy.special as functions
import scipy.stats as statistics

from checks import close, equal, expect


def stats():
    close(statistics.norm.cdf(1.96), 0.9750021048517795)
    close(statistics.norm.ppf(0.975), 1.959963984540054)
    close(statistics.t(df=5).sf(2.0), 0.0509697394149292)
    close(statistics.binom.pmf(3, 10, 0.5), 0.1171875)
    close(statistics.ttest_ind([1, 2, 3, 4], [2, 3, 4, 5]).statistic, -1.0954451150103321)
    close(statistics.linregress([0, 1, 2], [1, 3, 5]).slope, 2.0)
    close(statistics.spearmanr([1, 2, 3, 4], [1, 3, 2, 4]).statistic, 0.8)
    close(statistics.chi2_contingency([[10, 20], [20, 10]], correction=False).statistic, 20 / 3)
    close(statistics.fisher_exact([[8, 2], [1, 5]]).pvalue, 0.03496503496503495)
    draws = statistics.gamma.rvs(2.0, size=4000, random_state=0)
    expect(statistics.kstest(draws, statistics.gamma(2.0).cdf).pvalue > 0.01)
    density = statistics.gaussian_kde(statistics.norm.rvs(size=500, random_state=1))
    expect(0.3 < density(0.0)[0] < 0.5)
    expect(0 <= statistics.qmc.Sobol(2, seed=0).random(8).min() < 1 / 4)


def optimize():
    for method in ("BFGS", "L-BFGS-B", "Nelder-Mead", "SLSQP", "trust-constr"):
        found = optimization.minimize(optimization.rosen, [1.3, 0.7], method=method)
        close(found.x, [1.0, 1.0], 1e-2)
    close(optimization.brentq(lambda x: x**2 - 2, 0, 2), 2**0.5)
    close(optimization.root(lambda x: np.cos(x) - x, 0.5).x, [0.7390851332151607])
    plan = optimization.linprog([-1, -2], A_ub=[[1, 1]], b_ub=[4], bounds=[(0, 3), (0, 3)])
    close(plan.fun, -7.0)
    whole = optimization.milp([-1, -1], integrality=[1, 1], bounds=optimization.Bounds(0, 2.5))
    close(whole.fun, -4.0)
    x = np.linspace(0, 2, 30)
    fitted, _ = optimization.curve_fit(lambda x, a, b: a * np.exp(-b * x), x, 2 * np.exp(-x))
    close(fitted, [2.0, 1.0], 1e-4)
    _, columns = optimization.linear_sum_assignment([[4, 1], [2, 3]])
    equal(columns.tolist(), [1, 0])
    close(optimization.nnls(np.eye(2), np.array([1.0, -1.0]))[0], [1.0, 0.0])
    expect(optimization.differential_evolution(lambda v: v[0] ** 2, [(-3, 3)], seed=0).fun < 1e-6)


def sparse():
    size = 60
    laplace = matrices.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(size, size), format="csc")
    solution = matrices.linalg.spsolve(laplace, np.ones(size))
    close(laplace @ solution, np.ones(size))
    close(matrices.linalg.splu(laplace).solve(np.ones(size)), solution)
    largest = matrices.linalg.eigsh(laplace, k=1, return_eigenvectors=False)
    close(largest, [2 - 2 * np.cos(np.pi * size / (size + 1))], 1e-6)
    iterated, code = matrices.linalg.cg(laplace, np.ones(size), rtol=1e-10)
    equal(code, 0)
    close(iterated, solution, 1e-5)
    close(matrices.linalg.svds(laplace, k=1)[1], largest, 1e-6)
    table = matrices.coo_array(([1.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2)).tocsr()
    equal((table @ table).toarray().tolist(), [[2.0, 0.0], [0.0, 2.0]])
    graph = matrices.csr_array([[0, 1, 5], [0, 0, 1], [0, 0, 0]])
    close(matrices.csgraph.dijkstra(graph, indices=0), [0.0, 1.0, 2.0])
    equal(matrices.csgraph.connected_components(graph, directed=False)[0], 1)


def linalg():
    matrix = np.array([[4.0, 1.0], [2.0, 3.0]])
    permuted, lower, upper = dense.lu(matrix)
    close(permuted @ lower @ upper, matrix)
    close(dense.expm(np.array([[0.0, 1.0], [-1.0, 0.0]])), [[np.cos(1), np.sin(1)],
                                                            [-np.sin(1), np.cos(1)]])  # fmt: skip
    triangle, vectors = dense.schur(matrix)
    close(vectors @ triangle @ vectors.T, matrix)
    close(np.sort(dense.eigvals(matrix).real), [2.0, 5.0])
    close(dense.sqrtm(matrix) @ dense.sqrtm(matrix), matrix)
    close(dense.solve_toeplitz([2.0, 1.0], [3.0, 3.0]), [1.0, 1.0])
    close(dense.blas.ddot([1.0, 2.0], [3.0, 4.0]), 11.0)
    close(dense.lapack.dgesv(matrix, np.array([5.0, 5.0]))[2], [1.0, 1.0])
    close(dense.solve_banded((0, 0), [[2.0, 4.0]], [2.0, 4.0]), [1.0, 1.0])


def interpolate():
    x = np.linspace(0, np.pi, 20)
    close(interpolation.CubicSpline(x, np.sin(x))(1.0), np.sin(1.0), 1e-4)
    close(interpolation.make_interp_spline(x, np.sin(x), k=3)(1.0), np.sin(1.0), 1e-4)
    close(interpolation.PchipInterpolator(x, x)(1.0), 1.0)
    close(interpolation.splev(1.0, interpolation.splrep(x, np.sin(x))), np.sin(1.0), 1e-4)
    grid = interpolation.RegularGridInterpolator((x, x), np.add.outer(x, x))
    close(grid((1.0, 2.0)), 3.0)
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    close(interpolation.griddata(points, points.sum(axis=1), [[0.25, 0.5]]), [0.75])
    close(interpolation.RBFInterpolator(points, points[:, 0])([[0.5, 0.5]]), [0.5], 1e-4)


def signal():
    time = np.linspace(0, 1, 500, endpoint=False)
    slow, fast = np.sin(2 * np.pi * 3 * time), np.sin(2 * np.pi * 100 * time)
    b, a = signals.butter(4, 20, fs=500)
    left = signals.filtfilt(b, a, slow + fast)[100:400]
    expect(np.abs(left - slow[100:400]).max() < 0.05)
    cascade = signals.butter(4, 20, fs=500, output="sos")
    expect(np.abs(signals.sosfiltfilt(cascade, fast)[100:400]).max() < 0.05)
    equal(len(signals.find_peaks(slow)[0]), 3)
    frequency, power = signals.welch(fast, fs=500, nperseg=250)
    close(frequency[power.argmax()], 100.0)
    close(signals.fftconvolve([1, 2], [1, 1]), [1.0, 3.0, 2.0])
    close(signals.resample(slow, 250)[10], slow[20], 1e-3)
    equal(signals.savgol_filter(time, 5, 2).shape, time.shape)
    close(signals.windows.hann(5), [0.0, 0.5, 1.0, 0.5, 0.0])


def special():
    close(functions.gamma(5.5), 52.34277778455352)
    close(functions.erf(0.5), 0.5204998778130465)
    close(functions.jv(1, 2.5), 0.4970941024642741)
    close(functions.betainc(2, 3, 0.4), 0.5248)
    close(functions.logsumexp([0.0, 0.0]), np.log(2))
    close(functions.comb(10, 3, exact=True), 120)
    close(functions.expit(0.0), 0.5)
    close(functions.zeta(2.0), np.pi**2 / 6)
    close(functions.lambertw(1.0).real, 0.5671432904097838)
    close(functions.roots_legendre(2)[0], [-(3**-0.5), 3**-0.5])


def integrate():
    close(integration.quad(lambda x: np.exp(-(x**2)), -np.inf, np.inf)[0], np.pi**0.5)
    close(integration.dblquad(lambda y, x: x * y, 0, 1, 0, 2)[0], 1.0)
    for method in ("RK45", "LSODA", "BDF", "Radau"):
        path = integration.solve_ivp(
            lambda t, y: -y, (0, 1), [1.0], method=method, rtol=1e-8, atol=1e-10
        )
        close(path.y[0, -1], np.exp(-1), 1e-5)
    close(integration.odeint(lambda y, t: -y, 1.0, [0, 1])[-1], [np.exp(-1)], 1e-5)
    close(integration.simpson([0.0, 1.0, 4.0], x=[0, 1, 2]), 8 / 3)


def images_and_geometry():
    square = np.zeros((9, 9))
    square[3:6, 3:6] = 1
    close(images.gaussian_filter(square, 1.0).sum(), 9.0, 1e-3)
    equal(images.label(square)[1], 1)
    close(images.center_of_mass(square), (4.0, 4.0))
    close(images.zoom(np.eye(2), 2, order=1)[0, 0], 1.0)
    equal(int(images.binary_dilation(square).sum()), 21)
    points = np.random.default_rng(0).random((100, 2))
    distance, index = geometry.KDTree(points).query(points[7])
    equal((float(distance), int(index)), (0.0, 7))
    close(geometry.ConvexHull([[0, 0], [1, 0], [0, 1], [0.1, 0.1]]).volume, 0.5)
    equal(len(geometry.Delaunay([[0, 0], [1, 0], [0, 1], [1, 1]]).simplices), 2)
    close(geometry.distance.cdist([[0, 0]], [[3, 4]], "euclidean"), [[5.0]])
    turn = geometry.transform.Rotation.from_euler("z", 90, degrees=True)
    close(turn.apply([1, 0, 0]), [0.0, 1.0, 0.0])


def the_rest():
    close(transforms.idct(transforms.dct([1.0, 2.0, 3.0])), [1.0, 2.0, 3.0])
    equal(transforms.next_fast_len(13), 14)
    groups = scipy.cluster.hierarchy.fcluster(
        scipy.cluster.hierarchy.linkage([[0.0], [0.1], [9.0]], "ward"), 2, "maxclust"
    )
    equal(groups[0] == groups[1] != groups[2], True)
    close(np.sort(scipy.cluster.vq.kmeans([[0.0], [0.2], [9.0]], 2, seed=0)[0].ravel()), [0.1, 9.0])
    close(scipy.constants.c, 299792458.0)
    stream = io.BytesIO()
    files.savemat(stream, {"a": np.eye(2)})
    close(files.loadmat(io.BytesIO(stream.getvalue()))["a"], np.eye(2))
    sound = io.BytesIO()
    files.wavfile.write(sound, 8000, np.arange(4, dtype=np.int16))
    equal(files.wavfile.read(io.BytesIO(sound.getvalue()))[1].tolist(), [0, 1, 2, 3])


CHECKS = (
    stats, optimize, sparse, linalg, interpolate, signal, special, integrate,
    images_and_geometry, the_rest,
)  # fmt: skip
