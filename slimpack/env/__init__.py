"""From a specification to an installed prefix; knows nothing of images."""
