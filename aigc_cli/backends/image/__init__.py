"""Pictures through diffusers: loading, drawing, and what goes into and comes out of a pipeline."""
