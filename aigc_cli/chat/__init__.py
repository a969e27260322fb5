"""A conversation in the terminal: its state, its slash commands, its line editor, its files."""
