"""A computation for a GPU stays on the GPU; tested without one, see fake_cuda.py."""

import signal

import pytest
import torch
from fake_cuda import fake_cuda
from small_runs import fitting

from feature_learning.experiments.point import run_point
from feature_learning.inference.observables import Observer
from feature_learning.model.randomness import generator

ASKED = [
    {},
    {"method": "mf"},
    {"method": "mf", "solver": "collapsed"},
    {"method": "mf-ard"},
    {"method": "mf-ard", "solver": "collapsed", "particles": 30},
    {"method": "nngp"},
    {"teacher": "single-index", "degree": 2, "activation": "erf"},
    {"activation": "tanh", "hidden_bias_variance": 0.5, "output_bias_variance": 0.5},
    {"activation": "sigmoid", "method": "mf"},
    {"activation": "linear"},
    {"homogeneity_penalty": 0.1},
    {"tilt": 2.0},
    {"method": "nngp", "nngp_variant": "as-published"},
    {"start": "planted"},
    {"start": "planted", "method": "mf"},
    {"start": "spread"},
    {"start": "released"},
    {"protocol": "published", "langevin_time": None, "step": 0.25},
    {"sampler": "sgld", "batch_size": 6},
    {"sampler": "sgld", "step_schedule": "cyclical"},
    {"replicas": 3, "kappa_ratio": 1.1},
    {"replicas": 2, "sampler": "sgld"},
    {"method": "mf", "sampler": "gibbs"},
    {"method": "mf", "sampler": "hmc"},
    {"sampler": "sgld", "batch_size": 6, "step_schedule": "polynomial"},
    {"sampler": "quantised", "rounding": "nearest", "quantum": 1e-3},
    {"sampler": "quantised", "rounding": "floor", "quantum": 1e-4, "quantum_epoch": 20},
    {"friction": "auto"},
    {"stop_when_converged": True, "chains": 4},
    {"step": None},
    *({"sampler": name} for name in ("mala", "hmc", "gibbs", "adaptive", "quantised")),
    {"sampler": "preconditioned", "step": 0.02},
    {"sampler": "population", "members": 4, "moves": 3, "langevin_time": None},
    {
        **{"sampler": "population", "members": 4, "moves": 3, "code": "+ -"},
        **{"dim": 1, "sparsity": 1, "width": 2, "n_train": 40, "kappa": 0.03},
        "langevin_time": 100.0,
    },
]


def values(config, **where):
    result = run_point(fitting(**config), **where)
    varies = ("seconds", "config", "device", "key")
    return {name: value for name, value in result.row.items() if name not in varies}, result


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_point_on_the_device_is_the_point_on_the_cpu(tiny, asked, monkeypatch):
    """Bit by bit, since it is the same arithmetic; tensors that mix are refused."""
    config = {**tiny, "dtype": "float64", "tile_elements": 700, **asked}
    here, _ = values(config)
    with fake_cuda(monkeypatch) as device:
        there, result = values({**config, "device": "cuda"})
    assert result.row["config"]["device"] == "cuda"
    assert device.seen & {"bmm", "mm", "baddbmm", "matmul"}
    assert there == here


def test_single_precision_has_no_compiled_pass_on_the_device(tiny, monkeypatch):
    with fake_cuda(monkeypatch):
        row, _ = values({**tiny, "device": "cuda"})
    assert 0 < row["test_mse"] < 5


def test_an_interrupted_run_goes_on_on_the_device(tiny, monkeypatch, tmp_path):
    path = tmp_path / "run.npz"
    config = {**tiny, "dtype": "float64", "sampler": "hmc", "tile_elements": 700}
    whole, _ = values(config)
    watched, measurements = Observer.measure, iter(range(100))

    def stopping(self, *arguments, **options):
        if next(measurements) == 7:
            signal.raise_signal(signal.SIGINT)
        return watched(self, *arguments, **options)

    with fake_cuda(monkeypatch):
        monkeypatch.setattr(Observer, "measure", stopping)
        part, _ = values({**config, "device": "cuda"}, checkpoint=path)
        assert part["interrupted"]
        assert path.exists()
        rest, _ = values({**config, "device": "cuda"}, checkpoint=path)
    assert not rest["interrupted"]
    assert rest == whole


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda there, here: there + here, "on cuda:0 and on the CPU"),
        (lambda there, here: torch.where(here > 0, there, there), "on cuda:0 and on the CPU"),
        (lambda there, here: torch.add(here, here, out=there), "on cuda:0 and on the CPU"),
        (lambda there, here: here[there > 0], "on cuda:0 and on the CPU"),
        (lambda there, here: here.__setitem__(there > 0, 1.0), "on cuda:0 and on the CPU"),
        (lambda there, here: torch.stack([there[0], here[0]]), "on cuda:0 and on the CPU"),
        (lambda there, here: here[0].add_(there[0]), "on cuda:0 and on the CPU"),
        (lambda there, here: there.numpy(), "Tensor.cpu"),
        (lambda there, here: there.untyped_storage(), "Tensor.cpu"),
        (
            lambda there, here: torch.randn(
                2, generator=generator(0, "noise"), device=there.device
            ),
            "generator on cpu",
        ),
        (
            lambda there, here: torch.randn(2, generator=generator(0, "noise", device="cuda")),
            "generator on cuda",
        ),
        (lambda there, here: there.data_ptr(), "Tensor.cpu"),
        (lambda there, here: there.normal_(generator=generator(0, "noise")), "generator on cpu"),
        (
            lambda there, here: here.normal_(generator=generator(0, "noise", device="cuda")),
            "generator on cuda",
        ),
    ],
)
def test_the_fake_device_refuses_what_a_gpu_would(spoil, message, monkeypatch):
    with fake_cuda(monkeypatch):
        here = torch.ones(3)
        there = here.to("cuda")
        with pytest.raises((RuntimeError, TypeError), match=message):
            spoil(there, here)


def test_the_fake_device_allows_what_a_gpu_would(monkeypatch):
    with fake_cuda(monkeypatch) as device:
        here = torch.arange(3.0)
        there = torch.zeros(3, device="cuda")
        there.copy_(here)
        here += 1  # a copy, not the same memory
        moved = here.to(there.device)
        here += 1
        assert there.tolist() == [0, 1, 2]
        assert moved.tolist() == [1, 2, 3]
        assert (2 * there + torch.tensor(1.0)).device.type == "cuda"
        assert there[torch.tensor([2, 0])].tolist() == [2, 0]
        there[torch.tensor([True, False, False])] = 0.0
        assert there.cpu().numpy().tolist() == [0, 1, 2]
        assert there.cpu().device.type == here.device.type == "cpu"
        assert torch.empty_like(there).is_cuda
        assert not there.to("cpu").is_cuda
        assert there.to(here).device.type == "cpu"
        assert here.to(there).device.type == "cuda"
        there.normal_(generator=generator(0, "noise", device=there.device))
    assert "normal_" in device.seen
