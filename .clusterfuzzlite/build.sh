#!/bin/bash -eu
# Make the fuzz targets in $OUT, each with its seeds, its dictionary and its options.
#
# In ClusterFuzzLite's image every target becomes one program with all that it imports (compile_python_fuzzer). Where
# there is no such command, as on a developer's machine, it becomes a script that runs it with $PYTHON from this
# checkout; scripts/fuzz uses it that way. The packages are then those that $PYTHON already has.
here="$(cd "$(dirname "$0")/.." && pwd)"
if [ ! -d "$here/tests/fuzz" ]; then here="$SRC/mcp-docker"; fi
cd "$here"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit("this needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'

if command -v compile_python_fuzzer >/dev/null; then
  "$python" -m pip install --require-hashes --requirement requirements/fuzz.txt
  export PYTHONPATH="$here/src:$here"
  build() { # build FILE: tools, prompts and resources are found by name at run time, so they are named here
    compile_python_fuzzer "$1" --collect-submodules mcp_docker \
      --collect-data jsonschema_specifications --hidden-import tests.fuzz.harness \
      --add-data "$here/tests/fuzz/answers:tests/fuzz/answers"
  }
else
  build() {
    local name
    name="$(basename "$1" .py)"
    printf '#!/bin/sh\ncd "%s" && exec "%s" -m "tests.fuzz.%s" "$@"\n' "$here" "$python" "$name" >"$OUT/$name"
    chmod +x "$OUT/$name"
  }
fi

mkdir -p "$OUT"
for file in tests/fuzz/fuzz_*.py; do
  name="$(basename "$file" .py)"
  build "$file"
  "$python" -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for path in sorted(sys.argv[2:]):
        archive.write(path, path.rpartition("/")[2])' "$OUT/${name}_seed_corpus.zip" "tests/fuzz/seeds/${name#fuzz_}"/*
  cp "tests/fuzz/dictionaries/${name#fuzz_}.dict" "$OUT/$name.dict"
  printf '[libfuzzer]\nmax_len = 4096\ntimeout = 20\n' >"$OUT/$name.options"
done
