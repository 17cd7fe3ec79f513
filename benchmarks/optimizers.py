"""Measure what a rule costs over the passes it cannot do without.

    python -m benchmarks.optimizers            # the table, about two minutes
    python -m benchmarks.optimizers --smoke    # seconds; shows that it runs, not how fast

Times are medians over rounds in which the contestants take turns, as ratios within a round, so that a busy machine
slows all of them alike. The reference of a step is two plain forward and backward passes and one step of the base,
SGD with momentum; that of the arithmetic alone is the base's step, gradients filled anew off the clock. Memory is what
the process has at its peak beyond the base optimizer's peak, in copies of the parameters.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

import optimizers

Step: TypeAlias = Callable[[], object]


def nothing() -> None:
    """Prepare a step that needs no preparation."""


@dataclass(frozen=True)
class Contestant:
    """What is timed.

    Attributes:
        step: an update, on the clock.
        prepare: what comes before it, off the clock.
    """

    step: Step
    prepare: Step = nothing


REFERENCE = "two passes + base"
BARE = "per-parameter SAM"
FLOOR = "multi-tensor SAM, bare"
RIVAL = "pytorch_optimizer SAM"
TAKE_HALF_STEPS = (FLOOR, BARE, RIVAL)
SGD: dict[str, Any] = {"lr": 1e-5, "momentum": 0.9}


class PerParameterSAM:
    """SAM as one would write it down: a loop over parameters, a fresh copy of each."""

    def __init__(self, params: Sequence[Tensor], rho: float) -> None:
        self.params = list(params)
        self.rho = rho
        self.base = torch.optim.SGD(self.params, **SGD)
        self.saved: list[Tensor] = []

    @torch.no_grad()
    def first_step(self) -> None:
        """Move to the perturbed point."""
        gradients = [p.grad for p in self.params if p.grad is not None]
        norm = torch.stack([g.norm() for g in gradients]).norm()
        self.saved = []
        for parameter, gradient in zip(self.params, gradients, strict=True):
            self.saved.append(parameter.clone())
            parameter.add_(gradient * (self.rho / (norm + 1e-12)))

    @torch.no_grad()
    def second_step(self) -> None:
        """Go back and step."""
        for parameter, saved in zip(self.params, self.saved, strict=True):
            parameter.copy_(saved)
        self.base.step()


class MultiTensorSAM:
    """The least that SAM can do: four multi-tensor calls and a norm, no group, no look at what is not finite."""

    def __init__(self, params: Sequence[Tensor], rho: float) -> None:
        self.params = list(params)
        self.rho = rho
        self.base = torch.optim.SGD(self.params, **SGD)
        self.flat = torch.empty(sum(p.numel() for p in self.params))
        pieces = torch.split(self.flat, [p.numel() for p in self.params])
        self.memory = [piece.view_as(p) for piece, p in zip(pieces, self.params, strict=True)]

    @torch.no_grad()
    def first_step(self) -> None:
        """Move to the perturbed point."""
        gradients = [p.grad for p in self.params if p.grad is not None]
        torch._foreach_copy_(self.memory, gradients)
        norm = float(torch.linalg.vector_norm(self.flat))
        torch._foreach_copy_(self.memory, self.params)
        torch._foreach_add_(self.params, gradients, alpha=self.rho / norm)

    @torch.no_grad()
    def second_step(self) -> None:
        """Go back and step."""
        torch._foreach_copy_(self.params, self.memory)
        self.base.step()


@dataclass(frozen=True)
class Workload:
    """A network and a batch.

    Attributes:
        make: builds the network.
        inputs: of a batch.
        targets: of a batch, class indices.
    """

    make: Callable[[], nn.Module]
    inputs: Tensor
    targets: Tensor


def mlp(width: int = 64, layers: int = 20) -> nn.Module:
    """Return an MLP of ``2 * layers`` tensors."""
    stack: list[nn.Module] = []
    for _ in range(layers - 1):
        stack += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*stack, nn.Linear(width, 10))


def cnn() -> nn.Module:
    """Return a small convolutional network with batch norm."""
    stack: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        stack += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*stack, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


def resnet18_shapes() -> list[tuple[int, ...]]:
    """Return the shapes of ResNet-18's 62 tensors, 11.7 million elements."""
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    inputs = 64
    for outputs in (64, 128, 256, 512):
        for _ in range(2):
            norm: list[tuple[int, ...]] = [(outputs,), (outputs,)]
            shapes += [(outputs, inputs, 3, 3), *norm, (outputs, outputs, 3, 3), *norm]
            if inputs != outputs:
                shapes += [(outputs, inputs, 1, 1), *norm]
            inputs = outputs
    return [*shapes, (1000, 512), (1000,)]


def build(name: str, params: Sequence[Tensor], model: nn.Module | None = None, *, fused: bool = False) -> Any:
    """Return the optimizer of a name over SGD with momentum; a ``model`` is one whose buffers are to count once."""
    if fused:
        cls: Any = optimizers.optimizer_info(name).cls
        return cls(params, torch.optim.SGD, model=model, rho=0.05, fused=True, **SGD)
    if name == BARE:
        return PerParameterSAM(params, rho=0.05)
    if name == FLOOR:
        return MultiTensorSAM(params, rho=0.05)
    if name == RIVAL:
        import pytorch_optimizer  # the comparison is optional, the measurement is not

        return pytorch_optimizer.SAM(params, torch.optim.SGD, rho=0.05, **SGD)
    return optimizers.build(name, params, "sgd", {**SGD, "rho": 0.05} if name != "gd" else SGD, model=model)


