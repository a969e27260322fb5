"""What a run leaves on disk, so that nothing of it is lost: its folder, its record, its log, its checkpoints."""
