#!/usr/bin/env python3
"""A preprocessor of mdBook: files outside docs/ that a page links to become pages of the site, below repository/.

So every link that works in the repository works in the site, without a code host. A link to a file that does not exist
ends the build. Markdown files are rendered, other files are shown as they are, and a folder without a README.md is
listed. Chapters of docs/SUMMARY.md may be such files too (`../deploy/README.md`).
"""

import json
import pathlib
import posixpath
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = "repository"
LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"(^ *(`{3,}).*?^ *\2`* *$|(?<!`)(`+)(?!`).+?(?<!`)\3(?!`))", re.M | re.S)
PICTURES = (".png", ".svg")
LANGUAGES = {".rs": "rs", ".py": "py", ".sh": "bash", ".service": "ini"}


def page_of(file):
    """Where a file of the repository is in the site."""
    inside = file.removeprefix("docs/") if file.startswith("docs/") else f"{PLACE}/{file}"
    folder, name = posixpath.split(inside)
    if (ROOT / file).is_dir():
        return f"{inside}/index.md"
    if name == "README.md":
        return posixpath.join(folder, "index.md")
    return inside if name.endswith(".md") else f"{inside}.md"


class Pages:
    """The pages of the site by the files that they are made from."""

    def __init__(self):
        self.files = set()
        self.new = []

    def add(self, file, linked_in):
        """The file or folder that is shown for a link's target."""
        path = ROOT / file
        if file.startswith("..") or not path.exists():
            sys.exit(f"{linked_in} links to {file}, which does not exist: correct the link")
        if path.is_dir() and (path / "README.md").exists():
            return self.add(f"{file}/README.md", linked_in)
        if file not in self.files:
            self.files.add(file)
            self.new.append(file)
        return file

    def text_of(self, file):
        """The Markdown of a file of the repository."""
        path = ROOT / file
        if path.is_dir():
            inner = sorted(inner.name for inner in path.iterdir() if not inner.name.startswith("."))
            return f"# {file}\n\nThe files of this folder:\n\n" + "".join(f"- [{name}]({name})\n" for name in inner)
        text = path.read_text("utf-8")
        if file.endswith(".md"):
            return text
        fence = max(["``", *re.findall("`+", text)], key=len) + "`"
        language = LANGUAGES.get(path.suffix, path.suffix.removeprefix("."))
        return f"# {file}\n\nA file of the repository.\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"

    def linked(self, text, file):
        """The text with links that lead to pages. Code stays as it is."""
        pieces = CODE.split(text)
        texts, codes = pieces[::4], pieces[1::4]
        here = posixpath.dirname(page_of(file))
        folder = file if (ROOT / file).is_dir() else posixpath.dirname(file)

        def link(found):
            target, mark, fragment = found[1].partition("#")
            if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
                return found[0]
            place = posixpath.normpath(posixpath.join(folder, target))
            if place.startswith("docs/") and place.endswith(PICTURES) and (ROOT / place).exists():
                # mdBook copies it.
                return f"]({posixpath.relpath(place.removeprefix('docs/'), here or '.')})"
            shown = self.add(place, file)
            return f"]({posixpath.relpath(page_of(shown), here or '.')}{mark}{fragment})"

        # A link's text may be code, so its end can be in the piece behind: `](` is never within code.
        texts = [LINK.sub(link, piece) for piece in texts]
        return "".join(text + code for text, code in zip(texts, [*codes, ""]))

    def chapter(self, file):
        return new_chapter(file, self.linked(self.text_of(file), file), page_of(file))


def new_chapter(name, content, path, items=(), number=None):
    return {
        "name": name,
        "content": content,
        "number": number,
        "sub_items": list(items),
        "path": path,
        "source_path": path,
        "parent_names": [],
    }


def chapters(items):
    """All chapters of a book with a file, in order."""
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter and chapter["path"]:
            yield chapter
        if chapter:
            yield from chapters(chapter["sub_items"])


def main():
    if sys.argv[1:2] == ["supports"]:
        sys.exit(sys.argv[2] != "html")
    _, book = json.load(sys.stdin)
    pages = Pages()
    listed = [(chapter, posixpath.normpath(f"docs/{chapter['path']}")) for chapter in chapters(book["items"])]
    pages.files.update(file for _, file in listed)
    missing = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - pages.files - {"docs/SUMMARY.md"}
    if missing:
        sys.exit(f"docs/SUMMARY.md does not name {', '.join(sorted(missing))}: add them")
    for chapter, file in listed:
        chapter["content"] = pages.linked(chapter["content"], file)
        chapter["path"] = chapter["source_path"] = page_of(file)
    added = []
    while pages.new:
        added.append(pages.chapter(pages.new.pop()))
    added.sort(key=lambda chapter: chapter["path"])
    book["items"] += ["Separator", {"Chapter": files_chapter(added)}]
    json.dump(book, sys.stdout)


def files_chapter(added):
    """The chapter that lists the added ones, and folds them away. mdBook nests chapters by their numbers."""
    title, path, number = "Files of the repository", f"{PLACE}/files.md", 1000
    for at, chapter in enumerate(added, 1):
        chapter.update(number=[number, at], parent_names=[title])
    links = (f"- [{chapter['name']}]({posixpath.relpath(chapter['path'], PLACE)})\n" for chapter in added)
    said = "Pages of this site link to these files. They are as they were when the site was built."
    items = [{"Chapter": chapter} for chapter in added]
    return new_chapter(title, f"# {title}\n\n{said}\n\n{''.join(links)}", path, items, [number])


main()
