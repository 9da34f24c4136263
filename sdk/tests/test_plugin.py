"""The fixture for other people's tests, as they would use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TEST = """
import asyncio
from promptlab_sdk import AsyncPrompts, Prompts

def greet(name):
    prompts = Prompts.connect("https://promptlab.example.com", api_key="pl_x")
    text = prompts.get("greeting", name=name)
    prompts.feedback("m1", "rating", 1, key="k1")
    return text

def test_greeting(promptlab):
    promptlab.put("greeting", "Hi {{name}}")
    assert greet("Alex") == "Hi Alex"
    assert promptlab.calls[0].prompt.version == 1
    assert promptlab.ratings[0]["id"] == "k1"
    promptlab.put("greeting", "Bye {{name}}")
    assert greet("Alex") == "Bye Alex"

def test_async(promptlab):
    promptlab.put("greeting", "Hi {{name}}")
    async def work():
        return await AsyncPrompts.connect("https://promptlab.example.com").get("greeting", name="Zoë")
    assert asyncio.run(work()) == "Hi Zoë"

def test_afterwards_connect_connects():
    assert type(Prompts.connect("http://127.0.0.1:1", cache_dir=False)) is Prompts
"""


def test_the_fixture_stands_in_for_every_client(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "promptlab_sdk.pytest_plugin", "-p", "no:cacheprovider"]
    words = [*command, "--rootdir", str(tmp_path), str(tmp_path)]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # ours alone is asked for, and starts quickly
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_plugin_loads_no_client(tmp_path: Path) -> None:
    code = "import promptlab_sdk.pytest_plugin, sys; assert 'httpx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
