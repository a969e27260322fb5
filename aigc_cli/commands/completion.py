"""`aigc completion`: prints a shell's completion script."""


def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    raise NotImplementedError
