"""The exceptions that mean "the user can fix this"."""


class UserError(Exception):
    """Bad input, told in one line: what, where, what was expected and what to do.

    Scripts print the message alone and exit with status 1 (`common.scripts.run`). Anything else that is raised is a
    defect of ours and keeps its traceback.
    """


class FlagError(UserError):
    """A flag whose value cannot be used, alone or with the others; scripts exit with status 2."""
