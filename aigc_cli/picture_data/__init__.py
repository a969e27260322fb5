"""Pictures and their captions, found, checked and split: what `aigc finetune --image` learns from."""
