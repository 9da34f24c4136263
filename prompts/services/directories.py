"""A folder with one file per prompt, such as a Git work tree: written without touching what did not change, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from promptlab.lib.errors import Invalid
from prompts.errors import ImportRefused
from prompts.porting import formats
from prompts.porting.bundle import Bundle, BundledPrompt

ENDINGS = {"yaml": ".yaml", "prompt.yml": ".prompt.yml"}


def files_of(bundle: Bundle, format: str) -> dict[str, str]:
    """Return the text of each prompt's file, by the file's name. Raises CannotExport."""
    ordered = sorted(bundle.prompts, key=lambda prompt: prompt.name)
    return {prompt.name + ENDINGS[format]: formats.write(Bundle((prompt,)), format) for prompt in ordered}


def write_changed(folder: Path, files: dict[str, str]) -> list[str]:
    """Write the files that differ from what is there, and return their names. Nothing is deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    differing = [name for name, text in files.items() if _text(folder / name) != text]
    for name in differing:
        (folder / name).write_bytes(files[name].encode())
    return differing


def paths_in(path: Path) -> list[Path]:
    """Return the files of prompts at a path: itself, or those in the folder, by name; hidden ones are left out."""
    if path.is_file():
        return [path]
    return [one for one in sorted(path.iterdir()) if one.is_file() and _ending(one) and not one.name.startswith(".")]


def read_all(paths: list[Path]) -> Bundle:
    """Return the prompts of several files as one bundle. Raises Invalid naming the file and the place in it."""
    prompts = [prompt for path in paths for prompt in _placed(path)]
    seen: dict[str, str] = {}
    for prompt in prompts:
        if prompt.name in seen:
            raise ImportRefused(problem=f"{prompt.name} is in two files: {seen[prompt.name]} and {prompt.place}.")
        seen[prompt.name] = prompt.place
    return Bundle(tuple(prompts), tuple(notice for path in paths for notice in _notices(path)))


def drift(folder: Path, bundle: Bundle) -> list[str]:
    """Return what differs between a folder and the database, a sentence each, by name. Empty: nothing does.

    A prompt is compared with its file in the file's own format, so the order and spacing of a file do not count.
    """
    here = {prompt.name: prompt for prompt in bundle.prompts}
    found: dict[str, str] = {}
    for path in paths_in(folder):
        format = "prompt.yml" if formats.SUFFIXES[_ending(path)] == "prompt.yml" else "yaml"
        for prompt in _read(path).prompts:
            mine = here.pop(prompt.name, None)
            if mine is None:
                found[prompt.name] = f"{prompt.name}: only in {path.name}."
            elif formats.write(Bundle((mine,)), format) != formats.write(Bundle((prompt,)), format):
                found[prompt.name] = f"{prompt.name}: {path.name} and the database differ."
    for name in here:
        found[name] = f"{name}: only in the database."
    return [found[name] for name in sorted(found)]


def _placed(path: Path) -> Iterator[BundledPrompt]:
    for prompt in _read(path).prompts:
        versions = tuple(replace(one, place=f"{path.name}, {one.place}") for one in prompt.versions)
        yield replace(prompt, place=f"{path.name}, {prompt.place}", versions=versions)


def _notices(path: Path) -> list[str]:
    return [f"{path.name}, {notice}" for notice in _read(path).notices]


def _read(path: Path) -> Bundle:
    ending = _ending(path)
    name = path.name.removesuffix(ending) if ending else path.stem
    try:
        return formats.read(path.read_bytes(), formats.SUFFIXES.get(ending, "auto"), name=name)
    except Invalid as error:
        raise ImportRefused(problem=f"{path.name}: {error.detail}", problems=error.problems) from error


def _ending(path: Path) -> str:
    return next((ending for ending in formats.SUFFIXES if path.name.endswith(ending)), "")


def _text(path: Path) -> str | None:
    """Return what a file holds; None when there is none, or one that we cannot have written."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
