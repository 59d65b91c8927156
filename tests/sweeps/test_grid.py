"""The file of a sweep: the cells it lists, and messages about its errors."""

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feature_learning.errors import GridError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import configure, flat
from feature_learning.sweeps import grid as module
from feature_learning.sweeps.grid import read_grid


@pytest.fixture
def read(tmp_path):
    """Reads a text as the file of a sweep."""

    def from_text(text):
        path = tmp_path / "sweep.toml"
        path.write_text(textwrap.dedent(text))
        return read_grid(path)

    return from_text


BLOCK = '[[block]]\nname = "a"\nreason = "r"\n'
OTHER = '[[block]]\nname = "b"\nreason = "r"\n'
OVERRIDE = "[[block.override]]\n"


def test_the_example_of_the_documentation_lists_its_cells(read):
    text = textwrap.dedent(module.__doc__.partition("An example::")[2].partition("Keys are")[0])
    configs = [cell.config for cell in read(text).cells]
    assert len(configs) == 2 * 4 * 3
    for config in configs:
        assert (config.kappa, config.chains) == (0.005, 4)
        long = config.method.name == "network" and config.n_train >= 1000
        assert flat(config)["langevin_time"] == (6000 if long else None)
    assert {config.seed for config in configs} == {0, 1, 2}
    assert {config.n_train for config in configs} == {100, 300, 1000, 3000}


def test_a_block_of_nothing_is_the_default_point(read):
    (cell,) = read(BLOCK).cells
    assert cell.config == configure()
    assert cell.blocks == ("a",)


def test_a_block_goes_before_the_defaults_and_can_go_back_behind_them(read):
    text = f"[defaults]\nkappa = 0.1\nlangevin_time = 5\nwidth = 9\n{BLOCK}kappa = 0.2\n"
    (cell,) = read(text + 'langevin_time = "default"\n').cells
    assert cell.config == configure(kappa=0.2, width=9)


def test_whole_numbers_are_good_for_real_ones(read):
    (cell,) = read(f"{BLOCK}kappa = 1\n").cells
    assert isinstance(cell.config.kappa, float)


def test_a_value_can_carry_its_reason(read):
    text = f'{BLOCK}seed = {{ value = [1, 2], reason = "two" }}\n{OVERRIDE}when = {{ seed = 2 }}\n'
    grid = read(text + 'reason = "r"\nkappa = { value = 0.1, reason = "why" }\n')
    assert [cell.config.kappa for cell in grid.cells] == [0.005, 0.1]
    assert "why" in grid.text


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ("n_train = 100", [100]),
        ("n_train = [100, 300]", [100, 300]),
        ('n_train = ">=300"', [300, 1000]),
        ('n_train = ">300"', [1000]),
        ('n_train = "<=300"', [100, 300]),
        ('n_train = ">=200, < 1e3"', [300]),
        ('n_train = ">=300", method = "network"', [300, 1000]),
        ('n_train = 300, kappa = "<1"', [300]),
    ],
)
def test_an_override_is_for_the_cells_that_meet_its_conditions(read, when, met):
    text = f'{BLOCK}n_train = [100, 300, 1000]\n{OVERRIDE}reason = "r"\nwhen = {{ {when} }}\n'
    cells = read(f"{text}chains = 9\n").cells
    assert [cell.config.n_train for cell in cells if cell.config.chains == 9] == met
    assert len(cells) == 3


def test_a_friction_can_be_automatic_and_is_then_that_of_the_cell(read):
    text = 'friction = "auto"\nkappa = [0.005, 0.05]\n'
    assert [flat(cell.config)["friction"] for cell in read(BLOCK + text).cells] == [0.014, 0.14]
    # A word is within no bounds.
    override = f'{OVERRIDE}reason = "r"\nwhen = {{ friction = ">0" }}\nchains = 9\n'
    with pytest.raises(GridError, match="true for no cell"):
        read(BLOCK + text + override)
    with pytest.raises(GridError, match="friction must be a number or 'auto', not 'fast'"):
        read(BLOCK + 'friction = "fast"\n')