def contestants() -> list[str]:
    """Return all names, ours first."""
    ours = ["sam", "msam", *(name for name in optimizers.optimizer_names() if name not in ("sam", "msam", "gd"))]
    return [*ours, FLOOR, BARE, *([RIVAL] if importlib.util.find_spec("pytorch_optimizer") else [])]


def training_step(name: str, workload: Workload, *, fused: bool = False) -> Contestant:
    """Return a whole update on a workload."""
    torch.manual_seed(0)
    model = workload.make()
    params = list(model.parameters())
    frozen = model if list(model.buffers()) else None
    optimizer: Any = (
        torch.optim.SGD(params, fused=fused, **SGD) if name == REFERENCE else build(name, params, frozen, fused=fused)
    )

    def closure() -> Tensor:
        for parameter in params:
            parameter.grad = None
        loss = nn.functional.cross_entropy(model(workload.inputs), workload.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def reference() -> None:
        closure()
        closure()
        optimizer.step()

    def half_steps() -> None:
        closure()
        optimizer.first_step()
        closure()
        optimizer.second_step()

    if name == REFERENCE:
        return Contestant(reference)
    return Contestant(half_steps if name in TAKE_HALF_STEPS else lambda: optimizer.step(closure))


def arithmetic(name: str, shapes: Sequence[tuple[int, ...]], *, refill: bool = True) -> Contestant:
    """Return an update whose passes cost nothing: gradients are there already, anew for each where ``refill`` is."""
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    gradients = [torch.randn(shape) for shape in shapes]
    for parameter, gradient in zip(params, gradients, strict=True):
        parameter.grad = gradient.clone() if refill else gradient

    def prepare() -> None:
        for parameter, gradient in zip(params, gradients, strict=True):
            cast(Tensor, parameter.grad).copy_(gradient)

    before = prepare if refill else nothing
    if name == REFERENCE:
        return Contestant(torch.optim.SGD(params, **SGD).step, before)
    optimizer = build(name, params)
    if name in TAKE_HALF_STEPS:

        def half_steps() -> None:
            optimizer.first_step()
            optimizer.second_step()

        return Contestant(half_steps, before)
    return Contestant(lambda: optimizer.step(lambda: 0.0), before)


def timed(contestant: Contestant, repeats: int) -> float:
    """Return the mean seconds of a step."""
    total = 0.0
    for _ in range(repeats):
        contestant.prepare()
        start = time.perf_counter()
        contestant.step()
        total += time.perf_counter() - start
    return total / repeats


def ratios(contestants: Mapping[str, Contestant], rounds: int, repeats: int) -> tuple[dict[str, float], float]:
    """Return the median ratio of each step's time to the reference's in the same round, and the reference's seconds."""
    for contestant in contestants.values():
        timed(contestant, 6)  # past every first call, and LookSAM's whole cycle
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        names = list(contestants)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(timed(contestants[name], repeats))
    reference = seconds[REFERENCE]
    medians = {
        name: statistics.median(own / base for own, base in zip(times, reference, strict=True))
        for name, times in seconds.items()
    }
    return medians, statistics.median(reference)


def peak_copies(name: str, elements: int) -> float:
    """Return the peak memory of updates in a process of its own, in copies of the parameters."""
    command = [sys.executable, __file__, "--peak-of", name, "--elements", str(elements)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(result.stdout) / (4 * elements)


def print_peak(name: str, elements: int) -> None:
    """Run updates and print the process's peak memory in bytes."""
    timed(arithmetic(name, [(elements // 8,)] * 8, refill=False), 6)
    # Not getrusage's maximum, which a process inherits from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) * 1024)


def print_table(title: str, rows: Mapping[str, float], unit: str) -> None:
    """Print one measurement."""
    print(f"\n{title}")
    for name, value in rows.items():
        print(f"  {name:24s} {value:8.3f} {unit}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few rounds, small tensors")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--elements", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1 if options.smoke else options.threads)
    if options.peak_of:
        print_peak(options.peak_of, options.elements)
        return
    rounds = 3 if options.smoke else 31
    names = ["sam", "msam", "gsam", BARE] if options.smoke else contestants()
    repeats = 1 if options.smoke else 5
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {rounds} rounds")
    workloads = {
        "(a) MLP of 40 tensors, batch 64": Workload(mlp, torch.randn(64, 64), torch.randint(10, (64,))),
        "(c) CNN, batch 32": Workload(cnn, torch.randn(32, 3, 32, 32), torch.randint(10, (32,))),
    }
    for title, workload in workloads.items():
        medians, base = ratios({name: training_step(name, workload) for name in [REFERENCE, *names]}, rounds, repeats)
        print_table(f"{title}: step / ({REFERENCE}: {base * 1e3:.2f} ms)", medians, "x")
        if title.startswith("(a)"):
            fused = {name: training_step(name, workload, fused=True) for name in (REFERENCE, "sam", "msam")}
            medians, base = ratios(fused, rounds, repeats)
            print_table(f"{title}, fused base on both sides: step / ({REFERENCE}: {base * 1e3:.2f} ms)", medians, "x")
    shapes = [(64, 64), (64,)] * 20 if options.smoke else resnet18_shapes()
    medians, base = ratios({name: arithmetic(name, shapes) for name in [REFERENCE, *names]}, max(rounds // 3, 3), 2)
    print_table(f"(b) arithmetic on ResNet-18's tensors: step / (base step: {base * 1e3:.2f} ms)", medians, "x")
    elements = 2**23 if options.smoke else 2**26
    chosen = ["sam", "gsam"] if options.smoke else names
    floor = peak_copies(REFERENCE, elements)
    extra = {name: peak_copies(name, elements) - floor for name in chosen}
    print_table("peak memory beyond the base optimizer's", extra, "copies of the parameters")


if __name__ == "__main__":
    main()
