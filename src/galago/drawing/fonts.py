"""Open fonts of the system: which families are trained on, which are held out, and how a line of text is set.

Fonts are looked for by file name under the system's font folders. None is bundled; `scripts/fonts` installs
the Debian packages named here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from galago.drawing.effects import Colour
from galago.drawing.sample import Glyph, Setting, Split
from galago.errors import TrainingError, UsageError
from galago.frozen import frozen


@frozen
class Family:
    """A font family: the Debian package that holds it and the file names of the styles in use."""

    name: str
    package: str
    style: str
    files: tuple[str, ...]


def _family(name: str, package: str, style: str, *files: str) -> Family:
    return Family(name, package, style, files)


def _styles(stem: str, ending: str, *styles: str) -> tuple[str, ...]:
    return tuple(f"{stem}{style}{ending}" for style in styles)


_TRAIN = (
    _family("Anonymous Pro", "fonts-anonymous-pro", "mono", "Anonymous Pro.ttf", "Anonymous Pro B.ttf"),
    _family("B612", "fonts-b612", "sans", *_styles("B612-", ".otf", "Regular", "Bold", "Italic")),
    _family(
        "Cabin", "fonts-cabin", "sans", *_styles("Cabin-", ".otf", "Regular", "Bold", "Italic", "Medium")
    ),
    _family("Cantarell", "fonts-cantarell", "sans", *_styles("Cantarell-", ".otf", "Regular", "Bold")),
    _family(
        "Clear Sans", "fonts-clear-sans", "sans", *_styles("ClearSans-", ".ttf", "Regular", "Bold", "Medium")
    ),
    _family("Comfortaa", "fonts-comfortaa", "sans", *_styles("Comfortaa-", ".ttf", "Regular", "Bold")),
    _family(
        "Courier Prime",
        "fonts-courier-prime",
        "mono",
        *_styles("Courier Prime", ".otf", "", " Bold", " Sans"),
    ),
    _family(
        "Carlito",
        "fonts-crosextra-carlito",
        "sans",
        *_styles("Carlito-", ".ttf", "Regular", "Bold", "Italic"),
    ),
    _family("DejaVu Sans", "fonts-dejavu-core", "sans", *_styles("DejaVuSans", ".ttf", "", "-Bold")),
    _family("DejaVu Serif", "fonts-dejavu-core", "serif", *_styles("DejaVuSerif", ".ttf", "", "-Bold")),
    _family("DejaVu Sans Mono", "fonts-dejavu-core", "mono", *_styles("DejaVuSansMono", ".ttf", "", "-Bold")),
    _family("Dosis", "fonts-dosis", "sans", *_styles("Dosis-", ".otf", "Medium", "SemiBold", "Bold")),
    _family("EB Garamond", "fonts-ebgaramond", "serif", *_styles("EBGaramond12-", ".otf", "Regular", "Bold")),
    _family(
        "Fira Code", "fonts-firacode", "mono", *_styles("FiraCode-", ".ttf", "Regular", "Bold", "Medium")
    ),
    _family("FreeSans", "fonts-freefont-ttf", "sans", *_styles("FreeSans", ".ttf", "", "Bold", "Oblique")),
    _family("FreeSerif", "fonts-freefont-ttf", "serif", *_styles("FreeSerif", ".ttf", "", "Bold", "Italic")),
    _family("FreeMono", "fonts-freefont-ttf", "mono", "FreeMonoBold.ttf"),
    _family("Go", "fonts-go", "sans", *_styles("Go-", ".ttf", "Regular", "Bold", "Italic", "Medium")),
    _family("Go Mono", "fonts-go", "mono", *_styles("Go-Mono", ".ttf", "", "-Bold")),
    _family("Inconsolata", "fonts-inconsolata", "mono", "Inconsolata.otf"),
    _family(
        "Inter", "fonts-inter", "sans", *_styles("Inter-", ".otf", "Regular", "Medium", "Bold", "Italic")
    ),
    _family(
        "JetBrains Mono",
        "fonts-jetbrains-mono",
        "mono",
        *_styles("JetBrainsMono-", ".ttf", "Regular", "Bold"),
    ),
    _family("Karla", "fonts-karla", "sans", *_styles("Karla-", ".otf", "Regular", "Bold", "Italic")),
    _family(
        "Liberation Sans",
        "fonts-liberation2",
        "sans",
        *_styles("LiberationSans-", ".ttf", "Regular", "Bold", "Italic"),
    ),
    _family(
        "Liberation Serif",
        "fonts-liberation2",
        "serif",
        *_styles("LiberationSerif-", ".ttf", "Regular", "Bold", "Italic"),
    ),
    _family(
        "Liberation Mono", "fonts-liberation2", "mono", *_styles("LiberationMono-", ".ttf", "Regular", "Bold")
    ),
    _family("Libertine", "fonts-linuxlibertine", "serif", *_styles("LinLibertine_", ".otf", "R", "RB", "RI")),
    _family("Biolinum", "fonts-linuxlibertine", "sans", *_styles("LinBiolinum_", ".otf", "R", "RB")),
    _family("mononoki", "fonts-mononoki", "mono", *_styles("mononoki-", ".ttf", "Regular", "Bold")),
    _family(
        "Noto Sans Mono", "fonts-noto-mono", "mono", *_styles("NotoSansMono-", ".ttf", "Regular", "Bold")
    ),
    _family("OCR-B", "fonts-ocr-b", "mono", "OCRB.otf"),
    _family(
        "Open Sans",
        "fonts-open-sans",
        "sans",
        *_styles("OpenSans-", ".ttf", "Regular", "Bold", "Italic", "Semibold"),
    ),
    _family("Play", "fonts-play", "sans", *_styles("Play-", ".ttf", "Regular", "Bold")),
    _family("Quattrocento", "fonts-quattrocento", "serif", "Quattrocento-Regular.otf"),
    _family(
        "Quicksand", "fonts-quicksand", "sans", *_styles("Quicksand-", ".ttf", "Regular", "Medium", "Bold")
    ),
    _family(
        "Roboto",
        "fonts-roboto-unhinted",
        "sans",
        *_styles("Roboto-", ".ttf", "Regular", "Medium", "Bold", "Italic"),
    ),
    _family(
        "Roboto Condensed",
        "fonts-roboto-unhinted",
        "sans",
        *_styles("RobotoCondensed-", ".ttf", "Regular", "Bold"),
    ),
    _family("Roboto Slab", "fonts-roboto-slab", "serif", *_styles("RobotoSlab-", ".otf", "Regular", "Bold")),
    _family("Sora", "fonts-sora", "sans", *_styles("Sora-", ".otf", "Regular", "SemiBold")),
    _family("C059", "fonts-urw-base35", "serif", *_styles("C059-", ".otf", "Roman", "Bold")),
    _family(
        "Nimbus Roman",
        "fonts-urw-base35",
        "serif",
        *_styles("NimbusRoman-", ".otf", "Regular", "Bold", "Italic"),
    ),
    _family("Nimbus Sans", "fonts-urw-base35", "sans", *_styles("NimbusSans-", ".otf", "Regular", "Bold")),
    _family(
        "Nimbus Sans Narrow",
        "fonts-urw-base35",
        "sans",
        *_styles("NimbusSansNarrow-", ".otf", "Regular", "Bold"),
    ),
    _family("P052", "fonts-urw-base35", "serif", *_styles("P052-", ".otf", "Roman", "Bold", "Italic")),
    _family("URW Bookman", "fonts-urw-base35", "serif", *_styles("URWBookman-", ".otf", "Light", "Demi")),
    _family("URW Gothic", "fonts-urw-base35", "sans", *_styles("URWGothic-", ".otf", "Book", "Demi")),
)

_HELD_OUT = (
    _family("Andika", "fonts-sil-andika", "sans", *_styles("Andika-", ".ttf", "Regular", "Bold")),
    _family(
        "Caladea",
        "fonts-crosextra-caladea",
        "serif",
        *_styles("Caladea-", ".ttf", "Regular", "Bold", "Italic"),
    ),
    _family(
        "Fantasque Sans Mono",
        "fonts-fantasque-sans",
        "mono",
        *_styles("FantasqueSansMono-", ".ttf", "Regular", "Bold"),
    ),
    _family("Lato", "fonts-lato", "sans", *_styles("Lato-", ".ttf", "Regular", "Bold", "Medium", "Italic")),
    _family("PT Mono", "fonts-paratype", "mono", "PTM55F.ttf", "PTM75F.ttf"),
    _family("PT Sans", "fonts-paratype", "sans", "PTS55F.ttf", "PTS75F.ttf", "PTS56F.ttf"),
    _family("PT Serif", "fonts-paratype", "serif", "PTF55F.ttf", "PTF75F.ttf", "PTF56F.ttf"),
    _family(
        "Vollkorn", "fonts-vollkorn", "serif", *_styles("Vollkorn-", ".ttf", "Regular", "Medium", "Bold")
    ),
)

_MINIMAL_FILES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf")
BUILT_IN = ""
"""The path that stands for the one font that Pillow carries in itself."""

FAMILIES: Mapping[Split, tuple[Family, ...]] = {Split.TRAIN: _TRAIN, Split.HELD_OUT: _HELD_OUT}
"""Every family by split; no family is in both."""

_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
)


@frozen
class Face:
    """One font file; `at` and `with_capitals` give it at a size."""

    path: str

    def at(self, size: int) -> FreeTypeFont:
        """The font at `size` pixels per em; fonts are cached, so do not modify the result."""
        return _load(self.path, size)

    def with_capitals(self, height: float) -> FreeTypeFont:
        """The font at the size at which an H is `height` pixels high."""
        return self.at(max(6, round(height / _capital_ratio(self.path))))


def choose(rng: np.random.Generator, setting: Setting, styles: Sequence[str] = ()) -> Face:
    """A face of the setting's split and font set; `styles` restricts it to "sans", "serif", "mono".

    Raises TrainingError when fonts of the full set are not installed, UsageError for an unknown font set.
    """
    if setting.fonts == "minimal":
        paths = _minimal()
        return Face(paths[int(rng.integers(len(paths)))])
    if setting.fonts != "full":
        raise UsageError(f"fonts is {setting.fonts!r}; it must be 'full' or 'minimal'")
    families = _installed(setting.split, tuple(styles))
    paths = families[int(rng.integers(len(families)))]
    return Face(paths[int(rng.integers(len(paths)))])


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: FreeTypeFont, fill: int | Colour
) -> list[Glyph]:
    """Writes one line of text with its baseline starting `at` (x, y) -> its glyphs, left to right."""
    draw.text(at, text, fill=fill, font=font, anchor="ls")
    return glyphs_of(at, text, font)


def glyphs_of(at: tuple[float, float], text: str, font: FreeTypeFont) -> list[Glyph]:
    """The visible characters of a line that `write` would set; all centres are half a capital high."""
    left, baseline = at
    middle = baseline - capital_height(font) / 2
    advances = _advances(_path(font))
    widths = [advances[ord(character)] for character in text]
    scale = font.getlength(text) / (sum(widths) or 1.0)
    glyphs = []
    for character, width in zip(text, widths, strict=True):
        if character != " ":
            glyphs.append(Glyph(character, left + width * scale / 2, middle))
        left += width * scale
    return glyphs


def capital_height(font: FreeTypeFont) -> float:
    """Pixels from the baseline to the top of an H."""
    return font.size * _capital_ratio(_path(font))


def length(text: str, font: FreeTypeFont) -> float:
    """The width of a line in pixels, to within a few percent; much faster than `font.getlength`."""
    advances = _advances(_path(font))
    return font.size * sum(advances[ord(character)] for character in text)


def missing_packages() -> tuple[str, ...]:
    """Debian packages of which a font file is not found on this machine, in order."""
    found = _files()
    families = [family for split in Split for family in FAMILIES[split]]
    return tuple(sorted({f.package for f in families if not all(file in found for file in f.files)}))


@cache
def _files() -> dict[str, str]:
    """Font file name -> path; of several files of a name the first in order of paths."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        for place, _, names in sorted(os.walk(Path(folder).expanduser())):
            for name in names:
                found.setdefault(name, str(Path(place, name)))
    return found


