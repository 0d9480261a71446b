"""How fast a model runs, as far as that follows from how fast others did.

A token is done when all weights that it needs were read from memory and multiplied. Which of the two takes longer
depends on the machine and on how the weights are packed, so a forecast is a range: by the bytes and by the weights,
from the models that are packed most alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from localchat_ui.library.estimate import BYTES_A_NUMBER, KvType, Shape
from localchat_ui.text import N_, Text

# How far replies were from what models of zeros that are packed alike let expect (docs/performance.md), how far models
# are from each other, a model from itself, and prompts.
TRIAL_LOW, TRIAL_HIGH = 0.45, 1.0
OTHER_LOW, OTHER_HIGH = 0.7, 1.3
SAME_LOW, SAME_HIGH = 0.9, 1.1
READ_LOW, READ_HIGH = 0.5, 1.3
ALIKE = math.log(1.1)
# Of a weight, in Q4_K_M.
TYPICAL_BITS = 4.85
# People read about as fast; and nobody sees a difference beyond.
SLOW, FAST = 5, 300


Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Work:
    """What a token costs: bytes to be read, and weights to multiply with; of a prompt only the last token's all.

    `kv_bytes` are read as well in the middle of a full context.
    """

    n_bytes: Positive
    n_weights: Positive
    n_prompt_weights: Positive
    kv_bytes: float = field(default=0.0, compare=False)

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 8 * self.n_bytes / self.n_weights


def work_of(weights: int, shape: Shape, *, n_ctx: int = 0, kv_type: KvType = "f16") -> Work:
    """Of a model of `weights` bytes; where its shape is not known, as if it was packed as most are and all was read."""
    n_bytes = max(1.0, weights * shape.read_share)
    n_weights = shape.active_weights or max(1.0, 8 * n_bytes / TYPICAL_BITS)
    return Work(
        n_bytes,
        n_weights,
        max(n_weights / 4, n_weights - shape.n_vocab * shape.n_embd),
        shape.kv_width * BYTES_A_NUMBER[kv_type] * n_ctx / 2,
    )


@dataclass(frozen=True)
class Range:
    """Tokens per second."""

    low: float
    high: float

    @property
    def text(self) -> Text:
        """`40-60` with a dash, in numbers nobody takes for exact."""
        return Text.joined("–", dict.fromkeys((_rounded(self.low), _rounded(self.high))))


@dataclass(frozen=True)
class Speed:
    """How fast a model writes, and how fast it reads prompts, if that is known. `is_seen`: it has been seen here."""

    decode: Range
    prompt: Range | None = None
    is_seen: bool = False

    @property
    def text(self) -> str:
        """In one line for people."""
        if self.decode.low > FAST:
            return Text("more than {n} tokens per second", n=FAST)
        about, slow = N_("about {range} tokens per second"), N_("slow: about {range} tokens per second")
        return Text(about if self.decode.high >= SLOW else slow, range=self.decode.text)

    @property
    def details(self) -> str:
        """The same with where it is from, and with the prompts."""
        text = Text("{speed}, as measured here", speed=self.text) if self.is_seen else self.text
        if self.prompt is None:
            return text
        return Text("{speed}; reads prompts at about {range}", speed=text, range=self.prompt.text)


@dataclass
class Observation:
    """A model as it was seen to run here: tokens per second of its last replies, and of their prompts.

    `is_trial`: it is one of zeros, which nobody chats with.
    """

    name: str
    work: Work
    decode: list[float] = field(default_factory=list)
    prompt: list[float] = field(default_factory=list)
    is_trial: bool = False


def decode_range(seen: Sequence[Observation], work: Work) -> Range:
    """By those that are packed most alike: as many bytes a second, and as many weights."""
    distances = [abs(math.log(each.work.bits / work.bits)) for each in seen]
    alike = [each for each, far in zip(seen, distances, strict=True) if far <= min(distances) + ALIKE]
    lows, highs = [], []
    for each in [each for each in alike if not each.is_trial] or alike:
        speed = statistics.median(each.decode)
        estimates = speed * each.work.n_bytes / work.n_bytes, speed * each.work.n_weights / work.n_weights
        lows.append(min(estimates) * (TRIAL_LOW if each.is_trial else OTHER_LOW))
        highs.append(max(estimates) * (TRIAL_HIGH if each.is_trial else OTHER_HIGH))
    # In the middle of a long conversation what it holds is read as well.
    longer = work.n_bytes / (work.n_bytes + work.kv_bytes)
    return Range(min(lows) * longer, max(highs))


def prompt_range(seen: Sequence[Observation], work: Work) -> Range | None:
    """Prompts are bound by arithmetic, nearly whatever the weights are packed in."""
    if not seen:
        return None
    speeds = [statistics.median(each.prompt) * each.work.n_prompt_weights / work.n_prompt_weights for each in seen]
    return Range(min(speeds) * READ_LOW, max(speeds) * READ_HIGH)


def spread(samples: Sequence[float]) -> tuple[float, float]:
    """Where the middle half of them is."""
    if len(samples) < 2:
        return samples[0], samples[0]
    first, _middle, third = statistics.quantiles(samples, n=4, method="inclusive")
    return first, third


def _rounded(speed: float) -> float:
    rounded = max(0.1, round(speed, -1 if speed >= 100 else 0 if speed >= 10 else 1))
    return int(rounded) if rounded == int(rounded) else rounded
