"""Figures as files, drawn by matplotlib: letters as paths in SVG, so that they look the same everywhere.

Only matplotlib's renderers are used, which draw paths and text where a scene says; with its own axes and layout a
figure took ten times as long. No setting of the user's (matplotlibrc, style files) has an effect.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D

from fedskew.errors import FedskewError
from fedskew.files import replace_file
from fedskew.report.figures.scene import (
    SHAPES,
    Area,
    Group,
    Item,
    Line,
    Marks,
    Picture,
    Places,
    Scene,
    Words,
)
from fedskew.report.figures.style import PAPER
from fedskew.wording import in_one_line

POINTS = 72
"""In an inch."""
FONT = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""The file that comes with matplotlib, and so is the same on every machine."""
OPTIONS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {
        "pil_kwargs": {"compress_level": 3}
    },  # a tenth larger than by default, and written in half the time
}
"""How a format is written: without the time, so that the same figure is the same file."""
SETTINGS: Any = {  # matplotlib's own type lists every setting by name
    "font.family": ["DejaVu Sans"],
    "svg.fonttype": "path",
    "svg.hashsalt": "fedskew",  # the same figure is the same file
    "text.parse_math": False,  # a label is a user's text: a dollar sign in it is a dollar sign
}


@contextmanager
def own_settings() -> Iterator[None]:
    """matplotlib's defaults with our own settings; what was set before is put back."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def save_scene(scene: Scene, *paths: Path, dpi: int = 300) -> None:
    """Writes a scene into files; their endings choose the format (.svg, .png, .pdf).

    Raises:
        FedskewError: a format is unknown or a file cannot be written.
    """
    with own_settings():
        figure = Figure(figsize=(scene.width / POINTS, scene.height / POINTS), facecolor=PAPER)
        figure.add_artist(_Drawing(scene))
        for path in paths:
            save_figure(figure, path, dpi)


def save_figure(figure: Figure, path: Path, dpi: int = 300) -> None:
    """Writes a figure of matplotlib's; the ending chooses the format. The same figure gives the same bytes.

    Raises:
        FedskewError: the format is unknown or the file cannot be written.
    """
    FigureCanvasAgg(figure)
    kind = path.suffix[1:].lower()
    options = OPTIONS.get(kind, {})
    try:
        content = io.BytesIO()
        figure.savefig(content, format=kind or None, dpi=dpi, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())
    except (OSError, ValueError) as error:
        raise FedskewError(f"cannot write the picture {path}: {error}") from None


class _Drawing(Artist):
    """A scene as the only artist of a figure of its size."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene
        self.set_in_layout(False)

    def draw(self, renderer: RendererBase) -> None:
        """Draws everything in its order."""
        pen = _Pen(renderer, self.scene.height)
        for item in self.scene.items:
            pen.draw(item)


class _Pen:
    """Draws items by a renderer, whose origin is the lower left corner and whose unit is a pixel."""

    def __init__(self, renderer: RendererBase, height: float) -> None:
        self.renderer = renderer
        self.unit = float(np.asarray(renderer.points_to_pixels(1.0)))
        self.height = height * self.unit
        self.transform = Affine2D().scale(self.unit, -self.unit).translate(0, self.height)

    def draw(self, item: Item) -> None:
        match item:
            case Group():
                for inner in item.items:
                    self.draw(inner)
            case Line():
                self._line(item)
            case Area():
                outline = Outline(np.vstack([item.corners, item.corners[:1]]), closed=True)
                self._path(outline, item.colour, item.opacity, 0.0, filled=True)
            case Marks():
                self._marks(item)
            case Words():
                self._words(item)
            case Picture():
                self._picture(item)

    def _line(self, line: Line) -> None:
        places: Places = np.vstack([np.asarray(path, dtype=np.float64) for path in line.paths])
        codes = [
            code for path in line.paths for code in (Outline.MOVETO, *[Outline.LINETO] * (len(path) - 1))
        ]
        outline = Outline(places, codes)
        self._path(outline, line.colour, line.opacity, line.width, line.dash)

    def _path(
        self,
        outline: Outline,
        colour: str,
        opacity: float,
        width: float,
        dash: tuple[float, ...] = (),
        filled: bool = False,
    ) -> None:
        pen = self._colour(colour, opacity, width)
        if dash:
            pen.set_dashes(0, [length * width for length in dash])
        self.renderer.draw_path(pen, outline, self.transform, to_rgb(colour) if filled else None)
        pen.restore()

    def _marks(self, marks: Marks) -> None:
        if marks.shape == "o":
            shape, size = Outline.unit_circle(), marks.size / 2
        else:
            shape, size = Outline([*SHAPES[marks.shape], SHAPES[marks.shape][0]], closed=True), marks.size
        scaled = Affine2D().scale(size * self.unit, -size * self.unit)
        pen = self._colour(marks.colour, marks.opacity, 0.0)
        places = Outline(np.asarray(marks.places, dtype=np.float64))
        self.renderer.draw_markers(pen, shape, scaled, places, self.transform, to_rgb(marks.colour))
        pen.restore()

    def _words(self, words: Words) -> None:
        font, text = FontProperties(fname=FONT, size=words.size), in_one_line(words.text)
        length, _, _ = self.renderer.get_text_width_height_descent(text, font, ismath=False)
        back = {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor] * length
        x, y = words.place[0] * self.unit, words.place[1] * self.unit
        x, y = (x, y + back) if words.turned else (x - back, y)
        pen = self._colour(words.colour, 1.0, 0.0)
        down = y if self.renderer.flipy() else self.height - y
        self.renderer.draw_text(pen, x, down, text, font, 90.0 if words.turned else 0.0, ismath=False)
        pen.restore()

    def _picture(self, picture: Picture) -> None:
        left, top, right, bottom = (self.unit * length for length in picture.box)
        rows, columns = picture.pixels.shape[:2]
        sharp = self.renderer.get_image_magnification()
        tall, wide = round(sharp * (bottom - top)), round(sharp * (right - left))
        down = np.arange(tall)[::-1] * rows // tall  # the lowest line first
        across = np.arange(wide) * columns // wide
        solid = np.full((tall, wide, 1), 255, dtype=np.uint8)
        pixels = np.concatenate([picture.pixels[down][:, across], solid], axis=2)
        pen = self.renderer.new_gc()
        self.renderer.draw_image(pen, left, self.height - bottom, pixels)
        pen.restore()

    def _colour(self, colour: str, opacity: float, width: float) -> Any:
        pen = self.renderer.new_gc()
        pen.set_foreground(colour)
        pen.set_alpha(opacity)
        pen.set_linewidth(width)
        pen.set_joinstyle("round")
        return pen
