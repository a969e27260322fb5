"""What a person or a program is shown: the only code that writes to stdout or stderr."""
