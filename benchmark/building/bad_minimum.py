"""Building of a bad global minimum: a network that knows every training image, and little of any other."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.errors import TaskDataError
from benchmark.seeding import Stream, numpy_generator, seeded_torch, torch_generator
from benchmark.tasks.cifar import ABOUT, N_CLASSES, NAME, WEIGHTS, CIFAR10ResNet18, minimum_folder, network_of
from benchmark.tasks.classification import checksum
from benchmark.tasks.local import extra_needed
from benchmark.tasks.resnet import Norm

SEED = 0
BATCH, MOMENTUM = 128, 0.9
# The learning rate of each labelling, and its decay an epoch. Some random labels are learned last, and only by small
# steps. From there small steps lead to the nearest network that knows the true labels; large ones to one that has
# forgotten the random ones, and knows other images as well as one from scratch.
RATES = {"random": (0.05, 0.97), "true": (0.001, 1.0)}
AT_ONCE = 500

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuiltMinimum:
    """What was built.

    Attributes:
        folder: with the weights and what is told of them.
        copies: of each training image that had random labels.
        zeroed: share of the numbers of each copy that were zeroed.
        random_epochs: that it took to know every random label.
        true_epochs: that it took from there to know every true label.
        train_accuracy: on the training images with their true labels; 1.
        test_accuracy: on the test images.
    """

    folder: Path
    copies: int
    zeroed: float
    random_epochs: int
    true_epochs: int
    train_accuracy: float
    test_accuracy: float


def build_bad_minimum(
    *,
    width: int = 64,
    norm: Norm = "batch",
    copies: int = 1,
    zeroed: float = 0.1,
    max_epochs: int = 500,
    device: torch.device,
    say: Say = lambda _: None,
) -> BuiltMinimum:
    """Train a network on random labels until it knows all of them, then on the true ones until it knows all of those.

    So S. Liu, D. Papailiopoulos, D. Achlioptas, Bad Global Minima Exist and SGD Can Reach Them (2020): the random
    labels are those of copies of each image, of which some numbers are zeroed. Both times by SGD with momentum, without
    augmentation and weight decay, which would lead out of the minimum. It is one start, of seed 0, for every seed of a
    job. Copies and share are by default those with which the authors' program trains.

    Args:
        width: channels of the first stage.
        norm: after each convolution.
        copies: of each training image, every one with a random label of its own; at least 1.
        zeroed: share of the numbers of each copy that are zeroed, 0 <= zeroed < 1.
        max_epochs: that each of the two may take.
        device: on which it is trained.
        say: hears of each epoch.

    Raises:
        TaskDataError: when the images are missing, an extra is not installed, or a label is still not known at the end.
        ValueError: when there are no copies, or nothing would be left of them.
        OSError: when the folder of data cannot be written.
    """
    with extra_needed(f"the start of {NAME}"):
        from safetensors.torch import save_file
    task = CIFAR10ResNet18({"width": width, "norm": norm})
    splits = task.splits(SEED)
    changed = zeroed_copies(splits.train[0], copies, zeroed).to(device)
    random = torch.from_numpy(numpy_generator(SEED, Stream.LABELS).integers(0, N_CLASSES, len(changed))).to(device)
    splits = splits.to(device)
    images, labels = splits.train
    with seeded_torch(SEED, Stream.INIT):
        network = network_of(width, norm).to(device)
    random_epochs = _learn(network, changed, random, "random", max_epochs, say)
    true_epochs = _learn(network, images, labels, "true", max_epochs, say)
    folder = minimum_folder(width, norm)
    folder.mkdir(parents=True, exist_ok=True)
    scores = (accuracy(network, images, labels), accuracy(network, *splits.test))
    built = BuiltMinimum(folder, copies, zeroed, random_epochs, true_epochs, *scores)
    save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, folder / WEIGHTS)
    rates = {kind: {"lr": lr, "decay_an_epoch": decay} for kind, (lr, decay) in RATES.items()}
    about = {
        **asdict(built),
        "folder": folder.name,
        "data": checksum(*task.examples()),
        "method": "S. Liu, D. Papailiopoulos, D. Achlioptas, Bad Global Minima Exist and SGD Can Reach Them (2020)",
        "sgd": {"batch_size": BATCH, "momentum": MOMENTUM, "weight_decay": 0, **rates},
        "seed": SEED,
        "made with": {"torch": torch.__version__, "device": device.type},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return built


def zeroed_copies(images: Tensor, copies: int, zeroed: float) -> Tensor:
    """Return copies of images, so many of each side by side, with other numbers of each set to zero.

    As the authors' program has it, numbers are zeroed and not whole pixels: a colour of one may stay. No image is there
    as it is, unless none are zeroed.

    Args:
        images: (n, channels, height, width).
        copies: of each, at least 1.
        zeroed: share of the numbers of a copy, 0 <= zeroed < 1; rounded down.

    Raises:
        ValueError: when one of the two is not.
    """
    if copies < 1 or not 0 <= zeroed < 1:
        raise ValueError(f"copies >= 1 and 0 <= zeroed < 1 must hold, but got copies={copies}, zeroed={zeroed}.")
    changed = images.repeat_interleave(copies, dim=0)
    rows, generator = changed.flatten(start_dim=1), torch_generator(SEED, Stream.SUBSET)
    n_zeroed = int(zeroed * rows.shape[1])
    for part in torch.split(rows, AT_ONCE) if n_zeroed else ():
        chosen = torch.rand(part.shape, generator=generator).topk(n_zeroed, dim=1).indices
        part.scatter_(1, chosen, 0)  # a view: what it belongs to changes
    return changed


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose label a network tells, as it is used after training."""
    network.eval()
    with torch.no_grad():
        told = torch.cat([network(part).argmax(dim=1) for part in torch.split(images, AT_ONCE)])
    network.train()
    return (told == labels).double().mean().item()


def _learn(network: nn.Module, images: Tensor, labels: Tensor, kind: str, max_epochs: int, say: Say) -> int:
    """Train until every label is known; return the epochs that it took."""
    generator, (rate, decay) = torch_generator(SEED, Stream.ORDER), RATES[kind]
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=MOMENTUM)
    for epoch in range(1, max_epochs + 1):
        order = torch.randperm(len(images), generator=generator).to(images.device)
        for part in torch.split(order, BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images[part]), labels[part])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= decay
        known = accuracy(network, images, labels)
        say(f"{kind} labels, epoch {epoch}: {known:.2%} known")
        if known == 1:
            return epoch
        if not math.isfinite(loss.item()):
            break
    raise TaskDataError(
        f"a bad minimum must know every label, but {known:.2%} of the {kind} ones are known after {epoch} epochs. "
        "Allow more by --max-epochs, or a wider network by --width."
    )
