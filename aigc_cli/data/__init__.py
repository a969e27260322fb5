"""Training data: files are found, rows read and checked, and split by their content. Knows nothing of tokens or tensors.

The way of a row: find.py -> source.py (bytes) -> json_rows, table_rows or text_rows (Row) -> formats.py (Sample).
check.py reads all of it once before a model is loaded; dataset.py reads it again when it is encoded.
"""
