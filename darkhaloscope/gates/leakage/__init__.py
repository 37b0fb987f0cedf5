"""Does anything cross from one split to another, or from the label into the inputs."""
