"""aigc: one command for generative AI on the machine you own."""

__version__ = "0.1.0"
