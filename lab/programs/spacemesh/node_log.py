"""The node's log: zap's JSON or console lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from lab.programs.program import Container


class NodeLog:
    """Writes lines into the container's log, with the node's short id as the first part of the logger's name."""

    def __init__(self, container: Container, encoder: str) -> None:
        self._container = container
        self._json = encoder == "json"
        self.short_id = "00000"

    def info(self, module: str, message: str, **fields: Any) -> None:
        """What happened."""
        self._write("INFO", module, message, fields)

    def warning(self, module: str, message: str, **fields: Any) -> None:
        """What might be wrong."""
        self._write("WARN", module, message, fields)

    def error(self, module: str, message: str, **fields: Any) -> None:
        """What is wrong."""
        self._write("ERROR", module, message, fields)

    def fatal(self, module: str, message: str, **fields: Any) -> None:
        """What ends the node."""
        self._write("FATAL", module, message, fields)

    def _write(self, level: str, module: str, message: str, fields: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = f"{self.short_id}.{module}"
        if self._json:
            self._container.log(json.dumps({"L": level, "T": now, "N": name, "M": message, **fields}, separators=(",", ":")))
            return
        rest = f"\t{json.dumps(fields)}" if fields else ""
        self._container.log(f"{now}\t{level}\t{name}\t{message}{rest}")
