"""The house's floors: imports go downwards only, and inside a floor in the order below."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "facedouble"
# A module or package may import those listed before it, and inside itself.
ORDER = [
    "errors", "geometry", "footage", "faces", "presets", "recipes", "events",  # floor 0: no outside library but numpy
    "project", "weights", "device", "media", "provenance",                  # floor 1: one outside library each
    "find", "curate", "learn", "swap", "judge",                             # floor 2: the verbs
    "stages",                                                               # floor 3
    "review", "console", "board", "commands", "faces_commands", "cli", "__main__",              # floor 5
]  # fmt: skip
FLOOR_0 = ORDER[: ORDER.index("project")]
INSIDE = {
    "media": ["pixels", "tone", "reader", "pictures", "segments", "encoders", "writer", "flow", "crew", "sound"],
    "provenance": ["ledger", "consent", "certificate", "credential", "xmp", "content", "mark", "answer"],
    "find": [
        "mask", "mesh", "surface", "crop", "detect", "landmarks", "descriptor", "identity", "acting", "finder", "track",
        "search", "person",
    ],
    "curate": [
        "faceset", "quality", "collect", "people", "subset", "merge", "origin", "change", "nudge", "give", "aside",
        "similar", "sheet", "order", "prune", "part", "appearance", "compare", "match", "match_report",
    ],
    "learn": [
        "together", "shape", "iris", "model", "losses", "recorded", "bend", "degrade", "data", "occluders", "occlusion",
        "skin", "features", "usual", "score", "learner", "checkpoint", "specialists", "start", "safety", "forecast",
        "health", "fit", "chart", "memory", "rate", "train",
    ],
    "swap": [
        "predict", "colour", "blend", "focus", "features", "outline", "drawn", "softness", "eyes", "detail", "fit",
        "light", "openings", "steady", "face", "label", "frame",
    ],
    "stages": [
        "work", "extraction", "matching", "training", "planning", "casting", "layers", "opening", "signing",
        "conversion", "preview", "judging", "swapping", "verifying",
    ],
    "judge": ["container", "picture", "measure", "verdict", "report"],
    "review": ["desk", "server"],
}  # fmt: skip
FILES = [file for file in sorted(SOURCE.rglob("*.py")) if file.name != "__init__.py"]


def imports(file: Path) -> list[tuple[str, ...]]:
    """Modules of the project that a file imports, wherever in it, as paths below the package."""
    here = file.relative_to(SOURCE).with_suffix("").parts
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level]
            module = (*base, *(node.module or "").split(".")) if node.module else base
            found += [(*module, name.name) for name in node.names] if len(module) < 2 else [module]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            assert not any(name.split(".")[0] == "facedouble" for name in names), f"{file}: import relatively"
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down(file: Path) -> None:
    here = file.relative_to(SOURCE).with_suffix("").parts
    assert here[0] in ORDER, f"{here[0]} has no floor: place it in ORDER"
    for module in imports(file):
        if module[0] not in ORDER:
            continue  # a name of the package itself, such as __version__
        assert ORDER.index(module[0]) <= ORDER.index(here[0]), f"{file} imports upwards: {'.'.join(module)}"
        if module[0] == here[0] and len(here) > 1 and len(module) > 1:
            order = INSIDE[here[0]]
            assert order.index(module[1]) < order.index(here[1]), f"{file} imports a later room: {'.'.join(module)}"


@pytest.mark.parametrize("name", FLOOR_0)
def test_the_ground_floor_needs_only_numpy(name: str) -> None:
    for node in ast.walk(ast.parse((SOURCE / f"{name}.py").read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in names:
            assert module.split(".")[0] in {*STANDARD, "numpy"}, f"{name} imports {module}"


STANDARD = __import__("sys").stdlib_module_names


def test_commands_import_nothing_heavy() -> None:
    for name in ("cli", "commands", "faces_commands", "console", "board"):
        tree = ast.parse((SOURCE / f"{name}.py").read_text())
        for node in tree.body:  # the top level only: inside functions anything may be imported
            for module in imports_of(node):
                assert module[0] in {"errors", "events", "presets", "commands", "faces_commands", "__version__"}, (
                    f"{name} imports {module} at load"
                )


def imports_of(node: ast.stmt) -> list[tuple[str, ...]]:
    if isinstance(node, ast.ImportFrom) and node.level:
        return [(node.module,)] if node.module else [(name.name,) for name in node.names]
    return []
