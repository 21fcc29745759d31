#!/usr/bin/env python3
"""The tidy test: what compilers do not check. Prints one `file:line: message` per violation; exit code 1 if any.

    tools/tidy.py [ROOT]

Rules: layers (the map of the architecture and each module's DEPENDS), banned includes, sizes, undocumented public
declarations, files in no target, marks of unfinished work, README per module, #pragma once, tabs, line lengths.
"""

import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent

# The map, top to bottom: a folder includes itself and folders after it.
LAYERS = ["app", "protocol", "sql", "stream", "lake", "log", "journal", "catalog", "state", "data", "duck", "base"]

# Who may include what belongs to one place: pattern of the include, pattern of the files that may, why.
BANNED = [
    (r"duckdb(/.*|\.hpp|\.h)", r"src/duck/.*", "DuckDB's headers are reached through src/duck only"),
    (r"duck/.*", r"src/(app|protocol|sql|stream|lake|data|duck)/.*",
     "DuckDB's types belong to data, lake, stream and sql, to the doors that read their chunks and to app"),
    (r"rocksdb/.*", r"src/state/.*", "RocksDB is reached through src/state only"),
    (r"librdkafka/.*", r"src/app/.*", "librdkafka is a client: the commands in src/app"),
    (r"boost/.*", r"src/(protocol|app)/.*|src/base/io.*", "sockets live at the doors; engines are sans-io"),
]

SOURCE_LINES_MAX = 1200
TEST_LINES_MAX = 1000
LINE_WIDTH_MAX = 120
# Where marks of unfinished work are looked for; put together here so that this file has none.
MARKS = re.compile(r"\b(" + "|".join(["FIX" + "ME", "TO" + "DO", "X" * 3]) + r")\b")
TEXT_FOLDERS = ["src", "tests", "tools", "cmake", "bench", "examples", "schemas"]
TEXT_SUFFIXES = {".h", ".cpp", ".py", ".cmake", ".sql", ".sh", ".yaml", ".ts"}
CPP_SUFFIXES = {".h", ".cpp"}


class Violation(NamedTuple):
    path: str  # relative to the root
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass
class Module:
    """One ziwa_module() call: its name is its folder under src/."""

    name: str
    cmake: str
    line: int
    lists: dict[str, list[str]] = field(default_factory=dict)  # keyword -> items


@dataclass
class SourceFile:
    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        """Below src/: "base", "protocol/kafka"."""
        return self.path.removeprefix("src/").rsplit("/", 1)[0]

    @property
    def is_test(self) -> bool:
        return self.name.endswith(("_test.cpp", "_test.py")) or "/testing/" in self.path

    @property
    def is_public_header(self) -> bool:
        return self.name.endswith(".h") and not self.name.endswith("_internal.h") and "/testing/" not in self.path

    @cached_property
    def includes(self) -> list[tuple[int, str, bool]]:
        """(line, path, quoted)."""
        found = []
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
            if match:
                found.append((number, match[1] or match[2], match[1] is not None))
        return found