def test_of_two_overrides_the_later_wins_and_none_sees_the_other(read):
    first = f'{OVERRIDE}reason = "r"\nwhen = {{ seed = 0 }}\nchains = 2\nwidth = 7\n'
    second = f'{OVERRIDE}reason = "r"\nwhen = {{ gamma = 0.5 }}\nchains = 3\n'
    (cell,) = read(BLOCK + first + second).cells
    assert cell.config == configure(chains=3, width=7)


def test_a_cell_of_two_blocks_is_listed_once_under_both(read):
    grid = read(f"{BLOCK}seed = [0, 1]\n{OTHER}seed = [1, 2]\n")
    assert [(cell.config.seed, cell.blocks) for cell in grid.cells] == [
        (0, ("a",)),
        (1, ("a", "b")),
        (2, ("b",)),
    ]
    assert grid.blocks == ["a", "b"]
    assert [cell.config.seed for cell in grid.select(["b"]).cells] == [1, 2]
    with pytest.raises(GridError, match="no block 'c', only a, b"):
        grid.select(["c"])


def test_another_device_is_another_configuration(read):
    grid = read(f'{BLOCK}device = ["cpu", "cuda"]\n')
    assert len(grid.cells) == 2
    (cell,) = grid.on("cuda:0").cells
    assert flat(cell.config)["device"] == "cuda:0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["[[block]]"]),
        ("block = 3", ["[[block]]"]),
        ("block = [3]", ["block 1", "name"]),
        ("= 3", ["TOML", "line 1"]),
        ("extra = 1\n" + BLOCK, ["'extra'"]),
        ("defaults = 1\n" + BLOCK, ["defaults"]),
        ("[defaults]\nkapa = 1\n" + BLOCK, ["defaults", "'kapa'", "kappa"]),
        ("[defaults]\nkappa = [1]\n" + BLOCK, ["defaults", "kappa", "[1]"]),
        ('[[block]]\nreason = "r"', ["block 1", "name"]),
        ('[[block]]\nname = ""\nreason = "r"', ["block 1", "name"]),
        ('[[block]]\nname = "a;b"\nreason = "r"', ["block 1", "name"]),
        ('[[block]]\nname = "a"', ["block 'a'", "reason"]),
        ('[[block]]\nname = "a"\nreason = " "', ["block 'a'", "reason"]),
        (BLOCK + BLOCK, ["block 'a'", "two blocks"]),
        (BLOCK + "n_trian = 3", ["block 'a'", "'n_trian'", "n_train"]),
        (BLOCK + "n_train = []", ["block 'a'", "n_train", "empty"]),
        (BLOCK + "n_train = 2.5", ["block 'a'", "n_train", "whole", "2.5"]),
        (BLOCK + "n_train = true", ["block 'a'", "n_train", "True"]),
        (BLOCK + 'kappa = "small"', ["block 'a'", "kappa", "a number", "small"]),
        (BLOCK + "kappa = 1" + "0" * 400, ["block 'a'", "kappa", "a number"]),
        (BLOCK + "kappa = nan", ["block 'a'", "kappa", "nan"]),
        (BLOCK + "stop_when_converged = 1", ["stop_when_converged", "true or false"]),
        (BLOCK + "kappa = 2020-01-01", ["block 'a'", "kappa"]),
        (BLOCK + "kappa = [[1]]", ["block 'a'", "kappa"]),
        (BLOCK + "kappa = { value = 1 }", ["block 'a'", "kappa", "reason"]),
        (BLOCK + 'kappa = { value = 1, reason = "" }', ["block 'a'", "kappa", "reason"]),
        (BLOCK + "kappa = -1", ["block 'a'", "kappa", "-1"]),
        (BLOCK + "n_train = [10, 0]", ["block 'a'", "n_train=0", "at least 1"]),
        (BLOCK + 'method = "magic"', ["block 'a'", "magic", "nngp"]),
        (BLOCK + 'device = "tpu"', ["block 'a'", "device", "tpu"]),
        (BLOCK + "sparsity = 36", ["block 'a'", "sparsity", "36"]),
        (BLOCK + "seed = [1, 1]", ["block 'a'", "seed=1", "same cell"]),
        (BLOCK + "kappa = [1, 1.0]", ["block 'a'", "same cell"]),
        (BLOCK + f"seed = {list(range(400))}\nn_train = {list(range(1, 400))}", ["100000"]),
        (BLOCK + "override = 3", ["block 'a'", "[[block.override]]"]),
        (BLOCK + OVERRIDE + "kappa = 1", ["override 1", "reason"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nkappa = 1', ["override 1", "when"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {}\nkappa = 1', ["override 1", "when"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = 0}', ["override 1", "sets nothing"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {sed = 0}\nkappa = 1', ["when", "'sed'"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = 7}\nkappa = 1', ["no cell"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = []}\nkappa = 1', ["seed", "empty"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = ">x"}\nkappa = 1', ["seed", ">x"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = ">1,2"}\nkappa = 1', ["seed", "'2'"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = 0}\nkappa = [1]', ["kappa", "[1]"]),
        (BLOCK + OVERRIDE + 'reason = "r"\nwhen = {seed = 0}\nkapa = 1', ["override 1", "'kapa'"]),
    ],
    ids=str,
)
def test_anything_wrong_is_named_with_file_block_and_key(read, text, words):
    with pytest.raises(GridError) as caught:
        read(text)
    sentence = str(caught.value)
    for word in ["sweep.toml", *words]:
        assert word in sentence, sentence
    assert len(sentence) < 1500


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(GridError, match=r"absent\.toml cannot be read"):
        read_grid(tmp_path / "absent.toml")
    with pytest.raises(GridError, match="cannot be read"):
        read_grid(tmp_path)
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GridError, match="is not TOML"):
        read_grid(path)
    with pytest.raises(GridError, match="/dev/zero is not TOML: it is larger than 16 MiB"):
        read_grid(Path("/dev/zero"))
    path.write_text(f"a = {'[' * 10_000}")
    with pytest.raises(GridError, match="is not TOML"):
        read_grid(path)


