#!/usr/bin/env python3
"""Generates the Kafka message codecs from schemas/kafka/*.json.

    gen_kafka.py messages SCHEMA OUT.h OUT.cpp     one API's request and response
    gen_kafka.py tests OUT.cpp SCHEMA...           round trips of every API and version

A schema is one API: {"key", "name", "versions": "4-18", "flexible": "12+" or "none", "request": fields,
"response": fields}.
A field is {"name", "type", "versions" (default: its parent's), "nullable" (true or versions), "tag" (a tagged field),
"default", "fields" (of a struct)}. Types: bool, int8..int64, uint16, float64, string, uuid, bytes, records, a
struct's name, and any of these after "[]". Decoded requests hold views into the frame; responses own their strings.
"""
import json
import os
import sys

NUMBERS = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t", "uint16": "uint16_t"}
FIELD_KEYS = {"name", "type", "versions", "nullable", "tag", "default", "fields"}


def versions(text, low, high):
    """'3+', '2-5' or '4' as (first, last), cut to [low, high]."""
    if text.endswith("+"):
        first, last = int(text[:-1]), high
    elif "-" in text:
        first, last = map(int, text.split("-"))
    else:
        first = last = int(text)
    return max(first, low), min(last, high)


class Field:
    def __init__(self, spec, low, high, owned):
        unknown = set(spec) - FIELD_KEYS
        if unknown:
            sys.exit(f"unknown keys {unknown} in field {spec.get('name')}")
        self.name = spec["name"]
        self.array = spec["type"].startswith("[]")
        self.type = spec["type"].removeprefix("[]")
        self.low, self.high = versions(spec["versions"], low, high) if "versions" in spec else (low, high)
        self.parent = (low, high)
        nullable = spec.get("nullable", False)
        self.nullable = bool(nullable)
        self.null_low, self.null_high = (
            (self.low, self.high) if nullable is True else versions(nullable, low, high) if nullable else (1, 0))
        self.tag = spec.get("tag")
        self.default = spec.get("default", 0)
        self.owned = owned
        self.struct = Struct(self.type, spec["fields"], self.low, self.high, owned) if "fields" in spec else None

    def element_type(self):
        if self.struct:
            return self.type
        if self.type in NUMBERS:
            return NUMBERS[self.type]
        return {"bool": "bool", "float64": "double", "uuid": "Uuid",
                "string": "std::string" if self.owned else "std::string_view",
                "bytes": "Bytes" if self.owned else "BlobView",
                "records": "Bytes" if self.owned else "BlobView"}[self.type]

    def cpp_type(self):
        inner = f"std::vector<{self.element_type()}>" if self.array else self.element_type()
        return f"std::optional<{inner}>" if self.nullable else inner

    def initializer(self):
        if self.array or self.struct or self.nullable or self.type in ("uuid", "bytes", "records", "string"):
            return ""
        if self.type == "bool":
            return " = true" if self.default is True else " = false"
        if self.default == -2147483648:
            return " = std::numeric_limits<int32_t>::min()"
        return f" = {self.default}"

    def condition(self, low, high):
        """The C++ test for version in [low, high], or None when it always holds here."""
        tests = []
        if low > self.parent[0]:
            tests.append(f"version >= {low}")
        if high < self.parent[1]:
            tests.append(f"version <= {high}")
        return " && ".join(tests) or None

    def present(self):
        return self.condition(self.low, self.high)

    # --- decoding

    def read_one(self, decoder):
        if self.type in NUMBERS:
            return f"{decoder}.number<{NUMBERS[self.type]}>()"
        call = {"bool": "boolean()", "float64": "float64()", "uuid": "uuid()", "string": "string()", "bytes": "blob()",
                "records": "blob()"}[self.type]
        if self.owned and self.type == "string":
            return f"std::string({decoder}.{call})"
        if self.owned and self.type in ("bytes", "records"):
            return f"owned({decoder}.{call})"
        return f"{decoder}.{call}"

    def read_nullable_one(self, decoder):
        call = "nullable_string()" if self.type == "string" else "nullable_blob()"
        if not self.owned:
            return f"{decoder}.{call}"
        return f"owned({decoder}.{call})"

    def decode_lines(self, decoder):
        if self.array:
            return self.decode_array(decoder)
        if self.struct:
            return [f"{self.name}.decode({decoder}, version);"]
        if not self.nullable:
            return [f"{self.name} = {self.read_one(decoder)};"]
        test = self.condition(self.null_low, self.null_high)
        if (self.null_low, self.null_high) == (self.low, self.high) or test is None:
            return [f"{self.name} = {self.read_nullable_one(decoder)};"]
        return [f"if ({test}) {{", f"  {self.name} = {self.read_nullable_one(decoder)};", "} else {",
                f"  {self.name} = {self.read_one(decoder)};", "}"]

    def decode_array(self, decoder):
        items = "items" if self.nullable else self.name
        lines = []
        if self.nullable:
            always = (self.null_low, self.null_high) == (self.low, self.high)
            test = None if always else self.condition(self.null_low, self.null_high)
            count = f"{decoder}.nullable_array()"
            if test:
                count = f"({test}) ? {count} : std::optional<size_t>({decoder}.array())"
            lines += [f"if (std::optional<size_t> count = {count}) {{", f"  auto& items = {self.name}.emplace();"]
            size = "*count"
        else:
            lines += ["{"]
            size = f"{decoder}.array()"
        lines += [f"  {items}.resize({size});"]
        if self.struct:
            lines += [f"  for (auto& item : {items}) item.decode({decoder}, version);"]
        else:
            lines += [f"  for (auto& item : {items}) item = {self.read_one(decoder)};"]
        lines += ["}"]
        if self.nullable:
            lines[-1] = "} else {"
            lines += [f"  {self.name}.reset();", "}"]
        return lines

    # --- encoding

    def write_one(self, encoder, value):
        call = {"bool": "boolean", "float64": "float64", "uuid": "uuid", "string": "string"}.get(self.type, "number")
        if self.type in ("bytes", "records"):
            return f"{encoder}.blob({value if self.owned else value + '.bytes'});"
        if self.struct:
            return f"{value}.encode({encoder}, version);"
        return f"{encoder}.{call}({value});"

    def encode_value(self, encoder, value):
        if not self.array:
            return [self.write_one(encoder, value)]
        return [f"{encoder}.array({value}.size());",
                f"for (const auto& item : {value}) {self.write_one(encoder, 'item')}"]

    def encode_lines(self, encoder):
        if not self.nullable:
            return self.encode_value(encoder, self.name)
        kind = "array" if self.array else "string" if self.type == "string" else "blob"
        empty = {"array": "array(0)", "string": 'string("")', "blob": "blob({})"}[kind]
        always = (self.null_low, self.null_high) == (self.low, self.high)
        test = None if always else self.condition(self.null_low, self.null_high)
        null = [f"  {encoder}.null_{kind}();"]
        if test:
            null = [f"  if ({test}) {{", f"    {encoder}.null_{kind}();",
                    "  } else {", f"    {encoder}.{empty};", "  }"]
        value = [f"  {line}" for line in self.encode_value(encoder, f"{self.name}.value()")]
        return [f"if ({self.name}) {{", *value, "} else {", *null, "}"]

    def is_default(self):
        """The test for "this tagged field need not be sent"."""
        if self.nullable:
            return f"!{self.name}"
        if self.array or self.type in ("string", "bytes", "records"):
            return f"{self.name}.empty()"
        if self.type == "uuid":
            return f"{self.name}.is_zero()"
        if self.struct:
            return f"{self.name} == {self.type}{{}}"
        if self.type == "bool":
            return f"!{self.name}"
        return f"{self.name} == {self.default}"


