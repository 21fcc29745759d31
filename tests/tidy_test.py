"""The checkout is tidy, and each rule of tools/tidy.py can fail."""

from pathlib import Path

import pytest
import tidy

pytestmark = pytest.mark.unit

MARK = "TO" + "DO"  # in two parts, because the rule reads this file too


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout of two modules that breaks no rule."""
    write(tmp_path, {
        "src/CMakeLists.txt": "add_subdirectory(base)\nadd_subdirectory(log)\n",
        "src/base/CMakeLists.txt": "ziwa_module(base\n  HEADERS a.h\n  SOURCES a.cpp\n  TESTS a_test.cpp)\n",
        "src/base/README.md": "base\n",
        "src/base/a.h": "#pragma once\n\nnamespace ziwa {\n\n/// Does a.\nint a();\n\n}  // namespace ziwa\n",
        "src/base/a.cpp": '#include "base/a.h"\n',
        "src/base/a_test.cpp": '#include "base/a.h"\n',
        "src/log/CMakeLists.txt": "# The log (the durable one).\nziwa_module(log SOURCES log.cpp DEPENDS base)\n",
        "src/log/README.md": "log\n",
        "src/log/log.cpp": '#include <vector>\n\n#include "base/a.h"\n',
    })
    return tmp_path


def found(root: Path) -> list[str]:
    return [str(violation) for violation in tidy.check(root)]


def test_the_checkout_is_tidy():
    violations = found(tidy.ROOT)
    assert not violations, "\n" + "\n".join(violations)


def test_the_fixture_is_tidy(tree):
    assert found(tree) == []


def test_an_include_of_a_higher_layer_fails(tree):
    write(tree, {"src/base/a.cpp": '#include "base/a.h"\n#include "log/log.h"\n'})
    assert found(tree) == ['src/base/a.cpp:2: layer base includes "log/log.h" of log, which is above it']


def test_an_include_that_depends_does_not_list_fails(tree):
    write(tree, {"src/log/CMakeLists.txt": "ziwa_module(log SOURCES log.cpp)\n"})
    assert found(tree) == ['src/log/log.cpp:3: "base/a.h": module log does not list base in DEPENDS']


def test_depends_are_followed_transitively(tree):
    write(tree, {
        "src/lake/CMakeLists.txt": "ziwa_module(lake SOURCES lake.cpp DEPENDS log)\n",
        "src/lake/README.md": "lake\n",
        "src/lake/lake.cpp": '#include "base/a.h"\n',
    })
    assert found(tree) == []


def test_siblings_need_an_edge_of_their_own(tree):
    for name in ("kafka", "http"):
        write(tree, {f"src/protocol/{name}/CMakeLists.txt": f"ziwa_module(protocol/{name} SOURCES door.cpp)\n",
                     f"src/protocol/{name}/README.md": "door\n",
                     f"src/protocol/{name}/door.cpp": '#include "protocol/kafka/door_internal.h"\n'})
    write(tree, {"src/protocol/README.md": "doors\n"})
    assert found(tree) == ['src/protocol/http/door.cpp:1: "protocol/kafka/door_internal.h": module protocol/http does '
                           "not list protocol/kafka in DEPENDS"]


def test_a_declared_edge_upwards_fails(tree):
    write(tree, {"src/base/CMakeLists.txt":
                 "\nziwa_module(base HEADERS a.h SOURCES a.cpp TESTS a_test.cpp DEPENDS log nowhere)\n"})
    assert found(tree) == ["src/base/CMakeLists.txt:2: module base depends on log, which is above it",
                           "src/base/CMakeLists.txt:2: module base depends on nowhere, which does not exist"]


def test_a_folder_off_the_map_fails(tree):
    write(tree, {"src/utils/CMakeLists.txt": "ziwa_module(utils SOURCES b.cpp)\n", "src/utils/README.md": "u\n",
                 "src/utils/b.cpp": "\n"})
    assert found(tree) == ["src/utils/b.cpp:1: folder src/utils is not on the map (LAYERS in tools/tidy.py)"]


def test_an_include_without_its_full_path_fails(tree):
    write(tree, {"src/base/a.cpp": '#include "a.h"\n#include "../base/a.h"\n'})
    assert found(tree) == ['src/base/a.cpp:1: include "a.h" by its full path below src/',
                           'src/base/a.cpp:2: include "../base/a.h" by its full path below src/']


@pytest.mark.parametrize("include, fine_in", [
    ("<duckdb.hpp>", "duck"), ('"duckdb/common/types.hpp"', "duck"), ('"duck/chunk.h"', "stream"),
    ("<rocksdb/db.h>", "state"), ("<librdkafka/rdkafka.h>", "app"), ("<boost/asio.hpp>", "app"),
])
def test_banned_includes_fail_outside_their_place(tree, include, fine_in):
    write(tree, {"src/log/log.cpp": f"#include {include}\n"})
    violations = found(tree)
    assert len([line for line in violations if line.startswith("src/log/log.cpp:1: include of ")]) == 1
    write(tree, {"src/log/log.cpp": "\n", f"src/{fine_in}/b.cpp": f"#include {include}\n"})
    assert not [line for line in found(tree) if "include of" in line]


def test_long_files_fail(tree):
    write(tree, {"src/base/a.cpp": "\n" * 1200, "src/base/a_test.cpp": "\n" * 1001, "tests/b_test.py": "\n" * 1001})
    assert found(tree) == ["src/base/a_test.cpp:1001: 1001 lines; at most 1000: split it by concept",
                           "tests/b_test.py:1001: 1001 lines; at most 1000: split it by concept"]
    write(tree, {"src/base/a.cpp": "\n" * 1201, "src/base/a_test.cpp": "\n", "tests/b_test.py": "\n"})
    assert found(tree) == ["src/base/a.cpp:1201: 1201 lines; at most 1200: split it by concept"]


def test_generated_files_may_be_long(tree):
    write(tree, {"src/base/a.cpp": "// Generated by tools/x.py.\n" + "\n" * 3000})
    assert found(tree) == []


def test_wide_lines_fail(tree):
    write(tree, {"src/base/a.cpp": "\n//" + "é" * 118 + "\n//" + "é" * 119 + "\n"})
    assert found(tree) == ["src/base/a.cpp:3: 121 columns; at most 120"]


@pytest.mark.parametrize("name", ["src/base/a.cpp", "tools/run", "cmake/x.cmake", "examples/flights/views.sql"])
def test_marks_of_unfinished_work_fail(tree, name):
    write(tree, {name: f"#!/bin/sh\n# {MARK}: finish\n"})
    assert [line for line in found(tree) if MARK in line] == [f"{name}:2: {MARK}: do it, or write an issue"]


def test_a_template_of_a_file_name_is_no_mark(tree):
    write(tree, {"src/base/a.cpp": 'const char* kTemplate = "ziwa-' + "X" * 6 + '";\n'})
    assert found(tree) == []


def test_tabs_fail(tree):
    write(tree, {"src/base/a.cpp": "int\tb;\n"})
    assert found(tree) == ["src/base/a.cpp:1: tab"]


def test_a_header_without_pragma_once_fails(tree):
    write(tree, {"src/base/a.h": "namespace ziwa {}\n// #pragma once\n"})
    assert found(tree) == ["src/base/a.h:1: header without #pragma once"]


@pytest.mark.parametrize("name, message", [
    ("b.cpp", "is in no target: list it in the folder's CMakeLists.txt"),
    ("b_test.cpp", "is not in TESTS of a ziwa_module(): it never runs"),
    ("b_fuzz.cpp", "is not in FUZZ of a ziwa_module(): it never runs"),
    ("b_profile.cpp", "is not in PROFILE of a ziwa_module(): it never runs"),
    ("b.h", "public header in no target: list it in HEADERS, or name it *_internal.h"),
])
def test_files_in_no_target_fail(tree, name, message):
    write(tree, {f"src/base/{name}": "#pragma once\n"})
    assert found(tree) == [f"src/base/{name}:1: {message}"]


def test_a_file_named_only_in_a_comment_is_in_no_target(tree):
    write(tree, {"src/log/CMakeLists.txt": "ziwa_module(log SOURCES log.cpp DEPENDS base)  # b.cpp\n",
                 "src/log/b.cpp": "\n"})
    assert found(tree) == ["src/log/b.cpp:1: is in no target: list it in the folder's CMakeLists.txt"]


def test_a_test_listed_as_a_source_fails(tree):
    write(tree, {"src/base/CMakeLists.txt": "ziwa_module(base HEADERS a.h SOURCES a.cpp a_test.cpp)\n"})
    assert found(tree) == ["src/base/a_test.cpp:1: is not in TESTS of a ziwa_module(): it never runs"]


def test_internal_headers_and_fakes_need_no_target(tree):
    write(tree, {"src/base/b_internal.h": "#pragma once\nint b();\n",
                 "src/base/testing/fake.h": "#pragma once\nint c();\n"})
    assert found(tree) == []


def test_a_module_without_readme_fails(tree):
    (tree / "src/log/README.md").unlink()
    assert found(tree) == ["src/log:1: module without README.md"]


def undocumented(tree: Path, code: str) -> list[str]:
    """What the documentation rule names in a header with `code`, as "line what"."""
    write(tree, {"src/base/a.h": "#pragma once\n" + code})
    prefix = "src/base/a.h:"
    return [line.removeprefix(prefix).replace(": public", "").removesuffix(" without a /// comment")
            for line in found(tree) if line.startswith(prefix)]


@pytest.mark.parametrize("code, what", [
    ("struct A { int x; };\n", "struct A"),
    ("class A final : public B {\n public:\n  void f();\n};\n", "class A"),
    ("class [[nodiscard]] A { void f(int) {} };\n", "class A"),
    ("enum class Color : unsigned char { red };\n", "enum Color"),
    ("template <typename T, typename U = std::vector<T>>\nclass A {};\n", "class A"),
    ("template <typename T>\n  requires std::integral<T>\nT f(T t);\n", "function f"),
    ("template <typename T>\nconcept C = requires(T t) { t.x(); };\n", "concept C"),
    ("int f();\n", "function f"),
    ("[[noreturn]] void f(const char* text = \"{;\");\n", "function f"),
    ("std::unique_ptr<A> f(std::function<void(int)> g);\n", "function f"),
    ("inline int f() {\n  if (true) { return 1; }\n  return 2;\n}\n", "function f"),
    ("constexpr auto f(int a) -> int { return a; }\n", "function f"),
    ("struct A make(int a);\n", "function make"),
    ("// Only a plain comment.\nint f();\n", "function f"),
])
def test_undocumented_declarations_fail(tree, code, what):
    [violation] = undocumented(tree, f"namespace ziwa {{\n\n{code}\n}}  // namespace ziwa\n")
    assert violation.split(" ", 1)[1] == what
    assert undocumented(tree, f"namespace ziwa {{\n\n/// Documented.\n{code}\n}}\n") == []


@pytest.mark.parametrize("code", [
    "struct A;\nclass B;\nenum class C : int;\n",
    "using A = std::vector<int>;\n",
    "constexpr int kMax = size(3);\n",
    "inline constexpr std::array<int, 2> kTwo = {1, 2};\n",
    "static_assert(sizeof(int) == 4);\n",
    "bool operator==(const A& a, const A& b);\n",
    "template <>\nstruct std::hash<ziwa::A> { size_t operator()(const A& a) const; };\n",
    "inline int A::f() { return 1; }\n",
    "template <typename T>\nint A<T>::f() { return 1; }\n",
    "REGISTER(A);\n",
    "GENERATE(a, b)\nGENERATE(c, d)\n",
    "#define F(x) \\\n  int f(x); \\\n  struct A { int f(); }\n",
    "/* int f(); */\n// struct A {};\n",
    "namespace {\nint f();\n}\n",
    "namespace detail {\nint f();\nnamespace deeper { struct A {}; }\n}\n",
    "/// Two calls of one kind: one comment.\nint f();\nint g();\n",
    "/// A type.\nstruct A {\n  int x;\n\n  int y;\n};\nint f(A a);\n",
    "/// A. \n// NOLINTNEXTLINE(x)\nint f();\n",
    "enum class A : int { a, b };  ///< Both.\n",
])
def test_what_needs_no_comment_passes(tree, code):
    assert undocumented(tree, f"namespace ziwa {{\n\n{code}\n}}  // namespace ziwa\n") == []


def test_a_blank_line_ends_what_a_comment_covers(tree):
    assert undocumented(tree, "/// Does f.\nint f();\n\nint g();\nint h();\n") == ["5 function g", "6 function h"]


def test_code_after_a_hidden_namespace_is_seen(tree):
    code = "namespace ziwa {\nnamespace detail { int a(); }\n\nint f();\n}\n\nint g();\n"
    assert undocumented(tree, code) == ["5 function f", "8 function g"]


def test_the_command_prints_and_fails(tree, capsys):
    assert tidy.main([str(tree)]) == 0
    write(tree, {"src/base/a.cpp": "\tint b;\n"})
    assert tidy.main([str(tree)]) == 1
    assert capsys.readouterr().out == "src/base/a.cpp:1: tab\n"
