"""Which checkpoints of a run's folder may go."""

import os
from collections.abc import Collection

from checkpoints import folders, writer
from common.errors import UserError
from common.tables import table


def prune(
    folder: str,
    keep_last: int | None = None,
    keep_every: int | None = None,
    keep_steps: Collection[int] = (),
    dry_run: bool = False,
) -> list[str]:
    """Deletes the checkpoints of a run that no rule keeps; never the newest, and nothing but `model.ckpt-STEP`.

    Args:
        folder: the run's.
        keep_last: how many of the newest stay.
        keep_every: those whose step is a multiple of it stay.
        keep_steps: those of these steps stay.
        dry_run: delete nothing.

    Returns:
        Lines for the user.

    Raises:
        UserError: no such folder, no checkpoint in it, a step of `keep_steps` is not there, or one cannot be deleted.
    """
    folder = os.path.expanduser(folder).rstrip("/") or "/"
    if not folders.gfile.isdir(folder):
        raise UserError(f"--prune: --checkpoint_path={folder} must be the folder of a run")
    own = {folders.step_of(prefix): prefix for prefix in folders.complete(folder) if writer.is_own(prefix)}
    if not own:
        raise UserError(f"--prune: {folder} holds no checkpoint {writer.NAME}-STEP")
    if unknown := sorted(set(keep_steps) - own.keys()):
        raise UserError(
            f"--keep_steps: {folder} has no checkpoint of step {unknown[0]}; it has {', '.join(map(str, own))}"
        )
    newest = folders.newest(folder)
    reasons = {
        step: ", ".join(
            reason
            for reason, holds in (
                ("the newest", prefix == newest),
                (f"one of the last {keep_last}", bool(keep_last) and step in list(own)[-keep_last:]),
                (f"a multiple of {keep_every}", bool(keep_every) and step % keep_every == 0),
                ("named", step in keep_steps),
            )
            if holds
        )
        for step, prefix in own.items()
    }
    sizes = {step: _size(prefix) for step, prefix in own.items()}
    gone = [step for step, reason in reasons.items() if not reason]
    if not dry_run:
        writer.remove(folder, [own[step] for step in gone])
    rows = [
        (os.path.basename(own[step]), f"{sizes[step] / 1e6:.1f}", f"stays: {reason}" if reason else "goes")
        for step, reason in reasons.items()
    ]
    total = sum(sizes[step] for step in gone)
    end = f"{len(gone)} of {len(own)} checkpoints, {total / 1e6:.1f} MB"
    done = f"Would delete {end}; leave --dry_run out to do it" if dry_run else f"Deleted {end}"
    return [table(("checkpoint", "MB", ""), rows, left=("checkpoint", "")), done]


def _size(prefix: str) -> int:
    folder = os.path.dirname(prefix)
    return sum(folders.gfile.stat(os.path.join(folder, name)).length for name in writer.parts(prefix))
