"""Fine-tuning of a CLIP model on image-caption pairs, both from local folders."""

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.errors import TaskDataError
from benchmark.parsing import Integer, Label, Number, SpecModel
from benchmark.tasks import retrieval
from benchmark.tasks.alignment import (
    BLOCK,
    K_NEIGHBOURS,
    MAX_SCALE,
    alignment_metrics,
    loss_of_blocks,
    recalls_of,
    shape_of,
)
from benchmark.tasks.lazy import Split, in_memory, taken
from benchmark.tasks.local import datasets_folder, extra_needed, quiet_loading, shades_of
from benchmark.tasks.pairs import Tokens, pixels_of, read_pairs
from benchmark.tasks.protocol import Batch, Metric, Model, Splits, Task

NAME = "clip-alignment"
VIEWS = ("image", "text")
N_SCORED = 1000
PAIRS_AT_ONCE = BLOCK  # in a measurement
MEAN, SD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP, where none are told
WEIGHTS = "model.safetensors"
GET_MODEL = (
    "Put a CLIP model there, as transformers' save_pretrained writes it: config.json, model.safetensors, "
    "tokenizer.json, preprocessor_config.json."
)


def _metrics() -> tuple[Metric, ...]:
    """Return the metrics of an alignment, but with the common neighbours first, as the study has it, on the curve."""
    known = {metric.name: metric for metric in alignment_metrics(VIEWS, N_SCORED)}
    neighbours = known.pop("mutual_knn")
    first = Metric(neighbours.name, neighbours.goal, neighbours.tolerance, neighbours.chance, neighbours.description)
    return (first, *known.values())


class ClipAlignmentParameters(SpecModel):
    """Parameters of `clip-alignment`."""

    model: Annotated[Label, Field(description="folder in `models` with the CLIP model that is fine-tuned")] = (
        "clip-vit-base-patch32"
    )
    pairs: Annotated[Label, Field(description="folder in `pairs` with images and captions")] = "captions"
    n_scored: Annotated[
        Integer, Field(ge=BLOCK, le=10_000, description="pairs of validation and of test that are scored, the first")
    ] = N_SCORED
    loss_scale: Annotated[Number, Field(gt=0, description="factor on the training loss")] = 1.0