class Struct:
    def __init__(self, name, specs, low, high, owned):
        self.name = name
        self.low, self.high = low, high
        self.fields = [Field(spec, low, high, owned) for spec in specs]
        self.tagged = sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)
        self.plain = [f for f in self.fields if f.tag is None]

    def nested(self):
        for field in self.fields:
            if field.struct:
                yield field.struct

    def declare(self, indent, extra=()):
        pad = "  " * indent
        lines = [f"{pad}struct {self.name} {{"]
        lines += [f"{pad}  {line}" for line in extra]
        seen = set()
        for struct in self.nested():
            if struct.name in seen:
                sys.exit(f"two structs {struct.name} in {self.name}")
            seen.add(struct.name)
            lines += struct.declare(indent + 1)
        for field in self.fields:
            lines.append(f"{pad}  {field.cpp_type()} {field.name}{field.initializer()};")
        lines += [f"{pad}  void decode(Decoder& in, int16_t version);",
                  f"{pad}  void encode(Encoder& out, int16_t version) const;",
                  f"{pad}  friend bool operator==(const {self.name}&, const {self.name}&) = default;", f"{pad}}};"]
        return lines

    def define(self, outer):
        name = f"{outer}::{self.name}" if outer else self.name
        lines = []
        for struct in self.nested():
            lines += struct.define(name)
        lines += [f"void {name}::decode(Decoder& in, [[maybe_unused]] int16_t version) {{"]
        for field in self.plain:
            lines += guarded(field.present(), field.decode_lines("in"))
        lines += self.decode_tags() + ["}", ""]
        lines += [f"void {name}::encode(Encoder& out, [[maybe_unused]] int16_t version) const {{"]
        for field in self.plain:
            lines += guarded(field.present(), field.encode_lines("out"))
        lines += self.encode_tags() + ["}", ""]
        return lines

    def decode_tags(self):
        if not self.tagged:
            return ["  in.skip_tags();"]
        lines = ["  in.tags([&](uint32_t tag, Decoder& value) {", "    switch (tag) {"]
        for field in self.tagged:
            lines += [f"      case {field.tag}:"]
            if field.present():
                lines += [f"        if (!({field.present()})) return false;"]
            lines += [f"        {line}" for line in field.decode_lines("value")] + ["        return true;"]
        return lines + ["      default:", "        return false;", "    }", "  });"]

    def encode_tags(self):
        if not self.tagged:
            return ["  out.no_tags();"]
        lines = ["  if (!out.flexible()) return;", "  uint32_t tags = 0;"]
        for field in self.tagged:
            lines += [f"  const bool has_{field.name} = {self.sent(field)};", f"  if (has_{field.name}) ++tags;"]
        lines += ["  out.tag_count(tags);"]
        for field in self.tagged:
            lines += [f"  if (has_{field.name}) {{", "    Encoder value(true);"]
            lines += [f"    {line}" for line in field.encode_lines("value")]
            lines += [f"    out.tag({field.tag}, value.view());", "  }"]
        return lines

    def sent(self, field):
        test = f"!({field.is_default()})"
        return f"{field.present()} && {test}" if field.present() else test


