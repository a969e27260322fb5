"""`aigc doctor`: what this machine has, and what is amiss."""

from aigc_cli.options import OutputOptions


def doctor(output: OutputOptions) -> None:
    """Show versions, devices, speeds and folders."""
    raise NotImplementedError
