"""Judges which lines of src/ were run: ci/coverage.py ROOT LCOV REASONS LEAST

The list of reasons has a line for each run of lines that is not covered, by its function and the text of its first line:
FILE == FUNCTION == TEXT OF THE LINE == REASON
"""

import itertools
import pathlib
import re
import sys

# Where each line that is not covered needs a reason.
STRICT = ("src/plan/", "src/job/", "src/admit/", "src/command/", "src/records/")


def covered_lines(lcov, root):
    """How often each line ran, by file: lcov's records SF and DA."""
    files, current = {}, None
    for line in lcov.read_text(encoding="utf-8").splitlines():
        kind, _, value = line.partition(":")
        if kind == "SF":
            current = files.setdefault(str(pathlib.Path(value).resolve().relative_to(root)), {})
        elif kind == "DA":
            number, count = (int(part) for part in value.split(",")[:2])
            current[number] = max(current.get(number, 0), count)
    return files


def test_files(root):
    """The files that are modules under `#[cfg(test)]` or of the feature that the fuzz targets have, and the modules of these."""
    found = set()
    for path in (root / "src").rglob("*.rs"):
        for name in re.findall(r'#\[cfg\((?:test|feature = "fuzzing")\)\]\n(?:#\[.*\]\n)?(?:pub(?:\([a-z]+\))? )?mod (\w+);', path.read_text(encoding="utf-8")):
            home = path.parent if path.stem in ("mod", "lib", "main") else path.parent / path.stem
            files = [home / f"{name}.rs", *(home / name).rglob("*.rs")]
            found.update(str(file.relative_to(root)) for file in files if file.exists())
    return found


def test_lines(text):
    """The numbers of the lines in items under `#[cfg(test)]`: each ends, as rustfmt lays it out, at its own indentation."""
    numbers, end = set(), None
    for number, line in enumerate(text, 1):
        if end is None and line.strip() == "#[cfg(test)]":
            indentation = line[: len(line) - len(line.lstrip())]
            end = indentation + "}"
        if end is not None:
            numbers.add(number)
            if line == end or (line.startswith(end[:-1]) and line.rstrip().endswith(";") and line[len(end) - 1] not in " #}"):
                end = None
    return numbers


def reasons(path):
    """The list: (file, function, text of the line) to reason."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = line.split(" == ")
        if len(parts) != 4 or not parts[3].strip():
            sys.exit(f"{path}:{number} is not FILE == FUNCTION == TEXT == REASON")
        found[tuple(parts[:3])] = parts[3]
    return found


def function(text, number):
    """The name of the function in which the line stands: the last that begins before it."""
    for line in reversed(text[:number]):
        if found := re.match(r"\s*(?:pub(?:\([a-z]+\))? )?(?:async )?(?:const )?fn (\w+)", line):
            return found[1]
    return "-"


def runs(numbers):
    """Groups of lines that follow on each other."""
    for _, group in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        yield [number for _, number in group]


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    known, least = reasons(pathlib.Path(sys.argv[3])), float(sys.argv[4])
    files = covered_lines(pathlib.Path(sys.argv[2]), root)
    tests = test_files(root)
    total = hit = unexplained = 0
    used, told = set(), []
    print(f"{'file':<34}{'lines':>7}{'covered':>9}{'%':>8}")
    for name in sorted(files):
        if not name.startswith("src/") or name in tests:
            continue
        text = (root / name).read_text(encoding="utf-8").splitlines()
        aside = test_lines(text)
        counts = {number: count for number, count in files[name].items() if number not in aside}
        missed = [number for number, count in counts.items() if count == 0]
        covered = len(counts) - len(missed)
        total, hit = total + len(counts), hit + covered
        if counts:
            print(f"{name:<34}{len(counts):>7}{covered:>9}{100 * covered / len(counts):>8.1f}")
        for run in runs(missed):
            quote = text[run[0] - 1].strip()
            place = (name, function(text, run[0]), quote)
            reason = known.get(place)
            used.add(place)
            strict = name.startswith(STRICT)
            unexplained += strict and reason is None
            if strict or reason:
                span = str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
                told.append(f"{name}:{span}, in {place[1]}: {quote}\n    {reason or 'NO REASON'}")
    if not total:
        sys.exit("no line of src/ was measured")
    print(f"{'all':<34}{total:>7}{hit:>9}{100 * hit / total:>8.1f}\n\nnot covered in plan, job, admit, command and records:")
    print("\n".join(told) or "nothing")
    stale = [" == ".join(place) for place in known if place not in used]
    if stale:
        print("\nreasons for what is covered or is not there:\n" + "\n".join(stale))
    if unexplained:
        print(f"\n{unexplained} places have no reason: write the test, or the reason into ci/coverage.reasons")
    if 100 * hit / total < least:
        print(f"\nless than {least:g} % of the lines are covered")
    sys.exit(1 if stale or unexplained or 100 * hit / total < least else 0)


main()