@cache
def _installed(split: Split, styles: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    missing = missing_packages()
    if missing:
        raise TrainingError(
            f"fonts that the drawings use are not installed: {', '.join(missing)}",
            hint=f"scripts/fonts, or: apt-get install {' '.join(missing)}",
        )
    found = _files()
    families = [family for family in FAMILIES[split] if not styles or family.style in styles]
    return tuple(tuple(found[file] for file in family.files) for family in families)


@cache
def _minimal() -> tuple[str, ...]:
    found = _files()
    return tuple(found[file] for file in _MINIMAL_FILES if file in found) or (BUILT_IN,)


@lru_cache(maxsize=1024)
def _load(path: str, size: int) -> FreeTypeFont:
    if path == BUILT_IN:
        font = ImageFont.load_default(size)
        if not isinstance(font, FreeTypeFont):
            raise TrainingError("this Pillow was built without FreeType, so it cannot draw text")
        return font
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _path(font: FreeTypeFont) -> str:
    return font.path if isinstance(font.path, str) else BUILT_IN


@cache
def _advances(path: str) -> tuple[float, ...]:
    """The advance of every ASCII character, in ems; without kerning."""
    font = _load(path, 200)
    return tuple(font.getlength(chr(code)) / 200 if code >= 32 else 0.0 for code in range(127))


@cache
def _capital_ratio(path: str) -> float:
    _, top, _, bottom = _load(path, 200).getbbox("H", anchor="ls")
    return float(bottom - top) / 200
