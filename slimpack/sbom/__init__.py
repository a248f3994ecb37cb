"""Bills of materials: what an image is made of, read from the image itself.

`inventory` reads the packages' own records, `cyclonedx` and `spdx` write what it found.
The same image gives the same bytes, whoever asks and whenever.
"""
