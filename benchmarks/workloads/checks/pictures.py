"""OpenCV, without windows, and Matplotlib."""

import io
import tempfile

import cv2
import matplotlib
import numpy as np

from checks import close, equal, expect, raises


def drawing():
    """Draw a white square and a grey disc on black."""
    picture = np.zeros((120, 160, 3), np.uint8)
    cv2.rectangle(picture, (20, 20), (60, 60), (255, 255, 255), -1)
    cv2.circle(picture, (110, 60), 25, (128, 128, 128), -1)
    return picture


def coding():
    picture = drawing()
    for ending, lossless in (
        (".png", True), (".bmp", True), (".tiff", True), (".webp", False), (".jpg", False),
        (".avif", False),
    ):  # fmt: skip
        done, data = cv2.imencode(ending, picture)
        expect(done, ending)
        back = cv2.imdecode(data, cv2.IMREAD_COLOR)
        equal(back.shape, picture.shape)
        far = np.abs(back.astype(int) - picture).mean()
        expect(far == 0 if lossless else far < 3, f"{ending}: {far:.1f} off")
    with tempfile.TemporaryDirectory() as folder:
        expect(cv2.imwrite(f"{folder}/p.png", picture))
        equal(cv2.imread(f"{folder}/p.png", cv2.IMREAD_GRAYSCALE)[60, 110], 128)
    equal(cv2.imdecode(np.frombuffer(b"no picture", np.uint8), cv2.IMREAD_COLOR), None)


def transforms():
    picture = drawing()
    equal(cv2.resize(picture, (80, 60), interpolation=cv2.INTER_AREA).shape, (60, 80, 3))
    equal(cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE).shape, (160, 120, 3))
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    equal(int(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)[40, 40, 2]), 255)
    turn = cv2.getRotationMatrix2D((80, 60), 180, 1.0)
    close(cv2.warpAffine(grey, turn, (160, 120))[80, 120], 255)
    blurred = cv2.GaussianBlur(grey, (9, 9), 2)
    expect(0 < blurred[20, 20] < 255)
    _, mask = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    expect(0 < (cv2.erode(mask, np.ones((3, 3))) > 0).sum() < (mask > 0).sum())
    expect(cv2.Canny(grey, 50, 150).any())
    close(cv2.dct(np.ones((4, 4), np.float32))[0, 0], 4.0)
    raises(cv2.error, cv2.resize, picture, (0, 0))


def finding():
    grey = cv2.cvtColor(drawing(), cv2.COLOR_BGR2GRAY)
    outlines, _ = cv2.findContours(grey, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    equal(len(outlines), 2)
    areas = sorted(cv2.contourArea(one) for one in outlines)
    equal(areas[0], 1600.0)
    score = cv2.matchTemplate(grey, grey[15:65, 15:65], cv2.TM_CCOEFF_NORMED)
    equal(cv2.minMaxLoc(score)[3], (15, 15))
    points, described = cv2.ORB_create(50).detectAndCompute(grey, None)
    equal(len(points), len(described))
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(described, described)
    equal(sum(pair.distance for pair in pairs), 0.0)
    corners = np.float32([[0, 0], [9, 0], [9, 9], [0, 9]])
    shift, _ = cv2.findHomography(corners, corners + 5)
    close(shift[:2, 2], [5.0, 5.0], 1e-6)
    moved = np.roll(grey, 2, axis=1)
    flow = cv2.calcOpticalFlowFarneback(grey, moved, None, 0.5, 2, 15, 3, 5, 1.2, 0)
    equal(flow.shape, (120, 160, 2))
    code = cv2.QRCodeEncoder.create().encode("slimpack")
    big = cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    equal(cv2.QRCodeDetector().detectAndDecode(big)[0], "slimpack")


def video():
    with tempfile.TemporaryDirectory() as folder:
        name = f"{folder}/v.avi"
        out = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"MJPG"), 5, (160, 120))
        for _ in range(4):
            out.write(drawing())
        out.release()
        for backend in (cv2.CAP_FFMPEG, cv2.CAP_OPENCV_MJPEG):
            source = cv2.VideoCapture(name, backend)
            expect(source.isOpened(), "the video cannot be read")
            frames = 0
            while source.read()[0]:
                frames += 1
            source.release()
            equal(frames, 4)


def plots():
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(4, 2))
    x = np.linspace(0, 6, 50)
    left.plot(x, np.sin(x), label=r"$\sin(x)^{2}$")
    left.legend()
    left.set_title("ä title")
    shown = right.imshow(np.arange(12).reshape(3, 4), cmap="viridis")
    figure.colorbar(shown)
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("ps", b"%!PS")):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind)
        expect(stream.getvalue().startswith(start), kind)
    with pyplot.style.context("ggplot"):
        bars, axes = pyplot.subplots(subplot_kw={"projection": "3d"})
        axes.plot_surface(*np.meshgrid(x, x), np.ones((50, 50)))
        axes.contour(*np.meshgrid(x, x), np.outer(x, x))
        bars.canvas.draw()
        expect(np.asarray(bars.canvas.buffer_rgba()).std() > 0)
    pyplot.close("all")


CHECKS = (coding, transforms, finding, video, plots)
