"""Where the test bed keeps what it makes. All of it is ignored by git."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"
VENV = ROOT / ".venv"
COLLECTIONS = ROOT / ".ansible" / "collections"
