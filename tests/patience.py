"""How long a test waits for what never comes."""

import os


def patience(seconds: float = 10.0) -> float:
    """So many seconds on a machine that has nothing else to do, and longer on a busy one."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0
    return seconds * max(1.0, busy)
