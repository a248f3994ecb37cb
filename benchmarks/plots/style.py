"""How all pictures look, and how they are written: few colours, one font, no dates."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.catalogue import methods
from slimpack.files import atomic_file

# Of Okabe and Ito, which people tell apart who see few colours; dark enough for thin lines.
OURS, OURS_TOO, OURS_THREE = "#0072B2", "#56B4E9", "#004A75"
THEIRS, THEIRS_TOO = "#8A8A8A", "#5A5A5A"
OTHER, LIMIT = "#D55E00", "#009E73"
INK, QUIET = "#222222", "#6B6B6B"
WIDTH = 8.0  # inches, of every picture
_DPI = 144
_TITLE_LETTERS = 80  # that a line has room for
_SETTINGS: Any = {  # keys are one large Literal
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    # White, so that it reads on dark pages as well.
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # matplotlib brings it along: no picture depends on what a machine has.
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#DDDDDD",
    "svg.fonttype": "path",
    "svg.hashsalt": "slimpack",
    "text.color": INK,
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Picture:
    """A picture that is to be drawn, or was. alt: what it shows, for those who do not see it."""

    name: str
    title: str
    alt: str

    def markdown(self, folder: str) -> str:
        """Return what shows it in a page. folder: of the pictures, from the page."""
        return f"![{self.alt}]({folder}/{self.name}.svg)"


@contextmanager
def styled() -> Iterator[None]:
    """Draw in our style, whatever settings this machine has."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(title: str, height: float) -> Figure:
    """Return an empty figure with a title; to be called where the style is."""
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    figure.suptitle(
        textwrap.fill(title, _TITLE_LETTERS, break_on_hyphens=False),
        x=0.01,
        ha="left",
        fontsize=11,
        fontweight="bold",
    )
    return figure


def save(figure: Figure, picture: Picture, folder: Path) -> None:
    """Write NAME.png and NAME.svg, each whole or not at all."""

    def png(stream: IO[bytes]) -> None:
        told = {"Title": picture.title, "Description": picture.alt, "Software": None}
        figure.savefig(stream, format="png", dpi=_DPI, metadata=told)

    def svg(stream: IO[bytes]) -> None:
        told = {"Title": picture.title, "Description": picture.alt, "Date": None, "Creator": None}
        figure.savefig(stream, format="svg", metadata=told)

    writers: dict[str, Callable[[IO[bytes]], None]] = {"png": png, "svg": svg}
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, write in writers.items():
        with atomic_file(folder / f"{picture.name}.{suffix}", durable=False) as stream:
            write(stream)


def colour(method: str) -> str:
    """Return the colour of a method: blue is slimpack's, grey what people use today."""
    known = methods().get(method)
    ours = known is not None and known.kind == "slimpack"
    return _COLOURS.get(method, OURS_THREE if ours else THEIRS)


_COLOURS = {
    "safe": OURS,
    "serve": OURS_TOO,
    "tight": OURS_TOO,
    "none": OURS_TOO,
    "unverified": OURS_TOO,
    "best": OTHER,
    "conda-pack": OTHER,
}


def bare(axes: Axes) -> None:
    """Leave only the rows' names and light lines to read values by."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="x")
