"""What a workload touches of an image, and what has to stay for it to work safely."""
