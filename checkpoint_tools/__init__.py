"""What is done to checkpoints outside of training: naming them, editing them, moving them between frameworks."""
