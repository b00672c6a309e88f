"""Every model against the papers' table: parameters and multiply-adds, names and shapes as published."""

import json
from pathlib import Path

import pytest

from minitorch_cv import models, nn
from minitorch_cv.models import NAMES, REGISTRY, ledger
from minitorch_cv.weights import load_weights

PUBLISHED = json.loads(Path(__file__).with_name("published_states.json").read_text(encoding="utf-8"))
"""Names and shapes of the states of torchvision 0.29's models (GoogLeNet with its auxiliary heads)."""

# Counted from the papers, apart from the registry's numbers.
TABLE = {
    "alexnet": (61_100_840, "0.714"),
    "alexnet_paper": (60_965_224, "0.724"),
    "zfnet": (62_357_608, "1.168"),
    "vgg11": (132_863_336, "7.609"),
    "vgg11_bn": (132_868_840, "7.609"),
    "vgg13": (133_047_848, "11.308"),
    "vgg13_bn": (133_053_736, "11.308"),
    "vgg16": (138_357_544, "15.470"),
    "vgg16_bn": (138_365_992, "15.470"),
    "vgg19": (143_667_240, "19.632"),
    "vgg19_bn": (143_678_248, "19.632"),
    "googlenet": (6_624_904, "1.498"),
    "googlenet_paper": (6_998_552, "1.583"),
    "resnet18": (11_689_512, "1.814"),
    "resnet34": (21_797_672, "3.664"),
    "resnet50": (25_557_032, "4.089"),
    "resnet50_paper": (25_557_032, "3.858"),
    "resnet101": (44_549_160, "7.801"),
    "resnet101_paper": (44_549_160, "7.570"),
    "resnet152": (60_192_808, "11.514"),
    "resnet152_paper": (60_192_808, "11.282"),
    "resnet20": (269_722, "0.0406"),
    "resnet32": (464_154, "0.0689"),
    "resnet44": (658_586, "0.0972"),
    "resnet56": (853_018, "0.1255"),
    "resnet110": (1_727_962, "0.2529"),
    "plain20": (269_722, "0.0406"),
    "plain32": (464_154, "0.0689"),
    "plain44": (658_586, "0.0972"),
    "plain56": (853_018, "0.1255"),
    "plain110": (1_727_962, "0.2529"),
    "ddpm_unet": (35_746_307, "6.05"),  # 6.22 with the products of attention, which belong to no layer
}


def unset(name, **settings):
    with nn.init.skipped():
        return NAMES[name](**settings)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_registry_says_what_the_ledger_counts(name):
    model, entry = unset(name), REGISTRY[name]
    counted = ledger(model, model.input_shape)
    assert counted.parameters == entry.parameters
    digits = len(entry.giga_multiply_adds.partition(".")[2])
    assert f"{counted.multiply_adds / 1e9:.{digits}f}" == entry.giga_multiply_adds
    if name in TABLE:
        assert (entry.parameters, entry.giga_multiply_adds) == TABLE[name]


def test_the_table_is_complete():
    assert not set(TABLE) - set(REGISTRY)
    assert {name for name, entry in REGISTRY.items() if entry.weights} == {*PUBLISHED, "ddpm_unet"}


@pytest.mark.parametrize("name", ["googlenet", "googlenet_paper"])
def test_the_auxiliary_heads_parameters(name):
    whole = sum(p.size for p in unset(name, aux=True).parameters())
    assert whole == {"googlenet": 13_004_888, "googlenet_paper": 13_378_280}[name]


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_projections_cost_2752_parameters(depth):
    a, b = (sum(p.size for p in unset(f"resnet{depth}", shortcut=s).parameters()) for s in "AB")
    assert b - a == 2752


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_weights_fit(name):
    settings = {"aux": True} if name == "googlenet" else {}
    state = unset(name, **settings).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == PUBLISHED[name]


def test_the_published_googlenet_fits_without_its_heads_too():
    import numpy as np

    given = {key: np.zeros(shape, np.float32) for key, shape in PUBLISHED["googlenet"].items()}
    load_weights(unset("googlenet"), given)


def test_every_name_is_a_constructor_of_the_package():
    for name, entry in REGISTRY.items():
        assert getattr(models, name) is entry.constructor and NAMES[name] is entry.constructor
        digits = f"{entry.parameters:,}"
        assert digits in (entry.constructor.__doc__ or ""), f"{name}: its docstring says how large it is"
