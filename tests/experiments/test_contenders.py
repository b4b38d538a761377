"""InfoNCE is never held against AnInfoNCE at fixed temperatures alone."""

import re
from dataclasses import replace

import pytest

from aninfonce.experiments import EXPERIMENTS, Recipe
from aninfonce.experiments.contenders import contenders

# METHOD-REST, the method at a fixed temperature.
FIXED = re.compile(r"infonce(-tau-[0-9.]+)?(?P<rest>(-(?!trainable|tau).*)?)")


def test_the_contenders_differ_in_the_temperature_alone():
    recipe = Recipe(width=48)
    found = contenders(recipe, (1.0, 0.2))
    assert found["aninfonce"] == recipe
    trainable = found["infonce-trainable"]
    assert trainable.temperature is None
    assert {found[f"infonce-tau-{t}"] for t in ("1", "0.2")} == {replace(trainable, temperature=t) for t in (1.0, 0.2)}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_with_a_fixed_temperature_has_a_trainable_one(name, quick):
    experiment = EXPERIMENTS[name]().quick() if quick else EXPERIMENTS[name]()
    methods = experiment.study().methods
    fixed = [found for found in map(FIXED.fullmatch, methods) if found]
    for found in fixed:
        assert f"infonce-trainable{found['rest']}" in methods, f"{found[0]} stands without it"
    if name in ("content-style", "sprites", "batch-size", "gap-projector", "cifar10"):
        assert fixed, "the rule must see something"
