"""Many requests in one run: a file of prompts is checked whole, spelled out into a plan, and what is done is written down.

The way of a row: source.py (bytes) -> rows.py (PromptRow, its cells made values by columns.py) -> plan.py (Items, with
prompt_template.py, wildcards.py and matrix.py) -> output_folder.py and manifest.py, by which a run that is begun again
knows what is missing. Loads no model and opens no picture.
"""
