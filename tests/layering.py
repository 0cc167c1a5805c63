#!/usr/bin/python3
"""Checks that the code keeps to its layers.

A folder of src/ is a layer. A file may include files of its own folder and of the layers before it,
never of a later one. Every header compiles by itself, and every .c includes its own header first,
which proves the same in each build.

    tests/layering.py --build build/dev     checks src/, with the flags of that configured build
    tests/layering.py --self-test           checks that violations are found; the above does it too
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

LAYERS = ["base", "net", "http", "model", "balance", "health", "plugins", "store", "discovery",
          "proxy", "admin", "control"]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.MULTILINE)


def includes(path):
    """(line number, is in quotes, name) of every #include."""
    text = path.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)) + 1, found[1] == '"', found[2])
            for found in INCLUDE.finditer(text)]


def sources(src):
    return sorted(path for path in src.rglob("*") if path.suffix in (".c", ".h"))


def layer_problems(src):
    """Includes that point the wrong way, or nowhere."""
    for path in sources(src):
        name = path.relative_to(src)
        own = name.parts[0] if len(name.parts) > 1 else None  # main.c stands above all layers
        if own is not None and own not in LAYERS:
            yield f"src/{name}: {own}/ is not a layer; the layers are {', '.join(LAYERS)}"
            continue
        for line, is_quoted, included in includes(path):
            where = f"src/{name}:{line}"
            if not is_quoted:
                if (src / included).exists():
                    yield f"{where}: <{included}> is ours: include it in quotes"
                continue
            if not (src / included).exists():
                yield f'{where}: "{included}" is not a path relative to src/'
                continue
            its = pathlib.PurePath(included).parts[0]
            if own is not None and its in LAYERS and LAYERS.index(its) > LAYERS.index(own):
                yield f'{where}: {own} may not include "{included}": {its} is a later layer'


def own_header_problems(src):
    """Sources that do not include their own header before all else."""
    for path in sources(src):
        header = path.with_suffix(".h")
        if path.suffix == ".c" and header.exists():
            wanted = header.relative_to(src).as_posix()
            found = includes(path)
            if not found or found[0][2] != wanted:
                yield f'src/{path.relative_to(src)}: the first include must be "{wanted}"'


def compiler_command(build):
    """The compiler and the flags that all our files are built with, from compile_commands.json."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    ours = [entry for entry in commands if f"{REPOSITORY}/src/" in entry["file"]]
    if not ours:
        raise SystemExit(f"layering: {build} builds nothing of src/")
    # All include paths of all layers: a header that includes another folder's library header must
    # find it, whichever target the command comes from.
    words, flags = None, []
    for entry in ours:
        words = shlex.split(entry["command"])
        kept = iter(words[1:])
        for word in kept:
            if word in ("-o", "-c", "-MF", "-MT"):
                next(kept)
            elif word in ("-isystem", "-include", "-I"):
                pair = [word, next(kept)]
                if pair not in [flags[i:i + 2] for i in range(len(flags) - 1)]:
                    flags += pair
            elif word not in flags and not word.startswith(("-M", "-fsanitize", "-flto")):
                flags.append(word)
    return [words[0], *flags]


def header_problems(src, command):
    """Headers that need something included before them."""
    def check(path):
        name = path.relative_to(src).as_posix()
        result = subprocess.run(
            [*command, "-fsyntax-only", "-I", str(src), "-x", "c", "-"],
            input=f'#include "{name}"\n', capture_output=True, text=True, check=False)
        if result.returncode != 0:
            return f"src/{name} does not compile alone:\n{result.stderr.rstrip()}"
        return None

    headers = [path for path in sources(src) if path.suffix == ".h"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [problem for problem in pool.map(check, headers) if problem]


def problems(src, command):
    return [*layer_problems(src), *own_header_problems(src), *header_problems(src, command)]


def self_test(command):
    """Builds a small tree with one violation of each kind; every one must be found."""
    def found_in(files):
        with tempfile.TemporaryDirectory() as folder:
            src = pathlib.Path(folder) / "src"
            for name, text in files.items():
                path = src / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return problems(src, command)

    fine = {
        "base/str.h": "#include <stddef.h>\nsize_t str_size(void);\n",
        "base/str.c": '#include "base/str.h"\nsize_t str_size(void)\n{\n    return 0;\n}\n',
        "net/listener.h": '#include "base/str.h"\nstruct listener { size_t size; };\n',
        "main.c": '#include "net/listener.h"\n',
    }
    assert found_in(fine) == [], found_in(fine)
    for change, expected in (
            ({"base/up.h": '#include "net/listener.h"\n'}, "net is a later layer"),
            ({"base/up.c": '#include "proxy/worker.h"\n', "proxy/worker.h": "struct worker;\n"},
             "proxy is a later layer"),
            ({"utils/misc.h": "struct misc;\n"}, "utils/ is not a layer"),
            ({"net/stream.c": '#include "stream.h"\n', "net/stream.h": "struct stream;\n"},
             "is not a path relative to src/"),
            ({"net/stream.c": "#include <base/str.h>\n"}, "include it in quotes"),
            ({"net/stream.c": '#include "base/str.h"\n#include "net/stream.h"\n',
              "net/stream.h": "struct stream;\n"}, "the first include must be"),
            ({"net/needy.h": "size_t needy_size(void);\n"}, "does not compile alone")):
        found = found_in({**fine, **change})
        assert any(expected in problem for problem in found), f"{change} gave {found}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path,
                        help="a build directory, configured with CMAKE_EXPORT_COMPILE_COMMANDS")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()

    if options.self_test:
        self_test(["cc"])
        print("layering: the self-test found every violation")
        return 0
    if not options.build:
        parser.error("--build is needed")

    command = compiler_command(options.build)
    self_test(["cc"])
    src = REPOSITORY / "src"
    found = problems(src, command)
    for problem in found:
        print(problem)
    count = len(sources(src))
    print(f"layering: {len(found)} violations in {count} files" if found else
          f"layering: {count} files keep to their layers")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