def guarded(condition, lines):
    if condition is None:
        return [f"  {line}" for line in lines]
    return [f"  if ({condition}) {{"] + [f"    {line}" for line in lines] + ["  }"]


class Api:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        self.file = os.path.splitext(os.path.basename(path))[0]
        self.name, self.key = spec["name"], spec["key"]
        self.low, self.high = map(int, spec["versions"].split("-"))
        flexible = spec["flexible"]
        self.flexible = 32767 if flexible == "none" else int(flexible.removesuffix("+"))
        self.request = Struct(self.name + "Request", spec["request"], self.low, self.high, owned=False)
        self.response = Struct(self.name + "Response", spec["response"], self.low, self.high, owned=True)

    def constants(self):
        return [f"static constexpr int16_t kApiKey = {self.key};",
                f'static constexpr const char* kName = "{self.name}";',
                f"static constexpr int16_t kVersionMin = {self.low};",
                f"static constexpr int16_t kVersionMax = {self.high};",
                f"static constexpr int16_t kFlexibleFrom = {self.flexible};"]


def banner(schema):
    return f"// Generated by tools/gen_kafka.py from {schema}: do not edit."


def write(path, lines):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def generate_messages(schema, header, source):
    api = Api(schema)
    include = f"protocol/kafka/messages/{api.file}.h"
    first = banner(f"schemas/kafka/{api.file}.json")
    write(header, [first, "#pragma once", "", "#include <cstdint>", "#include <limits>", "#include <optional>",
                   "#include <string>", "#include <string_view>", "#include <vector>", "",
                   '#include "protocol/kafka/wire.h"', "", "namespace ziwa::kafka {", "",
                   *api.request.declare(0, api.constants()), "",
                   *api.response.declare(0, api.constants()), "", "}  // namespace ziwa::kafka"])
    write(source, [first, f'#include "{include}"', "", "namespace ziwa::kafka {", "namespace {", "",
                   "[[maybe_unused]] Bytes owned(const BlobView& view) {",
                   "  return Bytes(view.bytes.begin(), view.bytes.end());", "}",
                   "[[maybe_unused]] std::optional<Bytes> owned(const std::optional<BlobView>& view) {",
                   "  if (!view) return std::nullopt;", "  return owned(*view);", "}",
                   "[[maybe_unused]] std::optional<std::string> owned(const std::optional<std::string_view>& view) {",
                   "  if (!view) return std::nullopt;", "  return std::string(*view);", "}", "", "}  // namespace", "",
                   *api.request.define(""), *api.response.define(""), "}  // namespace ziwa::kafka"])


