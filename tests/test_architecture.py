"""The layers of the code are ordered: a module imports only from its own layer and earlier ones."""

import ast
from functools import cache
from pathlib import Path

import pytest

LIB = Path(__file__).parents[1] / "lib"
#: Each part may use those before it.
PARTS = (
    *("errors", "choices", "files", "native", "model", "energies", "samplers"),
    *("inference", "evidence", "theory", "experiments", "sweeps", "analysis", "plotting", "cli"),
    "__main__",
)
PACKAGES = ("feature_learning", "sampler_validation", "book_tools", "benchmarks")
MODULES = {
    ".".join(path.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((LIB / package).rglob("*.py"))
}


@cache
def imported(module, everywhere=True):
    """The modules that a module imports, in functions as well or not; none for types only."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    left_out = {
        id(inner)
        for node in ast.walk(tree)
        if (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        or (isinstance(node, ast.FunctionDef) and not everywhere)
        for inner in ast.walk(node)
    }
    nodes = [each for each in ast.walk(tree) if id(each) not in left_out]
    names = [alias.name for each in nodes if isinstance(each, ast.Import) for alias in each.names]
    for each in nodes:
        if isinstance(each, ast.ImportFrom):
            full = [f"{each.module}.{alias.name}" for alias in each.names]
            names += [name if name in MODULES else str(each.module) for name in full]
    return {name for name in names if name in MODULES} - {module}


@cache
def chain(module):
    """The longest chain of imports that begins when this module is imported."""
    below = imported(module, everywhere=False)
    return (module, *max((chain(each) for each in below), key=len, default=()))


def place(module):
    package, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    inner = PARTS.index(part) if package == PACKAGES[0] and part else -1
    return PACKAGES.index(package), inner


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_part_or_those_before(module):
    upwards = [each for each in imported(module) if place(each) > place(module)]
    assert not upwards


def test_no_chain_of_imports_is_long():
    library = [each for each in MODULES if place(each)[0] == 0]
    longest = max(map(chain, library), key=len)
    assert len(longest) <= 14, longest


def test_a_newcomer_sees_a_few_folders_each_of_which_says_what_it_is_for():
    entries = [path for path in (LIB / PACKAGES[0]).iterdir() if not path.name.startswith("_")]
    folders = [path for path in entries if path.is_dir()]
    modules = [path for path in entries if path.suffix == ".py"]
    assert len(folders) + len(modules) <= 15
    for folder in folders:
        assert len((folder / "__init__.py").read_text(encoding="utf-8").splitlines()) >= 3, folder
