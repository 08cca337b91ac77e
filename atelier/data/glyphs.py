r"""Letters of many scripts in many fonts, on which a backbone is pretrained: it learns strokes without any digit.

    font file --Pillow--> large letter --drawing.normalise--> 28 x 28, like MNIST's digits

Letters that look like digits (O, I, З, Armenian Զ) are included as letters. No character is included that is a number
in any script.

The fonts are free packages of Debian 12. This project ships the pretrained weights, not the fonts. One command installs
all of them:

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
FEWEST, MOST = 8, 120  # pictures of one letter: rarer letters are dropped, and Latin in 300 fonts would dominate
SAME = 0.993  # similarity above which a second picture of a letter adds nothing
TWIN = 0.92  # similarity above which two letters count as the same: c and C, A and Greek Α; not C and G
UNIT = 1000  # the length of a vector of `_compared`

# The packages, and which of their files are read. Other installed fonts are excluded: some draw symbols for letters, or
# capitals for small letters. So are Noto's second versions of some scripts (their names end in UI).
NOTO = "Noto[KLNRS]*[!I]-"
PACKAGES = {
    "fonts-noto-core": tuple(f"{NOTO}{style}.ttf" for style in ("Regular", "Bold", "Italic")),
    # A few of up to 72 weights, widths and slants: the ones that differ most.
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
    # Of 122 files those with kana of their own: the others only slant or narrow the Latin letters.
    "fonts-yozvox-yozfont-antique": ("YOz?A[_P].ttf",),
    "fonts-yozvox-yozfont-cute": ("YOz?C_.ttf",),
    "fonts-yozvox-yozfont-edu": ("YOz?E[_X].ttf",),
    "fonts-yozvox-yozfont-new-kana": ("YOz?N[_X].ttf",),
    "fonts-yozvox-yozfont-standard-kana": ("YOz?S[_PX].ttf",),
    "fonts-yusei-magic": ("YuseiMagic-*.ttf",),
}

# Scripts that enough of these fonts have. Of two similar letters, the one in the earlier script stays.
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
    "Ethiopic": range(0x1200, 0x1358, 8),  # each consonant once, with its first vowel
    "Cherokee": range(0x13A0, 0x13F6),
    "Tifinagh": range(0x2D30, 0x2D68),
    "Hiragana": range(0x3041, 0x3097),
    "Katakana": range(0x30A1, 0x30FB),
}


class GlyphError(ValueError):
    """The fonts for the letters are missing; the message names the packages to install."""


@dataclass(frozen=True)
class Glyphs:
    """Pictures of letters, one class per letter, sorted by class and within a class by the font's file name.

    images: `uint8[N, 28, 28]`, ink bright (up to 255) on black (0), as `drawing.normalise` returns it.
    labels: `int64[N]`, an index into `characters`.
    characters: the letter of each class; none is a digit or a number in any script.
    fonts: the file names of the fonts of all pictures, sorted.
    """

    images: np.ndarray
    labels: np.ndarray
    characters: list[str]
    fonts: list[str]

    def split(self) -> tuple["Glyphs", "Glyphs"]:
        """Split into training and validation: every twentieth picture validates.

        Both parts have the classes in about the same proportions, because the pictures are sorted by class.
        """
        validates = np.arange(len(self.labels)) % 20 == 10
        train, val = (
            replace(self, images=self.images[part], labels=self.labels[part]) for part in (~validates, validates)
        )
        return train, val


def load(folders: Sequence[Path] = FOLDERS) -> Glyphs:
    """Draw every letter of SCRIPTS in every font of PACKAGES that has it, and keep the pictures that differ.

    Takes three to four minutes on one core. The same font files give the same pictures in the same order. With all of
    PACKAGES: 42,347 pictures of 895 letters in 840 fonts.

    Args:
        folders: with font files at any depth. Files that cannot be read are skipped.

    Raises:
        GlyphError: if no letter exists in enough fonts.
    """
    letters = alphabet()
    pictures: list[np.ndarray] = []
    indices: list[int] = []
    numbers: list[int] = []
    names: list[str] = []
    for file in _files(folders):
        for index, picture in _draw(file, letters):
            pictures.append(picture)
            indices.append(index)
            numbers.append(len(names))
        names.append(file.name)
    images = np.array(pictures, dtype=np.uint8).reshape(-1, SIDE, SIDE)
    letter, font = np.array(indices, dtype=np.int64), np.array(numbers, dtype=np.int64)
    vectors = _compared(images)

    chosen = {}  # letter: its pictures that are kept
    for index in range(len(letters)):
        drawn = np.flatnonzero(letter == index)
        different = drawn[_different(vectors[drawn])]
        if len(different) >= FEWEST:
            chosen[index] = different
    kept = _without_twins(list(chosen), vectors, letter, font)
    if not kept:
        raise GlyphError(
            f"There are too few fonts in {', '.join(map(str, folders))}. "
            f"On Debian 12, run `apt-get install --no-install-recommends {' '.join(PACKAGES)}`."
        )
    rows = np.concatenate([chosen[index] for index in kept])
    return Glyphs(
        images=images[rows],
        labels=np.repeat(np.arange(len(kept)), [len(chosen[index]) for index in kept]),
        characters=[letters[index] for index in kept],
        fonts=[names[number] for number in np.unique(font[rows])],
    )


def alphabet() -> list[str]:
    """The letters of SCRIPTS, without compounds that Unicode decomposes (such as é) and without numbers."""
    characters = [chr(code) for codes in SCRIPTS.values() for code in codes]
    return [
        c
        for c in characters
        if unicodedata.category(c) in ("Lu", "Ll", "Lo")
        and unicodedata.normalize("NFKD", c) == c
        and unicodedata.numeric(c, None) is None
    ]


def _files(folders: Sequence[Path]) -> list[Path]:
    """The font files of PACKAGES, sorted by name; of several files with one name, the first."""
    patterns = {pattern for patterns in PACKAGES.values() for pattern in patterns}
    fonts: dict[str, Path] = {}
    for file in sorted(file for folder in folders for file in Path(folder).rglob("*.[ot]tf")):
        if any(fnmatchcase(file.name, pattern) for pattern in patterns):
            fonts.setdefault(file.name, file)
    return [fonts[name] for name in sorted(fonts)]


def _draw(file: Path, letters: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """The letters that a font has: index and picture `uint8[28, 28]` of each."""
    try:
        # From bytes: instead of a broken file, Pillow would open a system font of the same name.
        font = ImageFont.truetype(BytesIO(file.read_bytes()), HEIGHT, layout_engine=ImageFont.Layout.BASIC)
        missing = _ink(font, "\U0010ffff")  # never a character: a font draws all missing letters like this
        for index, letter in enumerate(letters):
            ink = _ink(font, letter)
            if not np.array_equal(ink, missing) and (picture := normalise(ink)) is not None:
                yield index, picture
    except OSError:  # the file is broken from here on; the letters before are good
        return


def _ink(font: ImageFont.FreeTypeFont, text: str) -> np.ndarray:
    mask = font.getmask(text)
    return np.asarray(Image.frombytes("L", mask.size, bytes(mask))) if all(mask.size) else np.zeros((0, 0), np.uint8)


def _compared(images: np.ndarray) -> np.ndarray:
    """Vectors for the comparison of pictures: `uint8[N, 28, 28]` to `float32[N, 196]` of length UNIT.

    Pictures are slightly blurred, because a stroke one pixel away is no difference, and every second pixel is used.
    The similarity of two (1: the same, 0: no common ink) is their product divided by UNIT². The numbers are whole, so
    that products are exact and the same with every library.
    """
    blurred = [gaussian_filter(image.astype(np.float32), 1)[::2, ::2] for image in images]
    vectors = np.array(blurred, dtype=np.float32).reshape(-1, SIDE * SIDE // 4)
    return np.rint(vectors * (UNIT / np.linalg.norm(vectors, axis=1, keepdims=True)))


def _different(vectors: np.ndarray) -> np.ndarray:
    """Indices of at most MOST rows that differ.

    The row least similar to all selected ones is added until no row is new. This includes thin, narrow and handwritten
    fonts first, and of a family's many weights only as many as there is room for.
    """
    if not len(vectors):
        return np.zeros(0, dtype=np.int64)
    selected, similarity = [0], vectors @ vectors[0]
    while len(selected) < MOST and similarity.min() < SAME * UNIT**2:
        selected.append(int(similarity.argmin()))
        similarity = np.maximum(similarity, vectors @ vectors[selected[-1]])
    return np.sort(selected)


def _without_twins(indices: list[int], vectors: np.ndarray, letter: np.ndarray, font: np.ndarray) -> list[int]:
    """The letters that do not look like an earlier one.

    Two letters look alike if they do so in half of the fonts that have both, because a few fonts draw a Greek Α unlike
    a Latin A. Letters without a common font are not compared.
    """
    place = np.full(len(letter) and letter.max() + 1, -1)
    place[indices] = np.arange(len(indices))
    both, alike = np.zeros((2, len(indices), len(indices)), dtype=np.int16)
    for number in np.unique(font):
        rows = np.flatnonzero((font == number) & (place[letter] >= 0))
        pairs = np.ix_(place[letter[rows]], place[letter[rows]])
        both[pairs] += 1
        alike[pairs] += vectors[rows] @ vectors[rows].T > TWIN * UNIT**2
    twins = (both > 0) & (2 * alike >= both)
    kept: list[int] = []
    for index in range(len(indices)):
        if not twins[index, kept].any():
            kept.append(index)
    return [indices[index] for index in kept]