class ClipAlignment(Task):
    """Fine-tune CLIP, so that an image finds its caption and the nearest neighbours in both views agree.

    All parameters are trained. Splits are the same under every seed, and so is the start: seeds differ in the order of
    batches alone. Those that are scored are kept in memory, cut to the size of the model; those that are trained on are
    read batch by batch.
    """

    name: ClassVar[str] = NAME
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Fine-tuning of a CLIP model on image-caption pairs"
    source: ClassVar[str] = (
        "model and pairs are brought by the user, under licences of their own; the method: A. Radford et al., Learning "
        "Transferable Visual Models From Natural Language Supervision (2021)"
    )
    metrics: ClassVar[tuple[Metric, ...]] = _metrics()
    can_split: ClassVar[bool] = True
    Parameters: ClassVar[type[SpecModel]] = ClipAlignmentParameters
    params: ClipAlignmentParameters

    @functools.cached_property
    def data_version(self) -> str:
        """Checksum of the files that are trained on, of what is scored as the model sees it, and of its weights."""
        weights = hashlib.sha256((self._folder / WEIGHTS).read_bytes())
        weights.update(self._splits.checksum().encode())
        return weights.hexdigest()[:16]

    def splits(self, seed: int) -> Splits:
        """Return images (n, 3, side, side) of whole numbers and tokens (n, length) of each split.

        Raises:
            TaskDataError: when the model, a list or an image that is scored is missing or damaged, or an extra is not
                installed. Whoever reads an image that is trained on and damaged hears of it then.
        """
        return self._splits

    def data(self, seed: int, device: torch.device) -> Splits:
        """Return the splits on a device, which all seeds share."""
        return super().data(0, device)

    def model(self, seed: int) -> nn.Module:
        """Return the model as its folder has it."""
        with extra_needed(self.name):
            from transformers import CLIPModel
        try:
            with quiet_loading():
                clip = CLIPModel.from_pretrained(
                    self._folder,
                    attn_implementation="eager",  # the others have no second derivatives
                    dtype=torch.float32,
                    local_files_only=True,
                    use_safetensors=True,
                )
        except (OSError, ValueError) as error:
            raise TaskDataError(f"{self._folder} must hold a CLIP model, but: {error} {GET_MODEL}") from error
        return _Clip(clip, *(shades_of(self._folder) or (MEAN, SD)))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the symmetric InfoNCE loss of a batch, ln n at chance, times the factor of the parameters."""
        return self.params.loss_scale * retrieval.info_nce(*model(*batch))

    def evaluate(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return the common neighbours and the recall at 10 of the scored pairs, and the loss of all."""
        a, b, scale = _embedded(model, _parts(split))
        ours, theirs = a[: self.params.n_scored], b[: self.params.n_scored]
        similarities = ours @ theirs.mT
        recalls = [retrieval.recall_at([10], way)[0] for way in (similarities, similarities.mT)]
        return {
            "mutual_knn": retrieval.mutual_knn(ours, theirs, K_NEIGHBOURS),
            "recall_at_10": torch.stack(recalls).mean(),
            "loss": loss_of_blocks(a, b, scale),
        }

    def evaluate_end(self, model: Model, split: Batch) -> dict[str, Tensor]:
        """Return recall at 1 and 5, each direction's recall, and the shape of the shared space."""
        a, b = (view[: self.params.n_scored] for view in _embedded(model, _parts(split))[:2])
        shape = {name: value for name, value in shape_of(a, b).items() if name != "mutual_knn"}
        return {**recalls_of(VIEWS, a, b), **shape}

    def train_loss(self, model: Model, train: Split) -> Tensor:
        """Return the loss of all pairs, whose images are read a few at once."""
        return loss_of_blocks(*_embedded(model, _parts(train)))

    def chance(self, metric: str) -> float:
        """Return the level of chance, which depends on the number of scored pairs."""
        n = self.params.n_scored
        if metric == "mutual_knn":
            return K_NEIGHBOURS / (n - 1)
        return int(metric.rpartition("_")[2]) / n if "recall_at" in metric else super().chance(metric)

    def has_collapsed(self, train_loss: float, scores: Mapping[str, float]) -> bool:
        """Whether a finished run forgot what its start had learned: a loss or a score at chance."""
        primary = self.metrics[0].name
        return train_loss >= 0.99 * self.chance("loss") or scores[primary] <= self.chance(primary)

    @functools.cached_property
    def _splits(self) -> Splits:
        config = _config(self._folder)
        tokens = Tokens.load(self._folder, config.text_config.max_position_embeddings)
        folder = datasets_folder() / "pairs" / self.params.pairs
        parts = []
        for split, n in (("train", None), ("validation", self.params.n_scored), ("test", self.params.n_scored)):
            images, captions = read_pairs(folder / split, n)
            parts.append((pixels_of(images, config.vision_config.image_size), tokens.codes_of(captions)))
        train, validation, test = parts
        if len(train[0]) < BLOCK:
            raise TaskDataError(f"{folder} must have at least {BLOCK} pairs to train on, but has {len(train[0])}.")
        return Splits(cast(Batch, train), in_memory(validation), in_memory(test))

    @property
    def _folder(self) -> Path:
        folder = datasets_folder() / "models" / self.params.model
        if not (folder / WEIGHTS).is_file():
            raise TaskDataError(f"{folder} must hold the model that is fine-tuned, but has no {WEIGHTS}. {GET_MODEL}")
        return folder


class _Clip(nn.Module):
    """A CLIP model on images and tokens as they are kept."""

    def __init__(self, clip: Any, mean: Sequence[float], sd: Sequence[float]) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(sd).reshape(-1, 1, 1), persistent=False)
        self.mean: Tensor
        self.sd: Tensor

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both embeddings (n, dim), each row of length 1, and the scale, at most 100."""
        found = self.clip(input_ids=tokens, pixel_values=(images / 255 - self.mean) / self.sd)
        return found.image_embeds, found.text_embeds, self.clip.logit_scale.clamp(max=math.log(MAX_SCALE)).exp()


def _config(folder: Path) -> Any:
    with extra_needed(NAME):
        from transformers import CLIPConfig
    try:
        return CLIPConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise TaskDataError(
            f"{folder} must hold the configuration of a CLIP model, but: {error} {GET_MODEL}"
        ) from error


def _parts(split: Split) -> Iterator[Batch]:
    """Yield a whole split, a few pairs at once."""
    return taken(split, torch.split(torch.arange(len(split[0])), PAIRS_AT_ONCE))


def _embedded(model: Model, parts: Iterator[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the embeddings of the pairs of all parts, and the scale."""
    images, texts, scales = zip(*(model(*part) for part in parts), strict=True)
    return torch.cat(images), torch.cat(texts), scales[0]
