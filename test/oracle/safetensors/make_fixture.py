"""Makes test/oracle/safetensors/: a file by the Python package `safetensors`, and provenance.json beside it.

Run from the repository's root, with torch and safetensors 0.8.0 installed:
    python test/oracle/safetensors/make_fixture.py
With a path it reads that file instead and prints what it finds, to check by hand a file that Rookery wrote:
    python test/oracle/safetensors/make_fixture.py FILE
"""

import hashlib
import json
import pathlib
import sys

import safetensors
import torch
from safetensors import safe_open
from safetensors.torch import save_file

FOLDER = pathlib.Path("test/oracle/safetensors")
VALUES = [0, 1, 2, 3, 100, 5]  # exact in every type, but 100 becomes 96 in FP8
TYPES = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f8_e4m3": torch.float8_e4m3fn,
    "f8_e5m2": torch.float8_e5m2,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u64": torch.uint64,
    "u32": torch.uint32,
    "u16": torch.uint16,
    "u8": torch.uint8,
    "bool": torch.bool,
}


def make():
    base = torch.tensor(VALUES, dtype=torch.float64).reshape(2, 3)
    tensors = {f"layer.{name}": base.to(dtype) for name, dtype in TYPES.items()}
    tensors["scalar"] = torch.tensor(1.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors['an "odd" name \u6df7\u5143 \U0001f427'] = torch.tensor([7], dtype=torch.uint8)
    path = FOLDER / "every-type.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "note": "line one\nline two"})
    provenance = {
        "tool": "safetensors (Python)",
        "version": safetensors.__version__,
        "with": f"torch {torch.__version__}",
        "command": "python test/oracle/safetensors/make_fixture.py",
        "files": {path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}},
    }
    (FOLDER / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")


def show(path):
    with safe_open(path, framework="pt") as file:
        print(file.metadata())
        for name in file.keys():
            tensor = file.get_tensor(name)
            print(repr(name), tensor.dtype, list(tensor.shape), tensor.to(torch.float64).flatten()[:6].tolist())


if len(sys.argv) > 1:
    show(sys.argv[1])
else:
    make()
