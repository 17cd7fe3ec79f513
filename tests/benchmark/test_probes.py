"""A job measures what a cell of each setting takes by itself."""

import json

from benchmark import Spec
from benchmark.choice import StepTiming, device_name, timing_key
from benchmark.probes import Probe, probes_of
from benchmark.spec import expand
from tests.benchmark.toys import CPU, make_spec, toy_document


def test_a_cell_of_each_setting_is_probed_alone() -> None:
    optimizers = [{"name": "sam", "fixed": {"rho": 0.5}}, {"name": "msam", "fixed": {"rho": 0.5}}]
    spec = make_spec(optimizers=optimizers, gd=False)
    sam, msam = (grid.setting for grid in spec.grids)
    fresh = {timing_key(sam, device_name(CPU)): StepTiming(None, 7.0)}
    found = probes_of(expand(spec), CPU, fresh=fresh)
    assert found.keys() == {sam.key, msam.key}
    assert found[sam.key].step_s == 7.0
    assert 0 < found[msam.key].step_s < 1
    assert found[sam.key].peak_bytes == found[msam.key].peak_bytes > 0
    assert found[msam.key].device == "cpu"
    again = probes_of(expand(spec), CPU, fresh=fresh)
    assert {key: one.peak_bytes for key, one in again.items()} == {key: one.peak_bytes for key, one in found.items()}


def test_a_larger_model_takes_more_memory() -> None:
    def n_bytes(hidden: int) -> int:
        spec = Spec.from_mapping(
            {
                "name": "sizes",
                "tasks": [{"name": "digits-mlp", "params": {"hidden": hidden}}],
                "budget": {"epochs": 1},
                "optimizers": [{"name": "gd"}],
                "space": {"lr": {"values": [0.1]}},
                "seeds": {"count": 1},
            }
        )
        (one,) = probes_of(expand(spec), CPU).values()
        return one.peak_bytes

    small, large = n_bytes(8), n_bytes(512)
    assert large - small > 4 * 504 * (64 + 10)  # at least the parameters themselves


def test_what_cannot_be_trained_is_not_probed() -> None:
    spec = Spec.from_mapping(toy_document({"bad": {"fault": "raise", "call": 2}, "good": {}}))
    assert set(probes_of(expand(spec), CPU)) == {grid.setting.key for grid in spec.grids if grid.task == "good"}


def test_a_probe_goes_through_json() -> None:
    probe = Probe(0.125, 1 << 33, "cuda")
    assert Probe.from_dict(json.loads(json.dumps(probe.to_dict()))) == probe
