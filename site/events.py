#!/usr/bin/env python3
"""Makes docs/events.md, the reference of all events, from the schemas and their examples.

    python3 site/events.py            writes the page
    python3 site/events.py --check    compares the page with what would be written; status 1 if they differ
"""

import json
import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "schemas"
PAGE = ROOT / "docs" / "events.md"
HEAD = """# Event reference

Every event that Softstake reads or writes, with each field. This page is made from the JSON Schemas in
[schemas/](../schemas/README.md): change those, then run `python3 site/events.py`. `make lint` and `make site` fail if
the page is not what the schemas say. The rules behind the fields are in [the contract](contract.md).

- *Required* says whether the field must be there, within the object that it is part of.
- A point leads into an object: `buyer.account`. Brackets lead into the items of a list: `tiers[].up_to`.
- Where several types are possible, the description says which one applies.
- The types that are links are [below](#shared-types). Their exact patterns are in the schemas.
"""


class Documents(dict):
    """The schemas by the name of their file."""

    def __init__(self):
        super().__init__({path.name: json.loads(path.read_text("utf-8")) for path in SCHEMAS.glob("*.schema.json")})

    def target(self, reference, at):
        """What a reference leads to: the name of its file, its own name, and the schema."""
        file, pointer = reference.split("#/$defs/")
        file = file or at
        return file, pointer, self[file]["$defs"][pointer]


DOCUMENTS = Documents()
COMMON = "common.schema.json"


def link(name):
    return f"[{name}](#{name})"


def event_link(name):
    return f"[{name}](#{name.replace('.', '')})"


def value(constant):
    return f"`{json.dumps(constant, ensure_ascii=False)}`"


def type_of(node, at):
    """The type of a value, in words."""
    if "$ref" in node:
        file, name, target = DOCUMENTS.target(node["$ref"], at)
        if file not in (at, COMMON):  # The data of another event.
            return event_link(file.removesuffix(".schema.json"))
        return link(name) if file == COMMON else type_of(target, file)
    if "const" in node:
        return value(node["const"])
    if "enum" in node:
        return ", ".join(map(value, node["enum"]))
    alternatives = node.get("oneOf") or node.get("anyOf")
    if alternatives and "type" not in node:
        return " or ".join(type_of(one, at) for one in alternatives)
    kinds = node.get("type", "any")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if words == "array":
        words += f" of {type_of(node['items'], at)}"
    bounds = [f"from {node['minimum']}"] if "minimum" in node else []
    bounds += [f"to {node['maximum']}"] if "maximum" in node else []
    return " ".join([words, *bounds])


def objects(node, at):
    """The objects that a value may be, with the names of their files. Shared types are described in one place."""
    if "$ref" in node:
        file, _, target = DOCUMENTS.target(node["$ref"], at)
        return [] if file == COMMON else objects(target, file)
    found = [(node, at)] if "properties" in node else []
    for one in node.get("oneOf", []) + node.get("anyOf", []) if not found else []:
        found += objects(one, at)
    return found


def meaning(field, at):
    """The description of a field. That of its type is added, unless it has a section."""
    own = [field["description"]] if "description" in field else []
    if "$ref" in field:
        file, _, target = DOCUMENTS.target(field["$ref"], at)
        if (file == at or not own) and "description" in target:
            own.insert(0, target["description"])
    return " ".join(own)


def fields(node, at, prefix=""):
    """Each field with its type, whether it is required, and its description."""
    for name, field in node["properties"].items():
        path = f"{prefix}{name}"
        said = meaning(field, at)
        if "default" in field and "Default:" not in said:
            said = f"{said.rstrip('.')}. Default: {value(field['default'])}."
        yield path, type_of(field, at), "yes" if name in node.get("required", []) else "no", said
        items = field.get("items")
        for inner, file in objects(items or field, at):
            if file == at:  # An object of another event has its own section.
                yield from fields(inner, file, f"{path}[]." if items else f"{path}.")


def table(rows, heads):
    cells = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |\n" for row in cells)


