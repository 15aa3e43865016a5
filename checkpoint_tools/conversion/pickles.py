"""Python pickles, which are never loaded: what they are known by, and what to do instead."""

import os

from common.errors import UserError

ENDINGS = (".pth.tar", ".pth", ".pt", ".bin", ".pkl", ".pickle")


def refuse(path: str | os.PathLike[str]) -> None:
    """Raises UserError for a file that is a pickle by its name or its first bytes; the file may be missing."""
    path = os.fspath(path)
    ending = next((ending for ending in ENDINGS if path.lower().endswith(ending)), None)
    if ending is None and not _starts_as_pickle(path):
        return
    target = f"{path[: -len(ending)] if ending else path}.safetensors"
    raise UserError(
        f"{path} is a Python pickle, which can run any program when it is read, and is never loaded; where PyTorch is, "
        f'make a safetensors file of it: python -c "import torch, safetensors.torch; '
        f"w = torch.load({path!r}, map_location='cpu', weights_only=True); w = w.get('state_dict', w); "
        f'safetensors.torch.save_file({{k: v.contiguous().clone() for k, v in w.items()}}, {target!r})"'
    )


def _starts_as_pickle(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        head = file.read(128)
    # A pickle of protocol 2 to 5; or PyTorch's zip archive, whose first member is one.
    return head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or (
        head[:4] == b"PK\x03\x04" and b"data.pkl" in head
    )
