"""One module a command: options -> request -> events -> renderer."""
