"""All files that list packages and versions agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import feature_learning

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]

# What conda-forge calls the same package.
PIP_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def ranges(lines):
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(item.name): item.specifier for item in parsed}


def declared(*extras):
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return ranges(lines)


def pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def conda_environment():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    found = ranges([*conda, *(line for line in pip["pip"] if line != "-e .")])
    return {PIP_NAMES.get(name, name): specifier for name, specifier in found.items()}, pip["pip"]


def test_conda_environment_has_the_packages_and_ranges_of_pyproject():
    environment, pip_lines = conda_environment()
    assert "-e ." in pip_lines
    assert str(environment.pop("python")) == PROJECT["requires-python"]
    assert str(environment.pop("pip")) == ""
    assert environment == declared("book", "cluster", "test", "dev")


def test_constraints_pin_every_declared_package_inside_its_range():
    versions = pinned()
    for name, specifier in declared(*PROJECT["optional-dependencies"]).items():
        assert name in versions, f"constraints.txt does not pin {name}"
        assert versions[name] in specifier, f"{name}=={versions[name]} is outside {specifier}"


def test_constraints_leave_the_build_of_torch_open():
    assert "+" not in pinned()["torch"]


def test_runtime_dependencies_are_ranges_and_development_tools_are_exact():
    for name, specifier in declared().items():
        assert {part.operator for part in specifier} == {">=", "<"}, name
    for name, specifier in ranges(PROJECT["optional-dependencies"]["dev"]).items():
        assert [part.operator for part in specifier] == ["=="], name


def test_the_version_stands_in_the_library_alone():
    assert PROJECT["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "feature_learning.__version__"
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+", feature_learning.__version__)


def test_the_citation_names_the_version_of_the_library():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == feature_learning.__version__


def make(*arguments, cwd=ROOT):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wrong_profile_stops_the_book_before_anything_is_made_and_nothing_else():
    for wrong in ("nonsense", "stored paper", ""):
        stopped = make(f"PROFILE={wrong}", "book")
        assert stopped.returncode == 2
        assert f"PROFILE is '{wrong}'; it must be stored or paper" in stopped.stderr
        assert stopped.stdout == ""
        listed = make(f"PROFILE={wrong}", "help")
        assert (listed.returncode, listed.stderr) == (0, "")
        assert "make book" in listed.stdout
    for right in ("stored", "paper"):
        assert make(f"PROFILE={right}", "profile").returncode == 0


def test_a_wrong_effort_stops_the_benchmark_before_anything_is_made():
    stopped = make("BENCH=huge", "bench")
    assert stopped.returncode == 2
    assert "BENCH is 'huge'; it must be quick or full" in stopped.stderr
    assert stopped.stdout == ""
    for right in ("quick", "full"):
        assert make(f"BENCH={right}", "effort").returncode == 0
        planned = make("--dry-run", f"BENCH={right}", "bench").stdout
        assert f"benchmarks --effort {right}" in planned
        assert ("--store" in planned) is (right == "full")


def test_serving_a_book_that_is_not_built_says_how_to_build_it(tmp_path):
    stopped = make(f"--file={ROOT / 'Makefile'}", "serve", cwd=tmp_path)
    assert stopped.returncode == 2
    assert "no book in _build/html yet; 'make book' builds it" in stopped.stderr
    assert stopped.stdout == ""


def test_the_book_is_served_to_this_machine_only(tmp_path):
    page = tmp_path / "_build" / "html" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    served = make("--dry-run", f"--file={ROOT / 'Makefile'}", "serve", cwd=tmp_path).stdout
    assert "-m http.server --bind 127.0.0.1 --directory _build/html" in served
