"""Character language model: a small transformer on the names of the characters of Unicode 3.2, which Python carries."""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from benchmark.errors import TaskDataError
from benchmark.parsing import Integer, Number, SpecModel
from benchmark.seeding import Stream, numpy_generator
from benchmark.tasks.classification import cross_entropy
from benchmark.tasks.protocol import Batch, Metric, Model, Splits, Task

SHA256 = "ed37fef8051fddf454cedf9f4af417f90536e22f741f8822f2e7a77fbb57fe51"
ALPHABET = "\n -0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
N_CHARACTERS, N_SPACES = 354_744, 40_429  # of the whole text; nothing is as frequent as the space
RULED = ("CJK UNIFIED IDEOGRAPH-", "CJK COMPATIBILITY IDEOGRAPH-", "HANGUL SYLLABLE ")
TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1
INIT_SD = 0.02
BLOCKS_AT_ONCE = 256  # in a measurement: attention over more of them fills the memory where many cells are measured


class CharlmTransformerParameters(SpecModel):
    """Parameters of `charlm-transformer`."""

    width: Annotated[Integer, Field(ge=2, le=1024, description="units of a character's state; a multiple of heads")] = (
        64
    )
    heads: Annotated[Integer, Field(ge=1, le=32, description="attention heads of a layer")] = 4
    depth: Annotated[Integer, Field(ge=1, le=12, description="number of layers")] = 2
    context: Annotated[Integer, Field(ge=2, le=256, description="most characters from which the next is told")] = 32
    loss_scale: Annotated[Number, Field(gt=0, description="factor on the training loss")] = 1.0
    train_share: Annotated[Number, Field(ge=0.01, le=1, description="share of the training names that is used")] = 1.0

    @model_validator(mode="after")
    def _whole_heads(self) -> "CharlmTransformerParameters":
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, but got width={self.width}, heads={self.heads}.")
        return self


class CharlmTransformer(Task):
    """Tell the next character of names such as "GREEK SMALL LETTER OMEGA", one name a line.

    The text is the same in every Python: Unicode never changes a name that it has given, and Python keeps the database
    of version 3.2 for its internet names, whatever version it follows otherwise. Names that are made by a rule, of
    ideographs and Hangul syllables, are left out; 12,886 are left, 354,744 characters of an alphabet of 39. Every loss
    is in bits a character, also the one that is trained.
    """

    name: ClassVar[str] = "charlm-transformer"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Next character of the names of Unicode 3.2 (39 symbols) with a two-layer transformer"
    source: ClassVar[str] = (
        "The Unicode Consortium, Unicode Character Database 3.2.0 (2002), Unicode License; "
        "as every Python ships it (unicodedata.ucd_3_2_0)"
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "minimize", 0.05, math.log2(len(ALPHABET)), "mean cross-entropy in bits per character"),
        Metric("accuracy", "maximize", 0.01, N_SPACES / N_CHARACTERS, "share of characters told right"),
    )
    can_split: ClassVar[bool] = True
    Parameters: ClassVar[type[SpecModel]] = CharlmTransformerParameters
    params: CharlmTransformerParameters

    @property
    def data_version(self) -> str:
        """Checksum of the text."""
        _names()  # raises where they are others
        return SHA256[:16]

    @property
    def can_fuse(self) -> bool:
        """Whether many cells can be trained at once: always."""
        return True

    def splits(self, seed: int) -> Splits:
        """Return blocks of each split, 80 / 10 / 10 % of the names: characters (n, context), and the next of each.

        The names of a split stand in a random order. Blocks do not overlap; what fills none is left out.

        Raises:
            TaskDataError: when this Python has no names of Unicode 3.2, or others.
        """
        names = _names()
        order = numpy_generator(seed, Stream.SPLIT).permutation(len(names))
        ends = np.cumsum([round(share * len(names)) for share in (TRAIN_SHARE, VALIDATION_SHARE)])
        train, validation, test = np.split(order, ends)
        kept = numpy_generator(seed, Stream.SUBSET).permutation(len(train))
        train = train[np.sort(kept[: max(1, round(self.params.train_share * len(train)))])]
        return Splits(*(self._blocks([names[index] for index in part]) for part in (train, validation, test)))

    def _blocks(self, names: Sequence[str]) -> Batch:
        codes = torch.tensor([CODES[character] for character in "".join(f"{name}\n" for name in names)])
        n_blocks = (len(codes) - 1) // self.params.context
        whole = codes[: n_blocks * self.params.context + 1]
        return tuple(part.reshape(n_blocks, self.params.context) for part in (whole[:-1], whole[1:]))

    def model(self, seed: int) -> nn.Module:
        """Return the transformer, initialised so that it starts at chance."""
        return _Transformer(self.params)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the cross-entropy in bits per character, times the factor of the parameters."""
        characters, following = batch
        return self.params.loss_scale * _bits(model(characters), following)

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy in bits per character, whatever the training loss is, and the accuracy."""
        loss = accuracy = torch.zeros((), device=split[0].device)
        for characters, following in zip(*(torch.split(part, BLOCKS_AT_ONCE) for part in split), strict=True):
            logits, share = model(characters), len(characters) / len(split[0])
            loss = loss + share * _bits(logits, following)
            accuracy = accuracy + share * (logits.argmax(dim=-1) == following).to(torch.float32).mean()
        return {"loss": loss, "accuracy": accuracy}

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        """Whether a finished run learned nothing: untrained networks are at chance, with next to no spread."""
        chance = self.chance("loss")
        return train_loss >= 0.99 * chance or scores["loss"] >= chance