class Tree:
    """The checkout: files and modules, read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources = [file for file in self._files("src") if Path(file.path).suffix in CPP_SUFFIXES]
        self.modules: dict[str, Module] = {}
        self.listed: dict[str, set[str]] = {}  # folder with a CMakeLists.txt -> files it names, relative to src/
        for path in sorted((root / "src").rglob("CMakeLists.txt")):
            self._read_cmake(path)

    def _files(self, folder: str) -> list[SourceFile]:
        found = []
        for path in sorted((self.root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                if path.suffix in TEXT_SUFFIXES or path.name in ("CMakeLists.txt",) or self._is_script(path):
                    text = path.read_text(encoding="utf-8", errors="replace")
                    found.append(SourceFile(path.relative_to(self.root).as_posix(), text))
        return found

    @staticmethod
    def _is_script(path: Path) -> bool:
        if path.suffix:
            return False
        with path.open("rb") as file:
            return file.read(2) == b"#!"

    def texts(self) -> Iterator[SourceFile]:
        """Everything a person writes."""
        yield from self.sources
        for folder in TEXT_FOLDERS:
            yield from (file for file in self._files(folder)
                        if not (folder == "src" and Path(file.path).suffix in CPP_SUFFIXES))

    def _read_cmake(self, path: Path) -> None:
        folder = path.parent.relative_to(self.root / "src").as_posix()
        text = re.sub(r"#[^\n]*", "", path.read_text())
        prefix = "" if folder == "." else folder + "/"
        self.listed[folder] = {prefix + token for token in re.findall(r"[\w./-]+\.(?:cpp|h)\b", text)}
        for call in re.finditer(r"\bziwa_module\s*\(([^)]*)\)", text):
            tokens = call[1].split()
            module = Module(tokens[0], path.relative_to(self.root).as_posix(), text.count("\n", 0, call.start()) + 1)
            keyword = ""
            for token in tokens[1:]:
                if re.fullmatch(r"[A-Z_]+", token):
                    keyword = token
                else:
                    module.lists.setdefault(keyword, []).append(token)
            self.modules[module.name] = module

    def module_of(self, folder: str) -> Module | None:
        """The module that a folder below src/ belongs to: the nearest one above it."""
        while folder and folder != ".":
            if folder in self.modules:
                return self.modules[folder]
            folder = folder.rpartition("/")[0]
        return None

    def reachable(self, name: str) -> set[str]:
        """The modules that `name` may use: DEPENDS, transitively, and itself."""
        seen, waiting = set(), [name]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting += self.modules[current].lists.get("DEPENDS", []) if current in self.modules else []
        return seen


# ---- layers ----------------------------------------------------------------------------------------------------------


def check_layers(tree: Tree) -> Iterator[Violation]:
    for module in tree.modules.values():
        yield from check_depends(tree, module)
    for file in tree.sources:
        top = file.folder.split("/")[0]
        if top not in LAYERS:
            yield Violation(file.path, 1, f"folder src/{top} is not on the map (LAYERS in tools/tidy.py)")
            continue
        for line, include, quoted in file.includes:
            target = include.split("/")[0]
            if not quoted:
                continue
            if "/" not in include or include.startswith("."):
                yield Violation(file.path, line, f'include "{include}" by its full path below src/')
            elif target in LAYERS:
                yield from check_edge(tree, file, line, include)


def check_depends(tree: Tree, module: Module) -> Iterator[Violation]:
    for used in module.lists.get("DEPENDS", []):
        mine, other = module.name.split("/")[0], used.split("/")[0]
        if used not in tree.modules:
            yield Violation(module.cmake, module.line, f"module {module.name} depends on {used}, which does not exist")
        elif mine in LAYERS and other in LAYERS and LAYERS.index(other) < LAYERS.index(mine):
            yield Violation(module.cmake, module.line, f"module {module.name} depends on {used}, which is above it")


def check_edge(tree: Tree, file: SourceFile, line: int, include: str) -> Iterator[Violation]:
    mine, other = file.folder.split("/")[0], include.split("/")[0]
    if LAYERS.index(other) < LAYERS.index(mine):
        yield Violation(file.path, line, f'layer {mine} includes "{include}" of {other}, which is above it')
        return
    module, used = tree.module_of(file.folder), tree.module_of(include.rpartition("/")[0])
    if module and used and used.name not in tree.reachable(module.name):
        yield Violation(file.path, line, f'"{include}": module {module.name} does not list {used.name} in DEPENDS')


def check_banned(tree: Tree) -> Iterator[Violation]:
    for file in tree.sources:
        for line, include, _ in file.includes:
            for pattern, allowed, reason in BANNED:
                if re.fullmatch(pattern, include) and not re.fullmatch(allowed, file.path):
                    yield Violation(file.path, line, f'include of "{include}": {reason}')


# ---- text ------------------------------------------------------------------------------------------------------------


def is_generated(file: SourceFile) -> bool:
    return "generated" in file.lines[0].lower()


def check_sizes(tree: Tree) -> Iterator[Violation]:
    for file in tree.texts():
        suffix = Path(file.path).suffix
        if suffix not in (".h", ".cpp", ".py") or is_generated(file):
            continue
        limit = TEST_LINES_MAX if file.is_test else SOURCE_LINES_MAX
        count = file.text.count("\n")
        if count > limit:
            yield Violation(file.path, limit + 1, f"{count} lines; at most {limit}: split it by concept")
        for number, line in enumerate(file.lines, 1):
            if len(line) > LINE_WIDTH_MAX:
                yield Violation(file.path, number, f"{len(line)} columns; at most {LINE_WIDTH_MAX}")


def check_text(tree: Tree) -> Iterator[Violation]:
    for file in tree.texts():
        for number, line in enumerate(file.lines, 1):
            if mark := MARKS.search(line):
                yield Violation(file.path, number, f"{mark[0]}: do it, or write an issue")
            if "\t" in line:
                yield Violation(file.path, number, "tab")
    for file in tree.sources:
        if file.name.endswith(".h") and not re.search(r"^#pragma once$", file.text, re.MULTILINE):
            yield Violation(file.path, 1, "header without #pragma once")


# ---- files and targets -----------------------------------------------------------------------------------------------


def check_targets(tree: Tree) -> Iterator[Violation]:
    keyword_of = {"_test.cpp": "TESTS", "_fuzz.cpp": "FUZZ", "_profile.cpp": "PROFILE"}
    for file in tree.sources:
        path = file.path.removeprefix("src/")
        folder = file.folder
        while folder not in tree.listed and folder != ".":
            folder = folder.rpartition("/")[0] or "."
        listed = tree.listed.get(folder, set())
        module = tree.module_of(file.folder)
        local = path.removeprefix(folder + "/")
        keyword = next((word for ending, word in keyword_of.items() if path.endswith(ending)), None)
        if keyword:
            if not module or local not in module.lists.get(keyword, []):
                yield Violation(file.path, 1, f"is not in {keyword} of a ziwa_module(): it never runs")
        elif file.name.endswith(".cpp") and path not in listed:
            yield Violation(file.path, 1, "is in no target: list it in the folder's CMakeLists.txt")
        elif file.is_public_header and path not in listed:
            yield Violation(file.path, 1, "public header in no target: list it in HEADERS, or name it *_internal.h")


def check_readmes(tree: Tree) -> Iterator[Violation]:
    folders = {module.name for module in tree.modules.values()}
    folders |= {file.folder.split("/")[0] for file in tree.sources}
    for folder in sorted(folders):
        if not (tree.root / "src" / folder / "README.md").exists():
            yield Violation(f"src/{folder}", 1, "module without README.md")


# ---- documentation ---------------------------------------------------------------------------------------------------


class Statement(NamedTuple):
    """What stands at namespace scope between two ends of statement."""

    line: int  # of its first token
    last: int  # of its last one
    text: str  # without comments, bodies as "{}"


def blank_out(text: str) -> str:
    """The text with comments, literals' contents and preprocessor lines as spaces; newlines stay where they are."""

    def spaces(match: re.Match) -> str:
        kept = '""' if match[0].startswith(('"', 'R"')) else "' '"[:2] if match[0].startswith("'") else ""
        return kept + re.sub(r"[^\n]", " ", match[0])[len(kept):]

    text = re.sub(r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'
                  r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", spaces, text, flags=re.DOTALL)
    return re.sub(r"^[ ]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: re.sub(r"[^\n]", " ", match[0]), text,
                  flags=re.MULTILINE)


NAMESPACE = re.compile(r"(?:inline\s+)?namespace\b\s*([\w:]*)\s*$|extern\s+\"\"\s*$")


def namespace_statements(text: str) -> Iterator[Statement]:
    """Statements at namespace scope, except in anonymous namespaces and those named detail or internal."""
    code = blank_out(text)
    line, start, begin = 1, 1, None  # current line; line of the statement's first token; its offset
    depth = 0  # of braces that are no namespaces
    body_at = 0
    pieces: list[str] = []
    namespaces: list[bool] = []  # hidden?
    index = 0

    def finish(ending: int) -> Statement | None:
        whole = " ".join("".join(pieces).split())
        return Statement(start, ending, whole) if whole and not any(namespaces) else None

    while index < len(code):
        char = code[index]
        if char == "\n":
            line += 1
        if depth == 0 and begin is None and not char.isspace() and char not in ";}":
            begin, start = index, line
        if char == "{":
            if depth == 0:
                header = code[begin:index] if begin is not None and not pieces else None
                match = NAMESPACE.match(header.strip()) if header is not None else None
                if match:
                    name = match[1] or ""
                    is_extern = header.strip().startswith("extern")
                    namespaces.append(not is_extern and (not name or name.split("::")[-1] in ("detail", "internal")))
                    begin, pieces = None, []
                    index += 1
                    continue
                pieces.append(code[body_at if pieces else begin:index] + "{}")
            depth += 1
        elif char == "}":
            if depth == 0:
                if namespaces:
                    namespaces.pop()
                begin, pieces = None, []  # a macro call without a semicolon
            else:
                depth -= 1
                body_at = index + 1
                # A function's body ends its statement; a class, an initializer or an enum goes on to its semicolon.
                if depth == 0 and ends_with_body("".join(pieces), code[index + 1:index + 200]):
                    if statement := finish(line):
                        yield statement
                    begin, pieces = None, []
        elif char == ";" and depth == 0:
            if begin is not None:
                pieces.append(code[body_at if pieces else begin:index])
                if statement := finish(line):
                    yield statement
            begin, pieces = None, []
        index += 1


def ends_with_body(head: str, rest: str) -> bool:
    """Whether the braces that just closed were a function's body (or a macro's block), so that no semicolon follows."""
    if re.match(r"\s*[;,({=]", rest) or re.match(r"(?:\s*\w+)?\s*;", rest):
        return False
    return not re.match(r"(template\b.*>\s*)?(class|struct|union|enum)\b(?!.*\))", " ".join(head.split()))


def described(text: str) -> str | None:
    """What a statement declares if that must be documented: "struct Name" or "function name"; otherwise None."""
    text = re.sub(r"\[\[.*?\]\]|\balignas\([^)]*\)", " ", text)
    text = " ".join(text.split())
    if re.match(r"template\s*<\s*>", text):  # a specialization says nothing new
        return None
    while text.startswith("template"):
        text = skip_angles(text.removeprefix("template").lstrip())
        text = re.sub(r"^requires\s+(\([^)]*\)|[\w:]+\s*(<[^<>]*>)?)", "", text).lstrip()
    if match := re.match(r"(class|struct|union|enum(?: class| struct)?)\s+((?:[A-Z_]+\([^)]*\)\s*)?)([\w:]+)(.*)",
                         text):
        is_definition = "{}" in text
        if is_definition and not re.match(r"\s*[\w&*\s]+\(", match[4]) and "::" not in match[3]:
            return f"{match[1].split()[0]} {match[3]}"
        if "(" not in text:
            return None
    if match := re.match(r"concept\s+(\w+)", text):
        return f"concept {match[1]}"
    if re.match(r"(using|typedef|static_assert|friend|extern template|namespace|asm)\b", text):
        return None
    head = re.split(r"(?<![=<>!+*/&|^-])=(?!=)|\{", text)[0] if "operator" not in text else text
    if "(" not in head or "operator" in head:
        return None  # a variable, or an operator whose meaning is its name
    match = re.match(r"(.*?)([\w:~]+)\s*\(", head)
    if not match or not match[1].strip() or "::" in match[2] or "->" in match[1]:
        return None  # a macro call, a member defined outside its class, a deduction guide
    if re.search(r"(?:>|\w)::\s*$", match[1]):
        return None
    return f"function {match[2]}"


def skip_angles(text: str) -> str:
    depth = 0
    for index, char in enumerate(text):
        depth += (char == "<") - (char == ">")
        if depth == 0:
            return text[index + 1:].lstrip()
    return ""


def check_documented(tree: Tree) -> Iterator[Violation]:
    """`///` stands directly above a declaration, or above the first of a block of declarations without blank lines."""
    for file in tree.sources:
        if not file.is_public_header or is_generated(file):
            continue
        covered_to = 0  # last line of a statement that a comment covers
        for statement in namespace_statements(file.text):
            above = statement.line - 1
            while above > 0 and re.match(r"\s*//(?!/)", file.lines[above - 1]):
                above -= 1  # a plain comment (NOLINT, a note) may stand between
            documented = above > 0 and re.match(r"\s*(///|/\*\*|\*/)", file.lines[above - 1])
            documented = documented or re.search(r"///<", file.lines[statement.line - 1])
            if documented or (covered_to and above <= covered_to):
                covered_to = statement.last
                continue
            covered_to = 0
            if what := described(statement.text):
                yield Violation(file.path, statement.line, f"public {what} without a /// comment")


RULES = [check_layers, check_banned, check_sizes, check_text, check_targets, check_readmes, check_documented]


def check(root: Path) -> list[Violation]:
    """All violations in the checkout at `root`, by file and line."""
    tree = Tree(root)
    return sorted({violation for rule in RULES for violation in rule(tree)})


def main(arguments: list[str]) -> int:
    violations = check(Path(arguments[0]).resolve() if arguments else ROOT)
    for violation in violations:
        print(violation)
    if violations:
        print(f"tidy: {len(violations)} violations", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
