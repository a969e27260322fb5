"""Picture files: opened with care, written with their recipes, named, and shown together. Knows Pillow and core."""