class _Transformer(nn.Module):
    """A decoder with normalisation before each part, as in GPT-2, and without dropout.

    Source: A. Radford et al., Language Models are Unsupervised Multitask Learners (2019).
    """

    def __init__(self, params: CharlmTransformerParameters) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET), params.width)
        self.positions = nn.Parameter(torch.empty(params.context, params.width))
        self.layers = nn.Sequential(*(_Layer(params) for _ in range(params.depth)))
        self.norm = nn.LayerNorm(params.width)
        self.head = nn.Linear(params.width, len(ALPHABET), bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                is_residual = name.endswith(("mixed.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=INIT_SD / math.sqrt(2 * params.depth) if is_residual else INIT_SD)

    def forward(self, characters: Tensor) -> Tensor:
        """Return logits (n, context, alphabet) of the character after each; codes (n, context)."""
        states = self.characters(characters) + self.positions[: characters.shape[-1]]
        logits: Tensor = self.head(self.norm(self.layers(states)))
        return logits


class _Layer(nn.Module):
    """Attention to the characters before, then a network of one hidden layer; both add to what they are given."""

    def __init__(self, params: CharlmTransformerParameters) -> None:
        super().__init__()
        width, self._heads = params.width, params.heads
        self.norm_attention, self.norm_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gelu = nn.GELU()
        is_later = torch.ones(params.context, params.context, dtype=torch.bool).triu(1)
        self.register_buffer("is_later", is_later, persistent=False)
        self.is_later: Tensor

    def forward(self, states: Tensor) -> Tensor:
        """Return the states (n, context, width) after this layer."""
        states = states + self._attention(self.norm_attention(states))
        changed: Tensor = states + self.narrow(self.gelu(self.wide(self.norm_network(states))))
        return changed

    def _attention(self, states: Tensor) -> Tensor:
        # by hand: fused kernels of attention cannot be mapped over cells with second derivatives
        length = states.shape[-2]
        queries, keys, values = self.asked(states).unflatten(-1, (3, self._heads, -1)).movedim(-3, 0).transpose(-2, -3)
        similarities = queries @ keys.mT / math.sqrt(queries.shape[-1])
        weights = similarities.masked_fill(self.is_later[:length, :length], -math.inf).softmax(dim=-1)
        mixed: Tensor = self.mixed((weights @ values).transpose(-2, -3).flatten(-2))
        return mixed


CODES = {character: code for code, character in enumerate(ALPHABET)}


def _bits(logits: Tensor, following: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1), following.flatten()) / math.log(2)


@functools.cache
def _names() -> tuple[str, ...]:
    """Return the names of Unicode 3.2 in the order of their characters, without those that are made by a rule."""
    try:
        from unicodedata import ucd_3_2_0 as database  # a module of its own, which a build of Python may lack
    except ImportError as error:
        raise TaskDataError(f"Python must have the module unicodedata, but got: {error}. Use another build.") from error
    given = (database.name(chr(code), "") for code in range(0x110000))
    names = tuple(name for name in given if name and not name.startswith(RULED))
    found = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
    if found != SHA256:
        raise TaskDataError(
            f"the names of Unicode 3.2 must have the sha256 {SHA256}, but those of this Python have {found}. "
            "Use another build of Python."
        )
    return names
