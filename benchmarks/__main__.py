"""`python -m benchmarks` lists the benchmarks."""

import ast
from pathlib import Path


def main() -> None:
    """Print each benchmark's command and the first line of its description."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        if path.name != "__main__.py" and any(getattr(node, "name", "") == "main" for node in tree.body):
            print(f"python -m benchmarks.{path.stem:16}  {ast.get_docstring(tree).splitlines()[0]}")
    print("Each takes --json FILE; see --help for the rest.")


if __name__ == "__main__":
    main()
