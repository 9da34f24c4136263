"""What the package promises to those who import it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import promptlab_sdk
import pytest

SDK = Path(__file__).parents[1]
PACKAGE = Path(promptlab_sdk.__file__).parent


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that are loaded in a fresh interpreter after `statement`."""
    code = f"{statement}; import sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import promptlab_sdk",
        "from promptlab_sdk.kernel import assignment, spec, template",
        "from promptlab_sdk import Message, MissingVariable, PromptLabError",
    ],
)
def test_the_kernel_and_the_errors_need_the_standard_library_only(statement: str) -> None:
    assert not {"httpx", "httpcore", "anyio"} & modules_after(statement)


def test_the_client_is_loaded_when_it_is_asked_for() -> None:
    assert "httpx" in modules_after("from promptlab_sdk import Prompts")


def test_every_public_name_is_there() -> None:
    for name in promptlab_sdk.__all__:
        assert getattr(promptlab_sdk, name).__name__ == name
    assert set(promptlab_sdk.__all__) <= set(dir(promptlab_sdk))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Prompt5'"):
        promptlab_sdk.Prompt5  # noqa: B018


def test_the_version_is_written_in_one_place() -> None:
    project = tomllib.loads((SDK / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "promptlab_sdk.__version__"}


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    project = tomllib.loads((SDK / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-data"] == {"promptlab_sdk": ["py.typed"]}


def test_httpx_is_the_only_dependency() -> None:
    project = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]
    assert [word.partition(">")[0] for word in project["dependencies"]] == ["httpx"]
    assert project["entry-points"]["pytest11"] == {"promptlab_sdk.pytest_plugin": "promptlab_sdk.pytest_plugin"}


def test_nothing_else_is_imported() -> None:
    allowed = sys.stdlib_module_names | {"promptlab_sdk", "httpx", "pytest", "langchain_core"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, path


def test_the_tests_need_no_django() -> None:
    """They run without it, and say so here should one of them begin to want it."""
    for path in (SDK / "tests").glob("*.py"):
        imported = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert "django" not in " ".join(map(ast.unparse, imported)), path


def _can_build() -> bool:
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not _can_build(), reason="building the wheel needs setuptools 77, installed")
def test_the_wheel_holds_the_package_and_its_types(tmp_path: Path) -> None:
    shutil.copytree(SDK, tmp_path / "sdk", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), "."]
    subprocess.run([sys.executable, "-m", *words], check=True, cwd=tmp_path / "sdk", capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    source = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")}
    assert source | {"promptlab_sdk/py.typed"} <= held
    assert not [name for name in held if name.startswith("tests")]


def test_nothing_is_printed() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert "print(" not in path.read_text(), path
