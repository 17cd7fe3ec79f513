import pytest
import torch
from torch import Tensor, nn

from optimizers import frozen_buffers
from tests.optimizers.cases import backward

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "BatchNorm1d": (nn.BatchNorm1d(3), (8, 3)),
    "BatchNorm2d": (nn.BatchNorm2d(3), (4, 3, 5, 5)),
    "BatchNorm3d": (nn.BatchNorm3d(3), (2, 3, 4, 4, 4)),
    "BatchNorm2d, cumulative": (nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 5)),
    "BatchNorm1d, untracked": (nn.BatchNorm1d(3, track_running_stats=False), (8, 3)),
    "SyncBatchNorm": (nn.SyncBatchNorm(3), (8, 3)),
    "InstanceNorm1d": (nn.InstanceNorm1d(3, affine=True, track_running_stats=True), (4, 3, 6)),
    "InstanceNorm2d": (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (4, 3, 5, 5)),
    "InstanceNorm3d": (nn.InstanceNorm3d(3, affine=True, track_running_stats=True), (2, 3, 4, 4, 4)),
    "LazyBatchNorm1d": (nn.LazyBatchNorm1d(), (8, 3)),
    "LayerNorm": (nn.LayerNorm(3), (8, 3)),
    "GroupNorm": (nn.GroupNorm(1, 3), (8, 3)),
    "RMSNorm": (nn.RMSNorm(3), (8, 3)),
    "LocalResponseNorm": (nn.LocalResponseNorm(2), (4, 3, 5)),
    "spectral_norm": (nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)), (8, 3)),
}


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


@pytest.mark.parametrize("name", LAYERS)
def test_second_pass_leaves_the_buffers_of_every_norm_layer(name: str) -> None:
    layer, shape = LAYERS[name]
    layer.train()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if name != "SyncBatchNorm":  # needs an accelerator to run; its buffers are found all the same
        layer(x)
    before, objects = buffers(layer), [id(b) for b in layer.buffers()]
    with frozen_buffers(layer):
        if name != "SyncBatchNorm":
            expected = layer(x * 3 + 1)
        for buffer in layer.buffers():
            buffer.add_(1)
    after = buffers(layer)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert [id(b) for b in layer.buffers()] == objects
    if name not in ("SyncBatchNorm", "spectral_norm"):
        torch.testing.assert_close(expected, layer(x * 3 + 1))


def test_tracking_layers_do_move_without_it() -> None:
    moved = []
    for name, (layer, shape) in LAYERS.items():
        if name == "SyncBatchNorm":
            continue
        layer(torch.randn(shape))
        before = buffers(layer)
        layer(torch.randn(shape) + 5)
        if any(not torch.equal(before[key], after) for key, after in buffers(layer).items()):
            moved.append(name)
    assert {"BatchNorm1d", "BatchNorm2d, cumulative", "InstanceNorm2d"} <= set(moved)


def test_evaluation_mode_is_left_alone() -> None:
    layer = nn.InstanceNorm1d(3, track_running_stats=True).eval()
    x = torch.randn(4, 3, 6)
    expected = layer(x)
    with frozen_buffers(layer):
        assert torch.equal(layer(x), expected)


def test_backward_may_come_after_it() -> None:
    layer = nn.Sequential(nn.BatchNorm1d(3), nn.InstanceNorm1d(3, track_running_stats=True))
    x = torch.randn(4, 3, 6, requires_grad=True)
    with frozen_buffers(layer):
        loss = layer(x).square().sum()
    backward(loss)
    assert x.grad is not None


def test_a_replaced_buffer_is_put_back_even_after_an_error() -> None:
    layer = nn.BatchNorm1d(3)
    original = layer.running_mean

    def replace_and_fail() -> None:
        with frozen_buffers(layer, layer):
            layer.running_mean = torch.ones(3)
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        replace_and_fail()
    assert layer.running_mean is original


def test_memory_is_kept_and_follows_the_buffers() -> None:
    layer = nn.BatchNorm1d(3)
    memory: list[Tensor] = []
    pointers = set()
    for _ in range(3):
        with frozen_buffers(layer, memory=memory):
            assert not memory
            layer(torch.randn(8, 3))
        assert layer.num_batches_tracked == 0
        pointers.add(memory[0].data_ptr())
    assert len(pointers) == 1
    layer.double()
    layer.running_mean = torch.full((3,), 1 / 3, dtype=torch.float64)
    with frozen_buffers(layer, memory=memory), frozen_buffers(layer, memory=memory):
        layer(torch.randn(8, 3, dtype=torch.float64))
    assert layer.running_mean.tolist() == [1 / 3] * 3
    assert memory[0].dtype == torch.float64
