"""From a model's name to files on disk: catalogue, aliases, the Hub and its cache, checks. Loads no weights."""
