"""The files of a repository as what people choose between: one model in several quantisations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from localchat_ui.library.model_file import readable_size
from localchat_ui.library.scan import SPLIT
from localchat_ui.text import N_, Text

QUANTISATION = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d_[A-Z0-9]+(?:_[A-Z0-9]+)*|I?Q\d|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|F32|FP16|FP32))(?=[-._/]|$)",
    re.IGNORECASE,
)
# The best balance of size and quality, then the next best.
RECOMMENDED = ("Q4_K_M", "UD-Q4_K_XL", "MXFP4", "Q4_K_S", "Q4_0", "Q4_1", "IQ4_XS", "Q5_K_M", "Q8_0")
# Bits of a weight, and what they mean for whoever reads the replies.
WORDS = {
    1: N_("very small, often wrong"),
    2: N_("very small, much worse"),
    3: N_("smaller, noticeably worse"),
    4: N_("smaller, a little worse"),
    5: N_("a little better, larger"),
    6: N_("close to the original"),
    8: N_("as good as the original, large"),
    16: N_("the original, very large"),
    32: N_("the original, very large"),
}
# Matrices that were used to quantise, and heads for guessing ahead: no models.
NO_MODEL = re.compile(r"imatrix|(^|[-_.])mtp([-_.]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; `size` in bytes, `sha256` where the hub tells it."""

    name: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Offer:
    """A model in one quantisation: its files, and the projector that belongs to it."""

    files: tuple[RemoteFile, ...]
    projector: RemoteFile | None = None
    is_recommended: bool = False

    @property
    def name(self) -> str:
        return self.files[0].name

    @property
    def quantisation(self) -> str:
        return quantisation_of(self.name)

    @property
    def all_files(self) -> tuple[RemoteFile, ...]:
        return (*self.files, *([self.projector] if self.projector else []))

    @property
    def size(self) -> int:
        return sum(file.size for file in self.all_files)

    @property
    def model_size(self) -> int:
        """Bytes of the weights alone."""
        return sum(file.size for file in self.files)

    @property
    def details(self) -> str:
        """One line: `2.5 GB · recommended · 3 files · with image projector`."""
        n_files = len(self.files)
        parts = [
            readable_size(self.size),
            self.words,
            Text("{n} files", n=n_files) if n_files > 1 else "",
            N_("with image projector") if self.projector else "",
        ]
        return Text.joined(" · ", parts)

    @property
    def words(self) -> str:
        if self.is_recommended:
            return N_("recommended")
        return WORDS.get(_bits(self.quantisation), "")


def offers_of(files: Iterable[RemoteFile]) -> list[Offer]:
    """The models among the files of a repository, smallest first; parts of a split one together."""
    models: dict[tuple[str, str], list[RemoteFile]] = {}
    projectors = []
    for file in files:
        path = PurePosixPath(file.name)
        if path.suffix.lower() != ".gguf" or NO_MODEL.search(path.name):
            continue
        if "mmproj" in path.name.lower():
            projectors.append(file)
            continue
        split = SPLIT.fullmatch(path.stem)
        key = (str(path.parent / split["model"]), split["parts"]) if split else (file.name, "")
        models.setdefault(key, []).append(file)
    projector = _projector(projectors)
    offers = [Offer(tuple(sorted(parts, key=lambda file: file.name)), projector) for parts in models.values()]
    offers.sort(key=lambda offer: (offer.model_size, offer.name))
    best = recommended(offers)
    return [Offer(offer.files, projector, offer is best) for offer in offers]


def recommended(offers: Sequence[Offer]) -> Offer | None:
    """The best balance; the only one there is, whatever it is."""
    if len(offers) == 1:
        return offers[0]
    for quantisation in RECOMMENDED:
        for offer in offers:
            if offer.quantisation == quantisation:
                return offer
    return None


def quantisation_of(name: str) -> str:
    """`Q4_K_M`, from the name of a file or its folder; empty when it is not in it."""
    found = QUANTISATION.findall(re.sub(r"\.gguf$", "", name, flags=re.IGNORECASE))
    return str(found[-1]).upper() if found else ""


def _bits(quantisation: str) -> int:
    digits = re.search(r"\d+", quantisation)
    return int(digits[0]) if digits else 0


def _projector(files: Sequence[RemoteFile]) -> RemoteFile | None:
    """Half precision is what all can compute with; else the smallest."""

    def rank(file: RemoteFile) -> tuple[int, int]:
        return (("F16", "BF16").index(q) if (q := quantisation_of(file.name)) in ("F16", "BF16") else 2, file.size)

    return min(files, key=rank, default=None)