SIMPLE = st.one_of(
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["nan", "inf", "-inf"]).map(float),
    st.sampled_from(["default", "network", "mf", "cpu", ">=1", "<", ">=a,<b", ""]),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=5),
)
NESTED = st.recursive(
    SIMPLE,
    lambda each: st.one_of(
        st.lists(each, max_size=3),
        st.dictionaries(st.sampled_from(["value", "reason", "seed", "x"]), each, max_size=3),
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    ["name", "reason", "override", "when", "kappa", "n_train", "method", "seed", "step", "kapa"]
)


def toml(value):
    """A value in the notation of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(each)}" for k, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@given(
    defaults=st.dictionaries(KEYS, NESTED, max_size=2),
    block=st.dictionaries(KEYS, NESTED, max_size=3),
    override=st.none() | st.dictionaries(KEYS, NESTED, max_size=3),
    complete=st.booleans(),
)
@example(defaults={}, block={"seed": [0, 1]}, override=None, complete=True)
@example(defaults={}, block={}, override={"when": {"seed": 0}, "kappa": 1}, complete=True)
def test_any_document_is_a_list_of_configurations_or_a_grid_error(
    tmp_path_factory, defaults, block, override, complete
):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    if complete:
        block = {**block, "name": "a", "reason": "r"}
    if override is not None:
        block["override"] = [{**override, "reason": "r"} if complete else override]
    path.write_text(f"defaults = {toml(defaults)}\nblock = [{toml(block)}]\n")
    sentence, cells = f"{path}", ()
    try:
        cells = read_grid(path).cells
    except GridError as error:
        sentence = str(error)
    assert cells or sentence.startswith(f"{path}: ")
    assert all(isinstance(cell.config, PointConfig) for cell in cells)


@given(text=st.text(max_size=60))
def test_any_text_is_a_grid_or_a_grid_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "text.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(GridError, match=r"text\.toml"):
        read_grid(path)
