r"""Letters of many scripts in many fonts, to pretrain a backbone on: it learns strokes, and is never shown a digit.

    font file --Pillow--> large letter --drawing.normalise--> 28 x 28, as MNIST's digits look

Letters that look like digits (O, I, З, Armenian Զ) are there, as the letters they are. Nothing else is: no character
that stands for a number in any script.

The fonts are packages of Debian 12, all free, and not shipped here; only what networks learnt from them is. One line
brings them all:

    apt-get install --no-install-recommends fonts-breip fonts-comfortaa fonts-comic-neue fonts-courier-prime \
        fonts-dancingscript fonts-dejavu-core fonts-dejavu-extra fonts-freefont-ttf fonts-georgewilliams \
        fonts-gfs-olga fonts-gfs-solomos fonts-jura fonts-kaushanscript fonts-klee fonts-kristi fonts-lato \
        fonts-lobster fonts-mph-2b-damase fonts-noto-core fonts-noto-extra fonts-quicksand fonts-radisnoir \
        fonts-roboto-unhinted fonts-routed-gothic fonts-rufscript fonts-sil-andika fonts-smc-chilanka \
        fonts-smc-karumbi fonts-tlwg-purisa-ttf fonts-yozvox-yozfont-antique fonts-yozvox-yozfont-cute \
        fonts-yozvox-yozfont-edu fonts-yozvox-yozfont-new-kana fonts-yozvox-yozfont-standard-kana \
        fonts-yusei-magic

Licences: SIL Open Font License 1.1 (Breip: 1.0), but for DejaVu (Bitstream Vera), Roboto (Apache 2.0), MPH 2B Damase
(public domain), and FreeFont, Rufscript and Purisa (GPL with the font exception).
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont
from scipy.ndimage import gaussian_filter

from atelier.data.drawing import normalise
from atelier.data.mnist import SIDE

FOLDERS = (Path("/usr/share/fonts"),)
HEIGHT = 96  # pixels, the size of the font that letters are drawn in before they are shrunk
FEWEST, MOST = 8, 120  # pictures of one letter: with fewer it is left out, and Latin in 300 fonts would swamp the rest
SAME = 0.993  # two pictures of one letter that are more alike than this add nothing to each other
TWIN = 0.92  # two letters that are more alike than this cannot be told apart: c and C, A and Greek Α; not C and G
UNIT = 1000  # the length of a look (see `_looks`)

# The packages, and which of their files are read. Naming them keeps out whatever else is installed: fonts that draw
# symbols for letters, or capitals for small ones, and Noto's second versions of some scripts (their names end in UI).
NOTO = "Noto[KLNRS]*[!I]-"
PACKAGES = {
    "fonts-noto-core": tuple(f"{NOTO}{style}.ttf" for style in ("Regular", "Bold", "Italic")),
    # Of up to 72 weights, widths and slants a few that differ most: the others lie between.
    "fonts-noto-extra": tuple(
        f"{NOTO}{style}.ttf"
        for style in ("Thin", "Light", "Black", "ThinItalic", "BlackItalic", "Condensed", "ExtraCondensed")
    )
    + tuple(f"{NOTO}*Condensed{weight}.ttf" for weight in ("Thin", "Light", "Bold", "Black")),
    "fonts-breip": ("Breip.ttf",),
    "fonts-comfortaa": ("Comfortaa-*.ttf",),
    "fonts-comic-neue": ("ComicNeue-*.otf",),
    "fonts-courier-prime": ("Courier Prime*.otf",),
    "fonts-dancingscript": ("DancingScript-*.otf",),
    "fonts-dejavu-core": ("DejaVuSans*.ttf", "DejaVuSerif*.ttf"),
    "fonts-dejavu-extra": ("DejaVuSans*.ttf", "DejaVuSerif*.ttf"),
    "fonts-freefont-ttf": ("Free*.ttf",),
    "fonts-georgewilliams": ("Caliban.ttf", "Caslon*.ttf", "Cupola.ttf", "GWMonospace*.ttf"),
    "fonts-gfs-olga": ("GFSOlga.otf",),
    "fonts-gfs-solomos": ("GFSSolomos.otf",),
    "fonts-jura": ("Jura-*.otf",),
    "fonts-kaushanscript": ("KaushanScript-*.otf",),
    "fonts-klee": ("KleeOne-*.ttf",),
    "fonts-kristi": ("Kristi.ttf",),
    "fonts-lato": ("Lato-*.ttf",),
    "fonts-lobster": ("lobster.otf",),
    "fonts-mph-2b-damase": ("damase.ttf",),
    "fonts-quicksand": ("Quicksand-*.ttf",),
    "fonts-radisnoir": ("RadisSans-*.otf",),
    "fonts-roboto-unhinted": ("Roboto-*.ttf", "RobotoCondensed-*.ttf"),
    "fonts-routed-gothic": ("routed-gothic*.ttf",),
    "fonts-rufscript": ("Rufscript*.ttf",),
    "fonts-sil-andika": ("Andika-*.ttf",),
    "fonts-smc-chilanka": ("Chilanka-*.otf",),
    "fonts-smc-karumbi": ("Karumbi-*.ttf",),
    "fonts-tlwg-purisa-ttf": ("Purisa*.ttf",),
    # Of 122 files those with kana of their own: the others slant or narrow the Latin letters alone.
    "fonts-yozvox-yozfont-antique": ("YOz?A[_P].ttf",),
    "fonts-yozvox-yozfont-cute": ("YOz?C_.ttf",),
    "fonts-yozvox-yozfont-edu": ("YOz?E[_X].ttf",),
    "fonts-yozvox-yozfont-new-kana": ("YOz?N[_X].ttf",),
    "fonts-yozvox-yozfont-standard-kana": ("YOz?S[_PX].ttf",),
    "fonts-yusei-magic": ("YuseiMagic-*.ttf",),
}

# Scripts that enough of these fonts have. Of two letters that look alike, the one further up stays.
SCRIPTS = {
    "Latin": range(0x41, 0x180),
    "Greek": range(0x370, 0x400),
    "Cyrillic": range(0x400, 0x482),
    "Armenian": range(0x531, 0x588),
    "Hebrew": range(0x5D0, 0x5EB),
    "Arabic": range(0x621, 0x64B),
    "Devanagari": range(0x904, 0x980),
    "Bengali": range(0x985, 0x9FD),
    "Tamil": range(0xB83, 0xBD1),
    "Telugu": range(0xC05, 0xC62),
    "Kannada": range(0xC85, 0xCE2),
    "Malayalam": range(0xD05, 0xD3B),
    "Sinhala": range(0xD85, 0xDC7),
    "Thai": range(0xE01, 0xE47),
    "Lao": range(0xE81, 0xEE0),
    "Myanmar": range(0x1000, 0x102B),
    "Georgian": range(0x10D0, 0x10FB),
    "Ethiopic": range(0x1200, 0x1358, 8),  # each consonant once, with the first of its vowels
    "Cherokee": range(0x13A0, 0x13F6),
    "Tifinagh": range(0x2D30, 0x2D68),
    "Hiragana": range(0x3041, 0x3097),
    "Katakana": range(0x30A1, 0x30FB),
}


class GlyphError(ValueError):
    """There are no fonts to draw letters from; the message says what to install."""


@dataclass(frozen=True)
class Glyphs:
    """Pictures of letters, one class a letter, sorted by class and within a class by the font's file name.

    images: `uint8[N, 28, 28]`, ink bright (up to 255) on black (0), as `drawing.normalise` leaves it.
    labels: `int64[N]`, an index into `characters`.
    characters: the letter of each class; none is a digit or a number in any script.
    fonts: the file name of each font that some picture comes from, sorted.
    """

    images: np.ndarray
    labels: np.ndarray
    characters: list[str]
    fonts: list[str]

    def split(self) -> tuple["Glyphs", "Glyphs"]:
        """A part to train on and one to validate on: every twentieth picture. Both hold the classes in about the same
        proportions, for the pictures are sorted by class."""
        validates = np.arange(len(self.labels)) % 20 == 10
        train, val = (
            replace(self, images=self.images[part], labels=self.labels[part]) for part in (~validates, validates)
        )
        return train, val


def load(folders: Sequence[Path] = FOLDERS) -> Glyphs:
    """Draw every letter of SCRIPTS in every font of PACKAGES that has it, and keep what differs.

    Takes three to four minutes on one core. The same font files give the same pictures in the same order. With all of
    PACKAGES: 42,347 pictures of 895 letters in 840 fonts.

    Args:
        folders: where font files lie, at any depth. Files that cannot be read are skipped, as are folders.

    Raises:
        GlyphError: if no letter is found in enough fonts.
    """
    letters = alphabet()
    images, letter, font, names = [], [], [], []
    for file in _files(folders):
        for index, picture in _draw(file, letters):
            images.append(picture)
            letter.append(index)
            font.append(len(names))
        names.append(file.name)
    images = np.array(images, dtype=np.uint8).reshape(-1, SIDE, SIDE)
    letter, font = np.array(letter, dtype=np.int64), np.array(font, dtype=np.int64)
    looks = _looks(images)

    chosen = {}  # a letter: the pictures of it that are kept
    for index in range(len(letters)):
        pictures = np.flatnonzero(letter == index)
        different = pictures[_different(looks[pictures])]
        if len(different) >= FEWEST:
            chosen[index] = different
    kept = _without_twins(list(chosen), looks, letter, font)
    if not kept:
        raise GlyphError(
            f"There are too few fonts to draw letters from in {', '.join(map(str, folders))}: "
            f"on Debian 12, run `apt-get install --no-install-recommends {' '.join(PACKAGES)}`."
        )
    rows = np.concatenate([chosen[index] for index in kept])
    return Glyphs(
        images=images[rows],
        labels=np.repeat(np.arange(len(kept)), [len(chosen[index]) for index in kept]),
        characters=[letters[index] for index in kept],
        fonts=[names[number] for number in np.unique(font[rows])],
    )


def alphabet() -> list[str]:
    """The letters of SCRIPTS, but for accented ones and other compounds (those that Unicode takes apart) and for
    letters that stand for a number."""
    characters = [chr(code) for codes in SCRIPTS.values() for code in codes]
    return [
        c
        for c in characters
        if unicodedata.category(c) in ("Lu", "Ll", "Lo")
        and unicodedata.normalize("NFKD", c) == c
        and unicodedata.numeric(c, None) is None
    ]


def _files(folders: Sequence[Path]) -> list[Path]:
    """The font files of PACKAGES, sorted by name; of several of one name, the first."""
    patterns = {pattern for patterns in PACKAGES.values() for pattern in patterns}
    found: dict[str, Path] = {}
    for file in sorted(file for folder in folders for file in Path(folder).rglob("*.[ot]tf")):
        if any(fnmatchcase(file.name, pattern) for pattern in patterns):
            found.setdefault(file.name, file)
    return [found[name] for name in sorted(found)]


def _draw(file: Path, letters: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """The letters that a font has, each as its index and `uint8[28, 28]`."""
    try:
        # Bytes, for in place of a broken file Pillow opens another of that name among the system's fonts.
        font = ImageFont.truetype(BytesIO(file.read_bytes()), HEIGHT, layout_engine=ImageFont.Layout.BASIC)
        missing = _ink(font, "\U0010ffff")  # never a character: what a font draws for all those it does not have
        for index, letter in enumerate(letters):
            ink = _ink(font, letter)
            if not np.array_equal(ink, missing) and (picture := normalise(ink)) is not None:
                yield index, picture
    except OSError:  # broken here: the letters before it are good
        return


def _ink(font: ImageFont.FreeTypeFont, text: str) -> np.ndarray:
    mask = font.getmask(text)
    return np.asarray(Image.frombytes("L", mask.size, bytes(mask))) if all(mask.size) else np.zeros((0, 0), np.uint8)


def _looks(images: np.ndarray) -> np.ndarray:
    """What is compared of pictures `uint8[N, 28, 28]`: every second pixel of them slightly blurred (a stroke that lies
    a pixel further is no difference), scaled to length UNIT. `float32[N, 196]`.

    The likeness of two (1: the same, 0: no ink in common) is their product divided by UNIT². The numbers are whole, so
    a product is exact, and the same whatever library multiplies.
    """
    blurred = [gaussian_filter(image.astype(np.float32), 1)[::2, ::2] for image in images]
    looks = np.array(blurred, dtype=np.float32).reshape(-1, SIDE * SIDE // 4)
    return np.rint(looks * (UNIT / np.linalg.norm(looks, axis=1, keepdims=True)))


def _different(looks: np.ndarray) -> np.ndarray:
    """At most MOST rows that differ: again and again the one least like all those taken, until none is new. So the
    thin, the narrow and the handwritten are in, and of a family's many weights only as many as there is room for."""
    if not len(looks):
        return np.zeros(0, dtype=np.int64)
    taken, likeness = [0], looks @ looks[0]
    while len(taken) < MOST and likeness.min() < SAME * UNIT**2:
        taken.append(int(likeness.argmin()))
        likeness = np.maximum(likeness, looks @ looks[taken[-1]])
    return np.sort(taken)


def _without_twins(indices: list[int], looks: np.ndarray, letter: np.ndarray, font: np.ndarray) -> list[int]:
    """The letters that do not look like an earlier one, which is to say like it in half of the fonts that have both:
    a few fonts draw a Greek Α unlike a Latin A. Letters that no font has both of are not compared."""
    place = np.full(len(letter) and letter.max() + 1, -1)
    place[indices] = np.arange(len(indices))
    both, alike = np.zeros((2, len(indices), len(indices)), dtype=np.int16)
    for number in np.unique(font):
        rows = np.flatnonzero((font == number) & (place[letter] >= 0))
        pairs = np.ix_(place[letter[rows]], place[letter[rows]])
        both[pairs] += 1
        alike[pairs] += looks[rows] @ looks[rows].T > TWIN * UNIT**2
    twins = (both > 0) & (2 * alike >= both)
    kept: list[int] = []
    for index in range(len(indices)):
        if not twins[index, kept].any():
            kept.append(index)
    return [indices[index] for index in kept]
