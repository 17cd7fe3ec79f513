"""Building of the emoji: pictures from a font, names from a list, features of both, and where they come from."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.building.files import FONT, NAMES
from benchmark.building.pictures import features_of
from benchmark.building.text_encoder import TextEncoder
from benchmark.errors import TaskDataError
from benchmark.tasks.cache import files_of, keep_arrays
from benchmark.tasks.emoji import BUILD, NAME
from benchmark.tasks.local import datasets_folder, extra_needed

FONT_SIZE = 109  # the only one that this font has
SIDE = 128  # pixels; what lies outside of this square is white
LEFT = -4  # of the 136 pixels of a picture's width the middle ones
N_DECIMALS = 4  # of the features: the last bits are the machine's
LINE = re.compile(r"([0-9A-F ]+?) *; fully-qualified +# \S+ E[0-9.]+ (.+)")
SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BuiltEmoji:
    """What was built: the file, and how many emoji it has and lacks.

    Attributes:
        file: with features of both views; beside it lies what it was made from, as JSON.
        n_emoji: pairs in it.
        n_toned: variants with a skin tone, which are left out: their pictures and names differ in the tone alone.
        n_undrawn: that the font does not draw as one picture, and are left out.
        n_repeated: whose picture is that of an earlier one, which is kept with its name.
    """

    file: Path
    n_emoji: int
    n_toned: int
    n_undrawn: int
    n_repeated: int


def build_emoji(encoder: Path | None = None, *, font: Path = FONT, names: Path = NAMES) -> BuiltEmoji:
    """Make the data of `emoji-alignment` in the folder of data, in place of what is there.

    Args:
        encoder: the wheel of WordLlama, or a folder with its content; the installed package where it is None.
        font: with coloured pictures.
        names: the list of emoji and their names, in the form of Unicode's emoji-test.txt.

    Raises:
        TaskDataError: when one of them is missing or not what it should be, or an extra is not installed.
        OSError: when the folder of data cannot be written.
    """
    text_encoder = TextEncoder.load(encoder)
    listed = _listed(names)
    plain = [(emoji, name) for emoji, name in listed if not SKIN_TONES & set(emoji)]
    pictures, is_drawn = drawn(font, [emoji for emoji, _ in plain])
    seen: dict[bytes, int] = {}
    kept = [
        place
        for place, picture in enumerate(pictures)
        if is_drawn[place] and seen.setdefault(picture.tobytes(), place) == place
    ]
    titles = [plain[place][1] for place in kept]
    arrays: dict[str, NDArray[Any]] = {
        "image": np.round(features_of(pictures[kept]), N_DECIMALS),
        "text": np.round(text_encoder.embedded(titles), N_DECIMALS),
        "emoji": np.array([plain[place][0] for place in kept]),
        "name": np.array(titles),
    }
    folder = datasets_folder() / NAME
    old = files_of(folder, NAME)
    file = keep_arrays(folder, NAME, arrays)
    built = BuiltEmoji(
        file, len(kept), len(listed) - len(plain), is_drawn.count(False), is_drawn.count(True) - len(kept)
    )
    sources = {"font": _source(font), "names": _source(names), "encoder": text_encoder.source}
    _write_provenance(built, sources)
    for other in {*old} - {file}:
        other.unlink(missing_ok=True)
        other.with_suffix(".json").unlink(missing_ok=True)
    return built


def drawn(font: Path, emoji: Sequence[str]) -> tuple[Pictures, list[bool]]:
    """Return pictures (n, 128, 128, 3) of emoji on white, and whether the font draws each of them as one picture."""
    with extra_needed("rhobust build emoji"):
        from PIL import Image, ImageDraw, ImageFont, features
    if not features.check_feature("raqm"):
        raise TaskDataError(
            "Pillow must be built with Raqm, which joins the parts of an emoji, but this one is not. "
            "Install one of Pillow's own wheels: `pip install --force-reinstall --only-binary :all: pillow`."
        )
    try:
        face = ImageFont.truetype(str(font), FONT_SIZE, layout_engine=ImageFont.Layout.RAQM)
    except OSError as error:
        raise TaskDataError(f"{font} must be a font of size {FONT_SIZE}, but: {error}. {BUILD}") from error
    pictures = np.empty((len(emoji), SIDE, SIDE, 3), dtype=np.uint8)
    for place, one in enumerate(emoji):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        ImageDraw.Draw(image).text((LEFT, 0), one, font=face, embedded_color=True, fill="black")
        pictures[place] = np.asarray(image)
    is_one = [
        bool(face.getlength(one) < 2 * FONT_SIZE and picture.min() < 255)
        for one, picture in zip(emoji, pictures, strict=True)
    ]
    return pictures, is_one


def _listed(names: Path) -> list[tuple[str, str]]:
    """Return every emoji of a list with its name."""
    try:
        lines = names.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TaskDataError(f"{names} must be the list of emoji, but it cannot be read: {error}. {BUILD}") from error
    found = [match.groups() for match in map(LINE.fullmatch, lines) if match]
    if not found:
        raise TaskDataError(f"{names} must be the list of emoji, as emoji-test.txt, but no line has one. {BUILD}")
    return [("".join(chr(int(code, 16)) for code in codes.split()), name) for codes, name in found]


def _source(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _write_provenance(built: BuiltEmoji, sources: dict[str, dict[str, str]]) -> None:
    import PIL
    import tokenizers

    document = {
        "emoji": built.n_emoji,
        "left out": {
            "with a skin tone": built.n_toned,
            "not drawn as one picture": built.n_undrawn,
            "with the picture of another": built.n_repeated,
        },
        "sources": sources,
        "made with": {"numpy": np.__version__, "pillow": PIL.__version__, "tokenizers": tokenizers.__version__},
    }
    built.file.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