class Sample:
    """Lines that give every field of a version a value of its own."""

    def __init__(self):
        self.counter = 0
        self.arrays = 0

    def value(self, field):
        self.counter += 1
        n = self.counter
        if field.type in NUMBERS:
            return str(n % 100 + 1)
        return {"bool": "true", "float64": f"{n}.5", "uuid": f"testing::uuid_of({n})",
                "string": f'"text {n}"', "bytes": f"testing::blob_of<{field.element_type()}>({n})",
                "records": f"testing::blob_of<{field.element_type()}>({n})"}[field.type]

    def fill(self, target, struct, depth, low, high, lines):
        pad = "  " * depth
        for field in struct.fields:
            test = field.present()
            if test:
                lines.append(f"{pad}if ({test}) {{")
            self.fill_field(f"{target}.{field.name}", field, depth + (1 if test else 0), lines)
            if test:
                lines.append(f"{pad}}}")

    def fill_field(self, target, field, depth, lines):
        pad = "  " * depth
        if field.array:
            self.arrays += 1
            name = f"array_{self.arrays}"
            lines.append(f"{pad}auto& {name} = {target}{'.emplace()' if field.nullable else ''};")
            lines.append(f"{pad}{name}.resize(2);")
            for i in range(2):
                if field.struct:
                    self.fill(f"{name}[{i}]", field.struct, depth, field.low, field.high, lines)
                else:
                    lines.append(f"{pad}{name}[{i}] = {self.value(field)};")
        elif field.struct:
            self.fill(target, field.struct, depth, field.low, field.high, lines)
        else:
            lines.append(f"{pad}{target} = {self.value(field)};")


def generate_tests(out, schemas):
    apis = [Api(path) for path in schemas]
    lines = [banner("schemas/kafka/*.json"), '#include "protocol/kafka/testing/round_trip.h"', ""]
    lines += [f'#include "protocol/kafka/messages/{api.file}.h"' for api in apis]
    lines += ["", "namespace ziwa::kafka {", "namespace {", ""]
    for api in apis:
        for struct in (api.request, api.response):
            body = []
            Sample().fill("message", struct, 1, api.low, api.high, body)
            lines += [f"void fill([[maybe_unused]] {struct.name}& message,",
                      "          [[maybe_unused]] int16_t version) {", *body, "}",
                      f"TEST(MessagesTest, {struct.name}) {{ testing::expect_round_trips<{struct.name}>(fill); }}", ""]
    lines += ["}  // namespace", "}  // namespace ziwa::kafka"]
    write(out, lines)


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "messages":
        generate_messages(*sys.argv[2:])
    elif len(sys.argv) > 3 and sys.argv[1] == "tests":
        generate_tests(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
