"""Keys of stored results: names of options that were renamed since stay as they were."""

import pytest

from feature_learning.errors import ArgumentError
from feature_learning.experiments.flat import configure, hints, key_names
from feature_learning.experiments.keys import canonical, configuration


def test_renamed_options_keep_their_names_in_keys():
    config = configure(n_train=20, measurements=30, replicas=3, tile_elements=64)
    found = canonical(config)
    assert (found["samples"], found["looks"], found["rungs"]) == (20, 30, 3)
    assert found["block_elements"] == 64
    for name, key in key_names().items():
        assert name in hints()
        assert name not in found
        assert key not in hints()


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "nngp"}, {"homogeneity_penalty": 0.5}, {"replicas": 4, "kappa_ratio": 1.1}],
    ids=str,
)
def test_the_canonical_form_gives_the_configuration_back(options):
    config = configure(**options)
    assert configuration(canonical(config)) == config


def test_no_two_options_have_one_name_in_keys():
    names = [key_names().get(name, name) for name in hints()]
    assert len(names) == len(set(names))


def test_a_form_with_an_unknown_name_is_refused():
    with pytest.raises(ArgumentError, match="there is no option lokos"):
        configuration({"lokos": 3})
