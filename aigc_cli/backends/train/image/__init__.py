"""Training a diffusion pipeline: pictures -> cached latents -> a plan of steps -> noise to be told -> a result."""