def paragraph(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def record(text):
    return "```json\n" + json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n```\n"


def fields_table(node, at):
    return table([(f"`{path}`", *rest) for path, *rest in fields(node, at)], ["field", "type", "required", "meaning"])


def examples(name):
    """The examples that pass, the most telling one first."""
    files = sorted((SCHEMAS / "examples" / "valid" / name).glob("*.json"))
    return sorted(files, key=lambda path: (path.stem != "plain", not path.stem.startswith("example-"), path.name))


def event(name, topic, direction, writer, reader):
    file = f"{name}.schema.json"
    schema = DOCUMENTS[file]
    yield f"## {name}\n"
    yield paragraph(f"{schema['title']}. {schema['description']}")
    yield table([(topic, writer, reader)], ["topic", "written by", "read by"])
    envelope = [
        (f"`{part}`", schema["properties"][part]["description"])
        for part in ("id", "time")
        if "description" in schema["properties"].get(part, {})
    ]
    if envelope:
        yield table(envelope, ["in the envelope", "meaning"])
    data = schema["$defs"]["data"]
    if "properties" in data:
        yield "Fields of `data`:\n"
        yield fields_table(data, file)
        yield "Example:\n"
        yield record(examples(name)[0].read_text("utf-8"))
    else:
        yield from kinds(name, file, data)
    yield f"Schema: [`schemas/{file}`](../schemas/{file}).\n"


def kinds(name, file, data):
    """The kinds of an event whose data has a field that names the kind."""
    records = {path.stem: json.loads(path.read_text("utf-8")) for path in examples(name)}
    for one in data["oneOf"]:
        _, kind, node = DOCUMENTS.target(one["$ref"], file)
        yield f"### {name.split('.')[1]} `{kind}`\n"
        yield paragraph(node["description"])
        yield fields_table(node, file)
        names = [node["properties"]["decision"].get("const"), *node["properties"]["decision"].get("enum", [])]
        fitting = [stem for stem, one in records.items() if one["data"]["decision"] in names]
        plain = kind.replace("_", "-")
        yield record(json.dumps(records[plain if plain in fitting else fitting[0]]))


def shared():
    yield "## Shared types\n"
    for name, node in DOCUMENTS[COMMON]["$defs"].items():
        if name.endswith("_envelope"):
            continue
        yield f"### {name}\n"
        yield paragraph(node["description"]) if "description" in node else f"{type_of(node, COMMON)}\n"
        if "properties" in node:
            yield fields_table(node, COMMON)
        if "enum" in node:
            yield paragraph(f"One of {type_of(node, COMMON)}.")
        if node.get("examples"):
            yield paragraph("Examples: " + ", ".join(map(value, node["examples"])) + ".")


def page():
    overview = (SCHEMAS / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z_.]+v\d+)` \| (.*?) \| (in|out) \| (.*?) \| (.*?) \|$", overview, re.M)
    missing = {name.removesuffix(".schema.json") for name in DOCUMENTS} - {row[0] for row in rows} - {"common"}
    if missing:
        sys.exit(f"schemas/README.md has no row for {', '.join(sorted(missing))}: add it to the table of types")
    yield HEAD
    for direction, words in ("in", "What goes in"), ("out", "What comes out"):
        yield f"**{words}:**\n"
        listed = [(name, topic) for name, topic, way, _, _ in rows if way == direction]
        titles = [(event_link(name), DOCUMENTS[f"{name}.schema.json"]["title"], topic) for name, topic in listed]
        yield table(titles, ["type", "title", "topic"])
    for part in "input_envelope", "output_envelope":
        node = DOCUMENTS[COMMON]["$defs"][part]
        yield f"## {node['title']}\n"
        yield paragraph(node["description"])
        yield fields_table(node, COMMON)
    for row in rows:
        yield from event(*row)
    yield from shared()


def main():
    text = "\n".join(page())
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text("utf-8") != text:
            sys.exit("docs/events.md is not what the schemas say: run `python3 site/events.py` and commit the page")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        PAGE.write_text(text, "utf-8")


main()
