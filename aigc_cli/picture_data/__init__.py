"""Pictures and their captions, found, checked and split: what `aigc finetune --image` learns from.

The way of a picture: find.py -> entries.py (a caption beside it, or a row of an index) -> looking.py (decoded once) -> check.py
(PictureDataset).  opening.py opens it again when it is learnt.
"""
